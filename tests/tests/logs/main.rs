//! What the program logs, as others read it: kolla-ansible's fluentd, who knows oslo.log's JSON,
//! logrotate, the journal, and who looks for a request in the logs of Barbican and Keystone.

mod file;
mod journal;
mod json;
mod kolla;
mod request_ids;
mod run;
