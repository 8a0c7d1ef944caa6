//! A Keystone session, and Barbican as the domain's key manager.
