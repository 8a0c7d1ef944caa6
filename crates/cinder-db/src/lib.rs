#![doc = include_str!("../README.md")]

pub mod connection;

mod backup_users;
mod census;
mod database;
mod dialect;
mod failure;
mod rows;
mod session;
mod statement;
mod swap;

pub use connection::ConnectionConfig;
pub use database::CinderDb;
