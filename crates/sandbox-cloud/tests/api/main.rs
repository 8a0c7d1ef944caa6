//! The emulated services over HTTP, as a client meets them.

mod barbican;
mod common;
mod faults;
mod keystone;
