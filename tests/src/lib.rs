#![doc = include_str!("../README.md")]

pub mod cinder_conf;
pub mod clean;
pub mod cloud;
pub mod crash;
pub mod database;
pub mod emulated_cloud;
pub mod fault_proxy;
pub mod free_port;
pub mod galera;
pub mod http;
pub mod log;
pub mod million;
pub mod multiplexer;
pub mod mutator;
pub mod owner;
pub mod pgbouncer;
pub mod program;
pub mod prometheus;
pub mod python;
pub mod real_cloud;
pub mod relay;
pub mod rows;
pub mod services;
pub mod tls;
pub mod upstream;

pub use cinder_conf::CinderConf;
pub use clean::Clean;
pub use cloud::{Cloud, User};
pub use database::{CinderDatabase, Dialect};
pub use emulated_cloud::EmulatedCloud;
pub use program::{Program, Signal};
pub use python::{Python, StoredSecret};
pub use real_cloud::RealCloud;
pub use rows::{Backup, ImageMetadata, Service, Snapshot, Volume, VolumeType, ZERO_KEY};
pub use services::{RoleWorld, Services};
