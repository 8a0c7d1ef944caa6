#![doc = include_str!("../README.md")]

mod answer;
mod barbican;
pub mod cinder;
mod clock;
mod cloud;
mod door;
mod faults;
mod glance;
mod identity;
mod keystone;
mod random;
mod reader;
mod server;
mod shared;
mod traffic;

pub use barbican::{AclView, SecretView};
pub use clock::Clock;
pub use cloud::{Builder, Cloud};
pub use door::Service;
pub use faults::{Fault, Gate, Operation, Reply, When};
pub use glance::Glance;
pub use identity::{DEFAULT_DOMAIN_ID, Project, User};
pub use reader::http_client;
pub use shared::RoleWorld;
pub use traffic::LoggedRequest;
