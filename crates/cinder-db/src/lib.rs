#![doc = include_str!("../README.md")]

pub mod connection;

mod backup_users;
mod census;
mod database;
mod dialect;
mod failure;
mod references;
mod rows;
mod scan;
mod session;
mod shared;
mod statement;
mod swap;
mod unneeded;

pub use connection::ConnectionConfig;
pub use database::CinderDb;
