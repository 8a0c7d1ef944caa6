//! `orphans list` and `orphans purge`, on real services and on the sandbox with its movable clock:
//! each class, each guard, and what happens between a look and the deletion.

mod classes;
mod guards;
mod races;

use anyhow::{Context, Result};
use key_migrator_tests::{CinderConf, Program};
use serde_json::Value;
use uuid::Uuid;

/// What a command said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    /// One object for each secret.
    secrets: Vec<Value>,
    log: Vec<String>,
}

/// Runs `orphans` with these arguments, and reads its JSON.
async fn orphans(conf: &CinderConf, arguments: &[&str]) -> Result<Said> {
    let arguments = [&["orphans"], arguments, &["-f", "json"]].concat();
    let ended = Program::run_to_end(conf, arguments).await?;
    let (log, json): (Vec<String>, Vec<String>) = ended
        .lines
        .into_iter()
        .partition(|line| line.starts_with("20") || line.starts_with("cinder-key-migrator: "));
    let secrets = match json.is_empty() {
        true => Vec::new(),
        false => serde_json::from_str(&json.concat())
            .with_context(|| format!("no JSON: {json:#?}, beside {log:#?}"))?,
    };
    Ok(Said {
        code: ended.status.code(),
        secrets,
        log,
    })
}

impl Said {
    fn of(&self, secret: Uuid) -> Option<&Value> {
        let id = secret.to_string();
        self.secrets.iter().find(|said| said["secret_id"] == *id)
    }

    /// The outcome for this secret, with its reason.
    fn outcome(&self, secret: Uuid) -> Option<(&str, &str)> {
        let said = self.of(secret)?;
        Some((
            said["outcome"].as_str()?,
            said["reason"].as_str().unwrap_or_default(),
        ))
    }
}
