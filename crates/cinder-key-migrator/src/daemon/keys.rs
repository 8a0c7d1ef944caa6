//! Barbican, or nothing where a gate is closed and it need not be configured.

use key_migration::fixed_key::{FixedKey, Payload};
use key_migration::ids::{RequestId, ResourceKind, SecretId, SecretName};
use key_migration::ports::{KeyManager, SecretError, StoreError, StoredSecret};
use key_migration::reasons::{Fault, Reason};
use key_migration::rows::Readers;
use openstack_client::BarbicanKeyManager;
use tokio::sync::mpsc;

/// The key manager of a service.
pub(super) enum Keys {
    /// Barbican.
    Barbican(Box<BarbicanKeyManager>),
    /// The configuration closes a gate before the first request; none gets through here.
    NotConfigured,
}

impl Keys {
    fn barbican(&self) -> Result<&BarbicanKeyManager, Fault> {
        match self {
            Self::Barbican(keys) => Ok(keys),
            Self::NotConfigured => Err(Fault::new(
                Reason::Configuration,
                "Barbican is not configured",
                "set [key_manager] backend and fixed_key, and [keystone_authtoken]",
            )),
        }
    }
}

impl KeyManager for Keys {
    fn identity(&self) -> String {
        match self {
            Self::Barbican(keys) => keys.identity(),
            Self::NotConfigured => String::new(),
        }
    }

    async fn probe(&self, request: RequestId) -> Result<(), Fault> {
        self.barbican()?.probe(request).await
    }

    async fn store(
        &self,
        name: &SecretName,
        key: &FixedKey,
        request: RequestId,
    ) -> Result<SecretId, StoreError> {
        let keys = self.barbican().map_err(StoreError::NotStored)?;
        keys.store(name, key, request).await
    }

    async fn set_readers(
        &self,
        secret: SecretId,
        readers: &Readers,
        request: RequestId,
    ) -> Result<(), SecretError> {
        let keys = self.barbican().map_err(SecretError::Fault)?;
        keys.set_readers(secret, readers, request).await
    }

    async fn let_read(
        &self,
        secret: SecretId,
        users: &Readers,
        request: RequestId,
    ) -> Result<(), SecretError> {
        let keys = self.barbican().map_err(SecretError::Fault)?;
        keys.let_read(secret, users, request).await
    }

    async fn readers(&self, secret: SecretId, request: RequestId) -> Result<Readers, SecretError> {
        let keys = self.barbican().map_err(SecretError::Fault)?;
        keys.readers(secret, request).await
    }

    async fn describe(
        &self,
        secret: SecretId,
        request: RequestId,
    ) -> Result<StoredSecret, SecretError> {
        let keys = self.barbican().map_err(SecretError::Fault)?;
        keys.describe(secret, request).await
    }

    async fn payload(&self, secret: SecretId, request: RequestId) -> Result<Payload, SecretError> {
        let keys = self.barbican().map_err(SecretError::Fault)?;
        keys.payload(secret, request).await
    }

    async fn delete(&self, secret: SecretId, request: RequestId) -> Result<(), SecretError> {
        let keys = self.barbican().map_err(SecretError::Fault)?;
        keys.delete(secret, request).await
    }

    async fn find(
        &self,
        name: &SecretName,
        request: RequestId,
    ) -> Result<Vec<StoredSecret>, Fault> {
        self.barbican()?.find(name, request).await
    }

    async fn list(
        &self,
        kind: ResourceKind,
        pages: mpsc::Sender<Vec<StoredSecret>>,
        request: RequestId,
    ) -> Result<(), Fault> {
        self.barbican()?.list(kind, pages, request).await
    }
}
