#![doc = include_str!("../README.md")]

mod board;
pub mod census;
pub mod conclusion;
mod concurrency;
pub mod fixed_key;
mod gates;
pub mod host_rows;
pub mod ids;
pub mod intents;
mod inventory;
pub mod ledger;
mod locked;
pub mod machine;
pub mod messages;
mod one_key;
pub mod orphans;
mod pass;
pub mod peers;
pub mod ports;
pub mod progress;
pub mod reasons;
pub mod remedies;
pub mod rows;
pub mod service;
pub mod settings;
mod summary;
pub mod verdict;
mod walk;

pub use inventory::database_fault as inventory_fault;
