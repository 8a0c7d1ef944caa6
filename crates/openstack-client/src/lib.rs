#![doc = include_str!("../README.md")]

mod answer;
mod barbican;
mod catalog;
mod config;
mod glance;
mod keystone;
mod observer;
mod remedy;
mod session;
mod token;
mod transport;

pub use barbican::{BarbicanKeyManager, Probe, Quota, Reached};
pub use config::{
    ApplicationCredential, ApplicationCredentialRef, BadInterface, BarbicanConfig,
    ClientCertificate, ConfigError, Credentials, DomainRef, Interface, KeystoneConfig,
    PasswordCredentials, ProjectRef, ServerTrust, Timeouts, TokenScope, UserRef,
};
pub use glance::{Glance, GlanceConfig, ImageTally, ZeroImage};
pub use observer::{Api, Operation, Outcome, RequestObserver};
pub use session::KeystoneSession;
pub use token::{Named, Token};
pub use transport::client as http_client;
