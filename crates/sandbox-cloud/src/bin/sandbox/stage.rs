//! What the story is played on: the cloud, Cinder's user, the database, a place
//! for files.

use std::path::Path;

use anyhow::Context;
use sandbox_cloud::cinder::{
    Check, CinderDatabase, HOSTS, Heartbeat, Host, Kind, Planted, Population, Report, Scope,
};
use sandbox_cloud::{Cloud, Project, User};
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::Options;

/// The `fixed_key` that this cloud's Cinder has used for years: 256 bits.
const FIXED_KEY: &str = "9c41d0a1b7e84f5c2a6318f0de947bb35d60c2f8a41e79036bd5f21c08e7aa64";

/// Volumes of the host that broke down.
const UNOWNED: u32 = 4;

#[derive(Debug)]
pub(crate) struct Stage {
    cloud: Cloud,
    service: Project,
    cinder: User,
    database: CinderDatabase,
    planted: Planted,
    fixed_key: Zeroizing<Vec<u8>>,
    dir: TempDir,
    _heartbeat: Heartbeat,
}

impl Stage {
    pub(crate) async fn set(options: &Options) -> anyhow::Result<Self> {
        let builder = Cloud::builder()
            .role_world(options.role_world())
            .seed(options.seed)
            .keystone_port(options.keystone_port)
            .barbican_port(options.barbican_port);
        let cloud = builder
            .start()
            .await
            .context("cannot start Keystone and Barbican")?;
        let service = cloud.create_project("service");
        let cinder = cloud.create_user("cinder", "cinder-in-the-sandbox");
        cloud.grant_role(&cinder.id, &service.id, "service");
        let dir = tempfile::Builder::new()
            .prefix("cinder-key-migrator-sandbox-")
            .tempdir();
        let dir = dir.context("cannot make a temporary directory")?;
        let database = CinderDatabase::create(dir.path().join("cinder.sqlite")).await?;
        // Every row can be migrated in the end: the story shows how.
        let population = Population {
            volumes: options.volumes,
            seed: options.seed,
            unowned: UNOWNED,
            homeless: 0,
            transitional: 0,
            stragglers: 0,
        };
        let planted = database.populate(&population, &cloud).await?;
        let heartbeat = database.keep_services_up(cloud.clock()).await?;
        let fixed_key = hex::decode(FIXED_KEY).context("the fixed key is hexadecimal")?;
        cloud.set_latency(options.latency());
        Ok(Self {
            cloud,
            service,
            cinder,
            database,
            planted,
            fixed_key: fixed_key.into(),
            dir,
            _heartbeat: heartbeat,
        })
    }

    pub(crate) fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    pub(crate) fn service(&self) -> &Project {
        &self.service
    }

    pub(crate) fn cinder(&self) -> &User {
        &self.cinder
    }

    pub(crate) fn database(&self) -> &CinderDatabase {
        &self.database
    }

    pub(crate) fn planted(&self) -> &Planted {
        &self.planted
    }

    pub(crate) fn fixed_key(&self) -> &[u8] {
        &self.fixed_key
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) async fn check(&self, scope: Scope) -> anyhow::Result<Report> {
        let check = Check {
            cloud: &self.cloud,
            database: &self.database,
            planted: &self.planted,
            fixed_key: &self.fixed_key,
            service_user_id: &self.cinder.id,
            scope,
        };
        Ok(check.run().await?)
    }

    /// Zero rows by the place they stand in: volumes, their snapshots, backups.
    pub(crate) fn zeros(&self) -> Vec<(String, [usize; 3])> {
        let before = &self.planted.before;
        let mut places: Vec<(String, [usize; 3])> = Vec::new();
        for ((kind, _), row) in before.rows.iter().filter(|(_, row)| row.is_live_zero()) {
            let volume = row.volume_id.as_ref().filter(|_| *kind == Kind::Snapshot);
            let volume = volume.and_then(|id| before.rows.get(&(Kind::Volume, id.clone())));
            let host = volume.unwrap_or(row).host.as_deref().unwrap_or("(no host)");
            let place = place(host.split('#').next().unwrap_or(host));
            let index = match places.iter().position(|(known, _)| *known == place) {
                Some(index) => index,
                None => {
                    places.push((place, [0; 3]));
                    places.len() - 1
                }
            };
            places[index].1[*kind as usize] += 1;
        }
        places.sort();
        places
    }
}

fn place(host: &str) -> String {
    let name = host.split('@').next().unwrap_or(host);
    let known = HOSTS.iter().find(|known| known.name == name);
    match known {
        Some(known) if host.contains('@') && host != known.backend_host() => {
            format!("{host}, a backend that was taken out")
        }
        Some(Host { alive: false, .. }) => format!("{name}, which broke down for good"),
        Some(Host {
            cluster: Some(cluster),
            ..
        }) => format!("{name}, in {cluster}"),
        _ => name.to_owned(),
    }
}
