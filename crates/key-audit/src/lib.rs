#![doc = include_str!("../README.md")]

pub mod editing;
pub mod evidence;
pub mod trees;
