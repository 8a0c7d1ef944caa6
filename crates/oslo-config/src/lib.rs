#![doc = include_str!("../README.md")]

mod configuration;
mod error;
mod layers;
mod listing;
mod opt;
mod origin;
mod parser;
mod registry;
mod resolution;
mod sources;
mod substitution;
mod text;
mod value;

pub use configuration::Config;
pub use error::{Error, MissingOption, OptionError};
pub use listing::{Setting, Shown};
pub use opt::Opt;
pub use origin::Origin;
pub use parser::{Assignment, Document};
pub use registry::Registry;
pub use sources::{Environment, Input, Search, Sources};
pub use value::Value;
