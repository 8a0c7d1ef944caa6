//! Where the rows at zeros are, over all hosts.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::ids::ResourceKind;

/// Rows at zeros at one place. Snapshots are where their volume is, and are not among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostRows {
    /// `host@backend` of volumes, the host alone of backups; `None` where the rows have none.
    pub host: Option<String>,
    /// `cluster@backend`, of volumes only.
    pub cluster: Option<String>,
    /// `volumes` at zeros, not deleted.
    pub volumes: u64,
    /// `backups` at zeros, not deleted.
    pub backups: u64,
    /// Whether a Cinder service that is up owns them.
    pub service_up: bool,
}

/// Gathers them, the pools of a backend together.
#[derive(Debug, Default)]
pub struct HostRowsBuilder(BTreeMap<Place, HostRows>);

/// Host, cluster, and whether the service is up.
type Place = (Option<String>, Option<String>, bool);

impl HostRowsBuilder {
    /// Adds rows of one kind whose columns `host` and `cluster_name` hold this.
    pub fn add(
        &mut self,
        kind: ResourceKind,
        host: Option<&str>,
        cluster: Option<&str>,
        rows: u64,
        service_up: bool,
    ) {
        let [host, cluster] = [host, cluster].map(|name| name.map(without_pool));
        let place = (host.clone(), cluster.clone(), service_up);
        let there = self.0.entry(place).or_insert_with(|| HostRows {
            host,
            cluster,
            volumes: 0,
            backups: 0,
            service_up,
        });
        match kind {
            ResourceKind::Volume => there.volumes += rows,
            ResourceKind::Backup => there.backups += rows,
            ResourceKind::Snapshot => {}
        }
    }

    /// All places: first those that nobody migrates, then those with most rows.
    #[must_use]
    pub fn build(self) -> Arc<[HostRows]> {
        let mut all: Vec<HostRows> = self.0.into_values().collect();
        all.sort_by_key(|one| (one.service_up, Reverse(one.volumes + one.backups)));
        all.into()
    }
}

fn without_pool(name: &str) -> String {
    name.split('#').next().unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_are_taken_together_and_what_nobody_migrates_comes_first() {
        let mut gathered = HostRowsBuilder::default();
        let (volume, backup) = (ResourceKind::Volume, ResourceKind::Backup);
        gathered.add(volume, Some("a@b#one"), None, 1, true);
        gathered.add(volume, Some("a@b#two"), None, 2, true);
        gathered.add(volume, Some("c@b"), Some("cluster@b#one"), 9, true);
        gathered.add(backup, Some("a"), None, 4, true);
        gathered.add(volume, None, None, 1, false);
        let gathered = gathered.build();
        let shown: Vec<_> = gathered
            .iter()
            .map(|one| {
                let names = (one.host.as_deref(), one.cluster.as_deref());
                (names, one.volumes, one.backups, one.service_up)
            })
            .collect();
        assert_eq!(
            shown,
            [
                ((None, None), 1, 0, false),
                ((Some("c@b"), Some("cluster@b")), 9, 0, true),
                ((Some("a"), None), 0, 4, true),
                ((Some("a@b"), None), 3, 0, true),
            ]
        );
    }
}
