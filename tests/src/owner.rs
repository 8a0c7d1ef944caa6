//! Users of this machine that servers run as.

use anyhow::{Context, Result};

/// The IDs of a user and of its group.
///
/// # Errors
///
/// When there is no such user.
pub fn owner(user: &str) -> Result<(u32, u32)> {
    let passwords = std::fs::read_to_string("/etc/passwd")?;
    let line = passwords
        .lines()
        .find(|line| line.split(':').next() == Some(user));
    let mut fields = line
        .with_context(|| format!("no user {user}; tests/run installs the package that makes it"))?
        .split(':')
        .skip(2);
    let mut id = || anyhow::Ok(fields.next().context("an ID")?.parse::<u32>()?);
    Ok((id()?, id()?))
}
