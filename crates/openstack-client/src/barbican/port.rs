//! The port of the domain, request by request.

use key_migration::fixed_key::{FixedKey, Payload};
use key_migration::ids::{RequestId, ResourceKind, SecretId, SecretName};
use key_migration::ports::{KeyManager, SecretError, StoreError, StoredSecret};
use key_migration::reasons::Fault;
use key_migration::rows::Readers;
use reqwest::{Method, StatusCode};
use tokio::sync::mpsc;
use url::Url;

use super::trouble::{Trouble, Verdict};
use super::{Ask, BarbicanKeyManager, JSON, wire};
use crate::config::{BarbicanConfig, Credentials, PasswordCredentials};
use crate::observer::Operation;

const OCTETS: &str = "application/octet-stream";

impl KeyManager for BarbicanKeyManager {
    fn identity(&self) -> String {
        let keystone = self.session.config();
        let Credentials::Password(PasswordCredentials { user, project, .. }) =
            &keystone.credentials;
        let BarbicanConfig {
            endpoint,
            interface,
            region_name,
            ..
        } = &self.config;
        let at = endpoint.as_ref().map(Url::as_str);
        let url = keystone.auth_url.as_str();
        format!("{url} {user:?} {project:?} {at:?} {interface:?} {region_name:?}")
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

    async fn set_readers(
        &self,
        secret: SecretId,
        readers: &Readers,
        request: RequestId,
    ) -> Result<(), SecretError> {
        let ask = Ask {
            operation: Operation::SetReaders,
            method: Method::PUT,
            path: format!("secrets/{secret}/acl"),
            query: Vec::new(),
            accept: JSON,
            body: Some(wire::acl_body(readers)),
            request,
        };
        let heard = self.ask(ask).await?;
        if heard.answer.status == StatusCode::OK {
            return Ok(());
        }
        Err(self.verdict(&heard, &[]).of_secret(secret))
    }

    async fn payload(&self, secret: SecretId, request: RequestId) -> Result<Payload, SecretError> {
        let path = format!("secrets/{secret}/payload");
        let heard = self
            .ask(Ask::get(Operation::Payload, &path, OCTETS, request))
            .await?;
        if heard.answer.status == StatusCode::OK {
            return Ok(Payload::new(heard.answer.body));
        }
        // The secret may be another project's, where 403 says nothing about our roles: the token
        // stays.
        Err(Verdict::of(&heard, &[]).of_secret(secret))
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
