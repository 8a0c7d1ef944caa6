#![doc = include_str!("../README.md")]

pub mod fixed_key;
pub mod ids;
pub mod ports;
pub mod progress;
pub mod reasons;
pub mod rows;
pub mod settings;
