#![doc = include_str!("../README.md")]

mod answer;
mod barbican;
mod catalog;
mod config;
mod keystone;
mod observer;
mod remedy;
mod session;
mod token;
mod transport;

pub use barbican::BarbicanKeyManager;
pub use config::{
    BadInterface, BarbicanConfig, ConfigError, Credentials, DomainRef, Interface, KeystoneConfig,
    PasswordCredentials, ProjectRef, ServerTrust, Timeouts, UserRef,
};
pub use observer::{Api, Operation, Outcome, RequestObserver};
pub use session::KeystoneSession;
pub use token::{Named, Token};
