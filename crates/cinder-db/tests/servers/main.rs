//! Database servers that are set up in a way of their own.

mod manual_commit;
mod mariadb;
mod tls;
