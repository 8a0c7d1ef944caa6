//! What both services of one cloud share: settings, state, faults, traffic.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::barbican::Vault;
use crate::barbican::auth::CachedToken;
use crate::clock::Clock;
use crate::faults::FaultPlan;
use crate::identity::Identity;
use crate::random::Random;
use crate::traffic::Traffic;

/// Which roles this cloud's Barbican wants (barbican `common/policies/`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleWorld {
    /// As shipped since 18.0.0 (2024.1): `member`; `creator` alone is refused.
    Member,
    /// Older, or with `[oslo_policy] enforce_new_defaults = false`: `creator`
    /// or `admin`; `member` alone is refused.
    Creator,
}

#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) role_world: RoleWorld,
    pub(crate) token_lifetime: Duration,
    pub(crate) token_cache_time: Duration,
    pub(crate) host_href: Option<String>,
    pub(crate) region_name: String,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) faults: FaultPlan,
    pub(crate) traffic: Traffic,
    /// Added to every request, in milliseconds.
    pub(crate) latency: AtomicU64,
    pub(crate) keystone_address: SocketAddr,
    pub(crate) barbican_address: SocketAddr,
    pub(crate) keystone_is_up: AtomicBool,
    pub(crate) state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) random: Random,
    pub(crate) identity: Identity,
    pub(crate) vault: Vault,
    pub(crate) token_cache: HashMap<String, CachedToken>,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn keystone_url(&self) -> String {
        format!("http://{}/v3", self.keystone_address)
    }

    pub(crate) fn barbican_url(&self) -> String {
        format!("http://{}", self.barbican_address)
    }

    /// The base of the references that Barbican hands out (`[DEFAULT] host_href`).
    pub(crate) fn host_href(&self) -> String {
        let own = || self.barbican_url();
        let href = self.settings.host_href.clone().unwrap_or_else(own);
        href.trim_end_matches('/').to_owned()
    }

    pub(crate) fn catalog(&self) -> Value {
        let volume_v3 = "http://127.0.0.1:8776/v3";
        json!([
            self.service("identity", "keystone", 1, &self.keystone_url()),
            self.service("key-manager", "barbican", 2, &self.barbican_url()),
            self.service("volumev3", "cinderv3", 3, volume_v3),
        ])
    }

    fn service(&self, service_type: &str, name: &str, number: u8, url: &str) -> Value {
        let region = &self.settings.region_name;
        let endpoint = |(index, interface): (usize, &str)| {
            json!({
                "id": format!("e0{number:02}{index:028}"),
                "interface": interface,
                "region": region,
                "region_id": region,
                "url": url,
            })
        };
        let endpoints: Vec<Value> = ["public", "internal", "admin"]
            .into_iter()
            .enumerate()
            .map(endpoint)
            .collect();
        let id = format!("c0{number:030}");
        json!({"id": id, "name": name, "type": service_type, "endpoints": endpoints})
    }
}
