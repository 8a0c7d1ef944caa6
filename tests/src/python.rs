//! The Python libraries that Cinder itself uses, as judges of what the program did.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use uuid::Uuid;

use crate::cloud::{Cloud, User};

/// Runs the programs of `tests/python`.
#[derive(Clone, Debug)]
pub struct Python {
    interpreter: PathBuf,
}

/// What Barbican lists of a secret.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct StoredSecret {
    /// The last part of its `secret_ref`.
    pub secret_id: Uuid,
    /// Its name, if it was given one.
    pub name: Option<String>,
    /// `ACTIVE`, `PENDING` or `ERROR`.
    pub status: String,
    /// As in `aes`.
    pub algorithm: Option<String>,
    /// In bits.
    pub bit_length: Option<u32>,
    /// As in `symmetric`.
    pub secret_type: String,
}

/// The payload that somebody was given, or how the library words the refusal.
pub type Reading = Result<Vec<u8>, String>;

impl Python {
    pub(crate) fn new(interpreter: PathBuf) -> Self {
        Self { interpreter }
    }

    /// The payloads of secrets as castellan hands them to the user: what Nova would decrypt with.
    /// One answer for each ID, in their order.
    ///
    /// # Errors
    ///
    /// When the program fails; a refused secret is a [`Reading`] of its own.
    pub async fn payloads_as(
        &self,
        cloud: &impl Cloud,
        user: &User,
        secret_ids: &[Uuid],
    ) -> Result<Vec<Reading>> {
        #[derive(Deserialize)]
        struct One {
            payload: Option<String>,
            error: Option<String>,
        }
        let answer = self.as_user(cloud, user, "payloads", secret_ids).await?;
        let results: Vec<One> = serde_json::from_value(answer["results"].clone())?;
        ensure!(
            results.len() == secret_ids.len(),
            "one answer for each secret"
        );
        results
            .into_iter()
            .map(|one| match one.payload {
                Some(payload) => Ok(Ok(hex::decode(payload)?)),
                None => Ok(Err(one.error.context("neither payload nor error")?)),
            })
            .collect()
    }

    /// Deletes secrets through castellan, as Cinder does when a volume is deleted.
    ///
    /// # Errors
    ///
    /// When the program fails; a refusal is an `Err` of its own.
    pub async fn delete_as(
        &self,
        cloud: &impl Cloud,
        user: &User,
        secret_ids: &[Uuid],
    ) -> Result<Vec<Result<(), String>>> {
        let answer = self.as_user(cloud, user, "delete", secret_ids).await?;
        let results = answer["results"].as_array().context("no results")?;
        Ok(results
            .iter()
            .map(|one| match one["error"].as_str() {
                Some(error) => Err(error.to_owned()),
                None => Ok(()),
            })
            .collect())
    }

    /// All secrets in the user's project that it may list, oldest first.
    ///
    /// # Errors
    ///
    /// When the program fails.
    pub async fn secrets_of(&self, cloud: &impl Cloud, user: &User) -> Result<Vec<StoredSecret>> {
        let answer = self.as_user(cloud, user, "list", &[]).await?;
        Ok(serde_json::from_value(answer["secrets"].clone())?)
    }

    /// What a program of `tests/python` prints.
    ///
    /// # Errors
    ///
    /// When it fails; its standard error is in the error.
    pub async fn run(&self, program: &str, input: &str) -> Result<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
        let mut child = Command::new(&self.interpreter)
            .args(["-B", "-W", "ignore"])
            .arg(folder.join(program))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", self.interpreter.display()))?;
        let mut stdin = child
            .stdin
            .take()
            .context("the child has a standard input")?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        let output = child.wait_with_output().await?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{program} ended with {}:\n{errors}",
            output.status
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    async fn as_user(
        &self,
        cloud: &impl Cloud,
        user: &User,
        action: &str,
        secret_ids: &[Uuid],
    ) -> Result<Value> {
        let request = json!({
            "cloud": {
                "auth_url": cloud.auth_url(),
                "barbican_endpoint": cloud.barbican_endpoint(),
            },
            "user": {
                "username": user.username,
                "password": user.password,
                "user_domain_name": user.user_domain_name,
                "project_name": user.project_name,
                "project_domain_name": user.project_domain_name,
            },
            "action": action,
            "secret_ids": secret_ids,
        });
        let answer = self
            .run("barbican_as_user.py", &request.to_string())
            .await?;
        serde_json::from_str(&answer).with_context(|| format!("parsing {answer}"))
    }
}
