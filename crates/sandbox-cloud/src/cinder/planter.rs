//! The statements that put services and rows into Cinder's tables.

use jiff::{SignedDuration, Timestamp};
use sqlx::{Sqlite, Transaction};

use super::population::{HOSTS, Host, Population, RETIRED_BACKEND, Tenant};
use super::{ALL_ZEROS, sqlite_instant};
use crate::Cloud;
use crate::random::Random;

/// The volume type that every volume has (`__DEFAULT__` of the schema's own rows).
const DEFAULT_TYPE: &str = "c1de0000-0000-4000-8000-000000000001";

pub(super) struct Planter<'a> {
    transaction: Transaction<'static, Sqlite>,
    random: Random,
    tenants: &'a [Tenant],
    cloud: &'a Cloud,
}

/// A volume to be planted; what is not said is ordinary.
struct Volume<'a> {
    host: Option<String>,
    cluster_name: Option<String>,
    status: &'a str,
    migration_status: Option<&'a str>,
    key: Key,
    deleted: bool,
    snapshots: usize,
    backup_host: Option<&'a str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Zeros,
    Real,
    None,
}

impl<'a> Planter<'a> {
    pub(super) fn new(
        transaction: Transaction<'static, Sqlite>,
        seed: u64,
        tenants: &'a [Tenant],
        cloud: &'a Cloud,
    ) -> Self {
        Self {
            transaction,
            random: Random::from_seed(seed),
            tenants,
            cloud,
        }
    }

    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        self.transaction.commit().await
    }

    /// A service for each host and backend; those that are gone have not beaten
    /// for long.
    pub(super) async fn services(&mut self) -> Result<(), sqlx::Error> {
        for host in HOSTS {
            let cluster = host.backend_cluster();
            if let Some(cluster) = &cluster {
                sqlx::query(
                    "INSERT INTO clusters (created_at, deleted, name, binary, disabled, \
                     race_preventer) VALUES (?, 0, ?, 'cinder-volume', 0, 0)",
                )
                .bind(sqlite_instant(long_ago()))
                .bind(cluster)
                .execute(&mut *self.transaction)
                .await?;
            }
            self.service("cinder-volume", &host.backend_host(), cluster, host.alive)
                .await?;
            self.service("cinder-backup", host.name, None, host.alive)
                .await?;
        }
        self.service("cinder-volume", RETIRED_BACKEND, None, false)
            .await?;
        self.service("cinder-scheduler", "controller", None, true)
            .await
    }

    async fn service(
        &mut self,
        binary: &str,
        host: &str,
        cluster_name: Option<String>,
        alive: bool,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(
            "INSERT INTO services (created_at, updated_at, deleted, host, binary, topic, \
             report_count, disabled, availability_zone, cluster_name, uuid) \
             VALUES (?, ?, 0, ?, ?, ?, ?, 0, 'nova', ?, ?)",
        )
        .bind(sqlite_instant(long_ago()))
        .bind(sqlite_instant(long_ago()))
        .bind(host)
        .bind(binary)
        .bind(binary)
        .bind(i64::from(alive))
        .bind(cluster_name)
        .bind(self.random.uuid().to_string())
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    pub(super) async fn rows(&mut self, population: &Population) -> Result<(), sqlx::Error> {
        for number in 0..population.volumes {
            // Six of ten on the first host, two on the second, two in the cluster.
            let host = &HOSTS[[0, 0, 1, 0, 2, 0, 1, 0, 2, 0][number as usize % 10]];
            let status = ["available", "in-use", "in-use", "available", "error"];
            let status = status[self.random.below(status.len())];
            let mut volume = Volume::on(host, Key::Zeros);
            volume.status = status;
            volume.snapshots = [0, 1, 0, 2][self.random.below(4)];
            volume.backup_host = (number % 3 == 0).then_some(host.name);
            if number % 4 == 0 {
                // A volume from before its host joined the cluster.
                volume.cluster_name = None;
            }
            self.volume(&volume).await?;
        }
        self.bystanders(population.volumes.div_ceil(10)).await?;
        self.odd_ones(population).await
    }

    /// Rows that must stay as they are.
    async fn bystanders(&mut self, of_each: u32) -> Result<(), sqlx::Error> {
        for number in 0..of_each {
            let host = &HOSTS[number as usize % 3];
            let mut real = Volume::on(host, Key::Real);
            real.snapshots = 1;
            real.backup_host = Some(host.name);
            self.volume(&real).await?;
            let mut plain = Volume::on(host, Key::None);
            plain.snapshots = 1;
            plain.backup_host = Some(host.name);
            self.volume(&plain).await?;
            let mut deleted = Volume::on(host, Key::Zeros);
            deleted.deleted = true;
            deleted.snapshots = 1;
            deleted.backup_host = Some(host.name);
            self.volume(&deleted).await?;
            let mut never_placed = Volume::on(host, Key::None);
            never_placed.host = None;
            never_placed.cluster_name = None;
            never_placed.status = "error";
            self.volume(&never_placed).await?;
        }
        Ok(())
    }

    /// Rows that need an operator, or time.
    async fn odd_ones(&mut self, population: &Population) -> Result<(), sqlx::Error> {
        for number in 0..population.unowned {
            let mut volume = Volume::on(&HOSTS[3], Key::Zeros);
            volume.backup_host = Some(HOSTS[3].name);
            self.volume(&volume).await?;
            if number % 2 == 0 {
                volume.host = Some(format!("{RETIRED_BACKEND}#lvm2"));
                volume.backup_host = None;
                self.volume(&volume).await?;
            }
        }
        for _ in 0..population.homeless {
            let mut volume = Volume::on(&HOSTS[0], Key::Zeros);
            volume.host = None;
            volume.status = "error";
            self.volume(&volume).await?;
        }
        for number in 0..population.transitional {
            let mut volume = Volume::on(&HOSTS[0], Key::Zeros);
            if number % 2 == 0 {
                volume.status = "retyping";
            } else {
                volume.migration_status = Some("migrating");
            }
            self.volume(&volume).await?;
        }
        for _ in 0..population.stragglers {
            let volume_id = self.volume(&Volume::on(&HOSTS[0], Key::Real)).await?;
            let tenant = self.random.below(self.tenants.len());
            self.snapshot(&volume_id, tenant, Some(ALL_ZEROS), false)
                .await?;
        }
        Ok(())
    }

    async fn volume(&mut self, volume: &Volume<'_>) -> Result<String, sqlx::Error> {
        let id = self.random.uuid().to_string();
        let tenant = self.random.below(self.tenants.len());
        let user = self.user_of(tenant);
        let project_id = self.tenants[tenant].project.id.clone();
        let key = match volume.key {
            Key::Zeros => Some(ALL_ZEROS.to_owned()),
            Key::None => None,
            Key::Real => {
                let payload: [u8; 32] = self.random.bytes();
                let secret_id = self.cloud.plant_secret(&project_id, &user, None, &payload);
                Some(secret_id.to_string())
            }
        };
        let (created_at, updated_at) = self.instants();
        sqlx::query(
            "INSERT INTO volumes (created_at, updated_at, deleted_at, deleted, id, user_id, \
             project_id, host, cluster_name, size, availability_zone, status, attach_status, \
             migration_status, display_name, volume_type_id, encryption_key_id, bootable, \
             multiattach) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'nova', ?, ?, ?, ?, ?, ?, 0, 0)",
        )
        .bind(created_at)
        .bind(&updated_at)
        .bind(volume.deleted.then_some(&updated_at))
        .bind(volume.deleted)
        .bind(&id)
        .bind(&user)
        .bind(&project_id)
        .bind(&volume.host)
        .bind(&volume.cluster_name)
        .bind(1 + self.random.below(100) as i64)
        .bind(if volume.deleted {
            "deleted"
        } else {
            volume.status
        })
        .bind(if volume.status == "in-use" {
            "attached"
        } else {
            "detached"
        })
        .bind(volume.migration_status)
        .bind(format!("volume-{}", &id[..8]))
        .bind(DEFAULT_TYPE)
        .bind(&key)
        .execute(&mut *self.transaction)
        .await?;
        for _ in 0..volume.snapshots {
            self.snapshot(&id, tenant, key.as_deref(), volume.deleted)
                .await?;
        }
        if let Some(host) = volume.backup_host {
            self.backup(&id, tenant, host, volume.key, volume.deleted)
                .await?;
        }
        Ok(id)
    }

    async fn snapshot(
        &mut self,
        volume_id: &str,
        tenant: usize,
        key: Option<&str>,
        deleted: bool,
    ) -> Result<(), sqlx::Error> {
        let id = self.random.uuid().to_string();
        let user = self.user_of(tenant);
        let (created_at, updated_at) = self.instants();
        sqlx::query(
            "INSERT INTO snapshots (created_at, updated_at, deleted_at, deleted, id, volume_id, \
             user_id, project_id, status, progress, volume_size, display_name, volume_type_id, \
             encryption_key_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '100%', 1, ?, ?, ?)",
        )
        .bind(created_at)
        .bind(&updated_at)
        .bind(deleted.then_some(&updated_at))
        .bind(deleted)
        .bind(&id)
        .bind(volume_id)
        .bind(user)
        .bind(&self.tenants[tenant].project.id)
        .bind(if deleted { "deleted" } else { "available" })
        .bind(format!("snapshot-{}", &id[..8]))
        .bind(DEFAULT_TYPE)
        .bind(key)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    /// A backup has a key of its own: Cinder clones the volume's.
    async fn backup(
        &mut self,
        volume_id: &str,
        tenant: usize,
        host: &str,
        key: Key,
        deleted: bool,
    ) -> Result<(), sqlx::Error> {
        let id = self.random.uuid().to_string();
        let user = self.user_of(tenant);
        let project_id = self.tenants[tenant].project.id.clone();
        let key = match key {
            Key::Zeros => Some(ALL_ZEROS.to_owned()),
            Key::None => None,
            Key::Real => {
                let payload: [u8; 32] = self.random.bytes();
                Some(
                    self.cloud
                        .plant_secret(&project_id, &user, None, &payload)
                        .to_string(),
                )
            }
        };
        let (created_at, updated_at) = self.instants();
        sqlx::query(
            "INSERT INTO backups (created_at, updated_at, deleted_at, deleted, id, volume_id, \
             user_id, project_id, host, availability_zone, display_name, container, status, \
             service, size, object_count, num_dependent_backups, encryption_key_id) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'nova', ?, 'volumebackups', ?, \
             'cinder.backup.drivers.nfs.NFSBackupDriver', 1, 1, 0, ?)",
        )
        .bind(created_at)
        .bind(&updated_at)
        .bind(deleted.then_some(&updated_at))
        .bind(deleted)
        .bind(&id)
        .bind(volume_id)
        .bind(user)
        .bind(project_id)
        .bind(host)
        .bind(format!("backup-{}", &id[..8]))
        .bind(if deleted { "deleted" } else { "available" })
        .bind(key)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    fn user_of(&mut self, tenant: usize) -> String {
        let users = &self.tenants[tenant].users;
        users[self.random.below(users.len())].id.clone()
    }

    /// When a row was made and last changed, within the year after [`long_ago`].
    fn instants(&mut self) -> (String, String) {
        let made = self.random.below(300 * 24 * 3600) as i64;
        let changed = made + self.random.below(60 * 24 * 3600) as i64;
        let at = |seconds| sqlite_instant(long_ago() + SignedDuration::from_secs(seconds));
        (at(made), at(changed))
    }
}

impl Volume<'_> {
    fn on(host: &Host, key: Key) -> Self {
        Self {
            host: Some(format!("{}#{}", host.backend_host(), host.pool)),
            cluster_name: host
                .backend_cluster()
                .map(|cluster| format!("{cluster}#{}", host.pool)),
            status: "available",
            migration_status: None,
            key,
            deleted: false,
            snapshots: 0,
            backup_host: None,
        }
    }
}

/// 2024-03-01T00:00:00Z
fn long_ago() -> Timestamp {
    Timestamp::from_second(1_709_251_200).unwrap_or(Timestamp::UNIX_EPOCH)
}
