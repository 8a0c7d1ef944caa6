//! The port of the domain, request by request.

use key_migration::fixed_key::{FixedKey, Payload};
use key_migration::ids::{RequestId, ResourceKind, SecretId, SecretName};
use key_migration::orphans::Consumers;
use key_migration::ports::{KeyManager, SecretError, StoreError, StoredSecret};
use key_migration::reasons::Fault;
use key_migration::rows::Readers;
use reqwest::{Method, StatusCode};
use tokio::sync::mpsc;
use url::Url;

use super::trouble::{Trouble, Verdict};
use super::{Ask, BarbicanKeyManager, Heard, JSON, metadata, wire};
use crate::config::{BarbicanConfig, Credentials, PasswordCredentials, TokenScope};
use crate::observer::Operation;

const OCTETS: &str = "application/octet-stream";

impl KeyManager for BarbicanKeyManager {
    fn identity(&self) -> String {
        let keystone = self.session.config();
        let signed_in = match &keystone.credentials {
            Credentials::Password(PasswordCredentials { user, scope, .. }) => match scope {
                TokenScope::Project(project) => format!("{user:?} {project:?}"),
                TokenScope::Trust(trust) => format!("{user:?} trust {trust:?}"),
            },
            Credentials::Application(application) => format!("{:?}", application.credential),
        };
        let BarbicanConfig {
            endpoint,
            interface,
            region_name,
            ..
        } = &self.config;
        let at = endpoint.as_ref().map(Url::as_str);
        let url = keystone.auth_url.as_str();
        format!("{url} {signed_in} {at:?} {interface:?} {region_name:?}")
    }

    async fn probe(&self, request: RequestId) -> Result<(), Fault> {
        let ask = Ask {
            query: vec![("limit", "1".into())],
            ..Ask::get(Operation::Probe, "secrets", JSON, request)
        };
        let heard = self.ask(ask).await.map_err(Trouble::into_fault)?;
        let status = heard.answer.status;
        if status.is_success() || status == StatusCode::FORBIDDEN {
            return Ok(());
        }
        Err(Verdict::of(&heard, &[]).into_fault())
    }

    async fn store(
        &self,
        name: &SecretName,
        key: &FixedKey,
        request: RequestId,
    ) -> Result<SecretId, StoreError> {
        self.store_named(name.as_str(), key, request).await
    }

    async fn set_readers(
        &self,
        secret: SecretId,
        readers: &Readers,
        request: RequestId,
    ) -> Result<(), SecretError> {
        let ask = Ask {
            method: Method::PUT,
            body: Some(wire::acl_body(readers)),
            ..Ask::get(Operation::SetReaders, &acl(secret), JSON, request)
        };
        let heard = self.ask(ask).await?;
        if heard.answer.status == StatusCode::OK {
            return Ok(());
        }
        Err(self.verdict(&heard, &[]).of_secret(secret))
    }

    /// By PATCH, which leaves project access as whoever made the secret set it, and makes an ACL
    /// where there was none. It replaces the users: of two that add to one secret at the same time,
    /// one may undo the other, and the next comparison mends it.
    async fn let_read(
        &self,
        secret: SecretId,
        users: &Readers,
        request: RequestId,
    ) -> Result<(), SecretError> {
        let already = self.readers(secret, request).await?;
        if users.iter().all(|user| already.contains(user)) {
            return Ok(());
        }
        let all: Readers = already.iter().chain(users.iter()).cloned().collect();
        let ask = Ask {
            method: Method::PATCH,
            body: Some(wire::acl_body(&all)),
            ..Ask::get(Operation::AddReaders, &acl(secret), JSON, request)
        };
        self.ask_of_any(ask, secret).await.map(drop)
    }

    async fn readers(&self, secret: SecretId, request: RequestId) -> Result<Readers, SecretError> {
        let ask = Ask::get(Operation::Readers, &acl(secret), JSON, request);
        let heard = self.ask_of_any(ask, secret).await?;
        wire::acl_readers(&heard.answer.body).ok_or_else(|| unreadable("ACL", secret))
    }

    async fn describe(
        &self,
        secret: SecretId,
        request: RequestId,
    ) -> Result<StoredSecret, SecretError> {
        let ask = Ask::get(
            Operation::Describe,
            &format!("secrets/{secret}"),
            JSON,
            request,
        );
        let heard = self.ask_of_any(ask, secret).await?;
        metadata::read_one(&heard)
            .filter(|described| described.id == secret)
            .ok_or_else(|| unreadable("description", secret))
    }

    async fn payload(&self, secret: SecretId, request: RequestId) -> Result<Payload, SecretError> {
        let path = format!("secrets/{secret}/payload");
        let ask = Ask::get(Operation::Payload, &path, OCTETS, request);
        let heard = self.ask_of_any(ask, secret).await?;
        Ok(Payload::new(heard.answer.body))
    }

    async fn delete(&self, secret: SecretId, request: RequestId) -> Result<(), SecretError> {
        let ask = Ask {
            method: Method::DELETE,
            ..Ask::get(
                Operation::Delete,
                &format!("secrets/{secret}"),
                JSON,
                request,
            )
        };
        let heard = self.ask(ask).await?;
        if heard.answer.status.is_success() {
            return Ok(());
        }
        match self.verdict(&heard, &[]).of_secret(secret) {
            SecretError::NotFound(_) => Ok(()),
            error => Err(error),
        }
    }

    async fn find(
        &self,
        name: &SecretName,
        request: RequestId,
    ) -> Result<Vec<StoredSecret>, Fault> {
        self.find_exactly(name.as_str(), request).await
    }

    async fn list(
        &self,
        kind: ResourceKind,
        pages: mpsc::Sender<Vec<StoredSecret>>,
        request: RequestId,
    ) -> Result<(), Fault> {
        self.list_kind(kind, &pages, request).await
    }
}

impl Consumers for BarbicanKeyManager {
    /// Without a microversion: Barbican answers whichever is asked for, and one from before
    /// consumers of secrets (microversion 1.1) says 404, as it does of anything it does not know.
    async fn consumers(&self, secret: SecretId, request: RequestId) -> Result<u64, SecretError> {
        let ask = Ask::get(
            Operation::Consumers,
            &format!("secrets/{secret}/consumers"),
            JSON,
            request,
        );
        match self.ask_of_any(ask, secret).await {
            Ok(heard) => wire::total(&heard.answer.body)
                .ok_or_else(|| unreadable("list of the consumers", secret)),
            Err(SecretError::NotFound(_)) => Ok(0),
            Err(error) => Err(error),
        }
    }
}

impl BarbicanKeyManager {
    /// Stores a key under any name.
    pub(super) async fn store_named(
        &self,
        name: &str,
        key: &FixedKey,
        request: RequestId,
    ) -> Result<SecretId, StoreError> {
        let payload = wire::base64(key);
        let ask = Ask {
            operation: Operation::Store,
            method: Method::POST,
            path: "secrets".into(),
            query: Vec::new(),
            accept: JSON,
            body: Some(wire::store_body(name, key, &payload)),
            request,
        };
        let heard = self.ask(ask).await?;
        if heard.answer.status == StatusCode::CREATED {
            return wire::stored_id(&heard.answer.body).ok_or_else(|| {
                StoreError::OutcomeUnknown(
                    "Barbican stored a secret, but its answer does not say which".into(),
                )
            });
        }
        Err(self.verdict(&heard, &[&payload]).of_store())
    }

    /// For a request about a secret that may be another's. There 403 says nothing about our roles:
    /// the token stays.
    async fn ask_of_any(&self, ask: Ask, secret: SecretId) -> Result<Heard, SecretError> {
        let heard = self.ask(ask).await?;
        match heard.answer.status {
            StatusCode::OK => Ok(heard),
            _ => Err(Verdict::of(&heard, &[]).of_secret(secret)),
        }
    }
}

fn acl(secret: SecretId) -> String {
    format!("secrets/{secret}/acl")
}

fn unreadable(what: &str, secret: SecretId) -> SecretError {
    SecretError::Failed(format!(
        "Barbican's {what} of secret {secret} cannot be read"
    ))
}
