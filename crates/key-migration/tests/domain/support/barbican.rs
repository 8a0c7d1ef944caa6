//! Barbican, as far as the domain sees it: names are not unique, and what is stored is there.

use std::time::Duration;

use key_migration::fixed_key::{FixedKey, Payload};
use key_migration::ids::{RequestId, ResourceKind, SecretId, SecretName};
use key_migration::ports::{KeyManager, SecretError, StoreError, StoredSecret};
use key_migration::reasons::Fault;
use key_migration::rows::Readers;
use tokio::sync::mpsc;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::cloud::{Cloud, InFlight, Op, Trouble};
use super::world::Secret;

/// Barbican as one daemon reaches it.
pub(crate) struct Barbican {
    pub(crate) cloud: Cloud,
    pub(crate) daemon: u64,
}

impl KeyManager for Barbican {
    fn identity(&self) -> String {
        self.cloud.world().identity.clone()
    }

    async fn probe(&self, _: RequestId) -> Result<(), Fault> {
        let (in_flight, trouble) = self.cloud.enter(Op::Probe, "").await;
        self.cloud.leave(Op::Probe, "", in_flight).await;
        trouble.map_or(Ok(()), |trouble| Err(whole(trouble)))
    }

    async fn store(
        &self,
        name: &SecretName,
        key: &FixedKey,
        _: RequestId,
    ) -> Result<SecretId, StoreError> {
        let row = SecretName::row(name.as_str()).expect("a name of ours");
        let about = row.id.as_str();
        let (in_flight, trouble) = self.cloud.enter(Op::Store, about).await;
        self.cloud.world().judge_post(&row, self.daemon);
        match trouble {
            Some(Trouble::Unanswered { lands_after }) => {
                if let Some(after) = lands_after {
                    self.lands(name, key, after);
                }
                self.cloud.leave(Op::Store, about, in_flight).await;
                let unheard = (about.to_owned(), Instant::now());
                self.cloud.world().unanswered.extend([unheard]);
                Err(StoreError::OutcomeUnknown("the request timed out".into()))
            }
            Some(trouble) => Err(StoreError::NotStored(whole(trouble))),
            None => {
                let id = store(&self.cloud, name, key);
                self.cloud.leave(Op::Store, about, in_flight).await;
                self.cloud.world().secret(id).told_to = Some(self.daemon);
                Ok(id)
            }
        }
    }

    async fn set_readers(
        &self,
        id: SecretId,
        readers: &Readers,
        _: RequestId,
    ) -> Result<(), SecretError> {
        let (about, in_flight) = self.enter(Op::SetReaders, id).await?;
        self.cloud.world().secret(id).readers = Some(readers.clone());
        self.cloud.leave(Op::SetReaders, &about, in_flight).await;
        Ok(())
    }

    async fn let_read(
        &self,
        id: SecretId,
        users: &Readers,
        _: RequestId,
    ) -> Result<(), SecretError> {
        let (about, in_flight) = self.enter(Op::LetRead, id).await?;
        {
            let mut world = self.cloud.world();
            let readers = &mut world.secret(id).readers;
            let before = readers.clone().unwrap_or_default();
            *readers = Some(before.iter().chain(users.iter()).cloned().collect());
        }
        self.cloud.leave(Op::LetRead, &about, in_flight).await;
        Ok(())
    }

    async fn readers(&self, id: SecretId, _: RequestId) -> Result<Readers, SecretError> {
        let (about, in_flight) = self.enter(Op::Readers, id).await?;
        let readers = self.live(id)?.readers.unwrap_or_default();
        self.cloud.leave(Op::Readers, &about, in_flight).await;
        Ok(readers)
    }

    async fn describe(&self, id: SecretId, _: RequestId) -> Result<StoredSecret, SecretError> {
        let (about, in_flight) = self.enter(Op::Describe, id).await?;
        let described = self.live(id)?.shown();
        self.cloud.leave(Op::Describe, &about, in_flight).await;
        Ok(described)
    }

    async fn payload(&self, id: SecretId, _: RequestId) -> Result<Payload, SecretError> {
        let about = self.cloud.world().about(id);
        let (in_flight, trouble) = self.cloud.enter(Op::Payload, &about).await;
        let corrupt = matches!(trouble, Some(Trouble::Corrupt));
        if let Some(trouble) = trouble.filter(|_| !corrupt) {
            return Err(single(trouble, id));
        }
        let mut payload = self.live(id)?.payload;
        if corrupt {
            payload[0] ^= 1;
        }
        let equal = payload == super::world::KEY;
        self.cloud.world().secret(id).read_equal_at = equal.then(Instant::now);
        self.cloud.leave(Op::Payload, &about, in_flight).await;
        Ok(Payload::new(Zeroizing::new(payload)))
    }

    async fn delete(&self, id: SecretId, _: RequestId) -> Result<(), SecretError> {
        let about = self.cloud.world().about(id);
        let (in_flight, trouble) = self.cloud.enter(Op::Delete, &about).await;
        self.cloud.world().judge_delete(id, self.daemon);
        if let Some(trouble) = trouble {
            return Err(single(trouble, id));
        }
        self.cloud.world().secret(id).deleted = true;
        self.cloud.leave(Op::Delete, &about, in_flight).await;
        Ok(())
    }

    async fn find(&self, name: &SecretName, _: RequestId) -> Result<Vec<StoredSecret>, Fault> {
        let row = SecretName::row(name.as_str()).expect("a name of ours");
        let (in_flight, trouble) = self.cloud.enter(Op::Find, row.id.as_str()).await;
        if let Some(trouble) = trouble {
            return Err(whole(trouble));
        }
        let found = self.shown(|secret| secret.name == name.as_str());
        let looked_at = Instant::now();
        {
            let mut world = self.cloud.world();
            let looks = world.looked.entry(row.id.to_string());
            looks.or_default().push(looked_at);
        }
        self.cloud.leave(Op::Find, row.id.as_str(), in_flight).await;
        Ok(found)
    }

    async fn list(
        &self,
        kind: ResourceKind,
        pages: mpsc::Sender<Vec<StoredSecret>>,
        _: RequestId,
    ) -> Result<(), Fault> {
        let (in_flight, trouble) = self.cloud.enter(Op::List, "").await;
        let looked_at = Instant::now();
        let of_kind = self.shown(|secret| secret.row().is_some_and(|row| row.kind == kind));
        let page_size = self.cloud.world().page_size;
        for page in of_kind.chunks(page_size) {
            if pages.send(page.to_vec()).await.is_err() {
                return Ok(());
            }
        }
        if let Some(trouble) = trouble {
            return Err(whole(trouble));
        }
        self.cloud.world().listed.insert(kind, looked_at);
        self.cloud.leave(Op::List, "", in_flight).await;
        Ok(())
    }
}

impl Barbican {
    async fn enter(&self, op: Op, id: SecretId) -> Result<(String, InFlight), SecretError> {
        let about = self.cloud.world().about(id);
        let (in_flight, trouble) = self.cloud.enter(op, &about).await;
        if let Some(trouble) = trouble {
            return Err(single(trouble, id));
        }
        self.live(id)?;
        Ok((about, in_flight))
    }

    fn live(&self, id: SecretId) -> Result<Secret, SecretError> {
        let world = self.cloud.world();
        let mut live = world.secrets.iter().filter(|secret| !secret.deleted);
        let found = live.find(|secret| secret.id == id).cloned();
        found.ok_or(SecretError::NotFound(id))
    }

    /// What a listing shows of these, oldest first.
    fn shown(&self, which: impl Fn(&Secret) -> bool) -> Vec<StoredSecret> {
        let world = self.cloud.world();
        let live = world.secrets.iter().filter(|secret| !secret.deleted);
        let mut shown: Vec<StoredSecret> = live
            .filter(|secret| which(secret))
            .map(Secret::shown)
            .collect();
        shown.sort_by_key(|secret| std::cmp::Reverse(secret.age));
        shown
    }

    /// A request that nobody waits for any more takes effect after a while.
    fn lands(&self, name: &SecretName, key: &FixedKey, after: Duration) {
        if after.is_zero() {
            store(&self.cloud, name, key);
            return;
        }
        let (cloud, name) = (self.cloud.clone(), name.clone());
        assert_eq!(key.expose(), super::world::KEY);
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            cloud.world().insert_secret(name.as_str());
        });
    }
}

fn store(cloud: &Cloud, name: &SecretName, key: &FixedKey) -> SecretId {
    let mut world = cloud.world();
    let id = world.insert_secret(name.as_str());
    world.secret(id).payload = key.expose().to_vec();
    id
}

fn whole(trouble: Trouble) -> Fault {
    match trouble {
        Trouble::Fault(fault) => fault,
        other => panic!("{other:?} is no answer to this request"),
    }
}

fn single(trouble: Trouble, id: SecretId) -> SecretError {
    match trouble {
        Trouble::Fault(fault) => SecretError::Fault(fault),
        Trouble::Forbidden(fault) => SecretError::Forbidden(fault),
        Trouble::Failed(message) => SecretError::Failed(message),
        Trouble::Refused(message) => SecretError::Refused(message),
        Trouble::NotFound => SecretError::NotFound(id),
        other => panic!("{other:?} is no answer to this request"),
    }
}
