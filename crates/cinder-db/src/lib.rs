#![doc = include_str!("../README.md")]

pub mod audit;
pub mod connection;

mod backup_users;
mod census;
mod database;
mod dialect;
mod failure;
mod preflight;
mod references;
mod revert;
mod rows;
mod scan;
mod session;
mod shared;
mod statement;
mod survey;
mod swap;
mod unneeded;

pub use connection::ConnectionConfig;
pub use database::CinderDb;
pub use preflight::{Access, OtherUsers};
pub use revert::SetBack;
pub use survey::{HostCount, Place, ServiceRecord, SurveyedRow};
