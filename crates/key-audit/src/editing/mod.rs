//! Takes option `fixed_key` out of a configuration file, and puts it back.
//!
//! Every other byte is kept. What is to be done is prepared first and done later, so that it can
//! be shown, and so that several files are all looked at before the first one is touched. A file
//! that is not as it was when it was read is left alone.
//!
//! Where the file is a mount point of its own it cannot be replaced, only written to, and no file
//! system does that in one step. It is arranged so that a kill leaves what is in between only
//! inside of one single `pwrite(2)`; what that leaves is recognised, and restored from the backup.

mod backup;
mod edit;
mod error;
mod removal;
mod replacement;
mod restoration;
mod target;
#[cfg(test)]
mod tests;

pub use self::backup::Backup;
pub use self::edit::Edit;
pub(crate) use self::edit::{is_fixed_key, text};
pub use self::error::EditError;
pub use self::removal::Removal;
pub use self::restoration::Restoration;
