#![doc = include_str!("../README.md")]

mod board;
pub mod census;
pub mod fixed_key;
mod gates;
pub mod ids;
mod intents;
mod inventory;
mod key_ends;
pub mod messages;
mod one_key;
mod pass;
pub mod ports;
pub mod progress;
pub mod reasons;
pub mod rows;
pub mod service;
pub mod settings;
mod settle;
mod summary;
mod walk;
