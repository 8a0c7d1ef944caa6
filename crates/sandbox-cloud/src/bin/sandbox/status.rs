//! `/v1/status` of the program, as far as the story looks at it.

use serde::Deserialize;

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Status {
    pub(crate) services: Vec<ServiceStatus>,
    #[serde(rename = "global")]
    pub(crate) counted: Option<Counted>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct ServiceStatus {
    pub(crate) service: String,
    pub(crate) state: String,
    pub(crate) reason: Option<Reason>,
    pub(crate) remedy: Option<String>,
    pub(crate) keys: Keys,
    pub(crate) rate_per_second: f64,
    pub(crate) eta_seconds: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Reason {
    pub(crate) code: String,
    pub(crate) message: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Keys {
    pub(crate) remaining: u64,
    pub(crate) migrated: u64,
    pub(crate) failed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub(crate) struct Counted {
    pub(crate) volumes: u64,
    pub(crate) snapshots: u64,
    pub(crate) backups: u64,
    pub(crate) unowned: Unowned,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub(crate) struct Unowned {
    pub(crate) volumes: u64,
    pub(crate) backups: u64,
}

impl Status {
    pub(crate) fn all_are(&self, state: &str) -> bool {
        !self.services.is_empty() && self.services.iter().all(|service| service.state == state)
    }

    /// Nothing left on this host, whatever is left elsewhere.
    pub(crate) fn all_are_done(&self) -> bool {
        let done = |service: &ServiceStatus| ["idle", "complete"].contains(&service.state.as_str());
        !self.services.is_empty() && self.services.iter().all(done)
    }

    pub(crate) fn progress(&self) -> String {
        let line = |service: &ServiceStatus| {
            let ServiceStatus {
                service,
                state,
                keys,
                rate_per_second,
                eta_seconds,
                ..
            } = service;
            let eta = eta_seconds.map_or_else(String::new, |eta| format!(", {eta} s to go"));
            let failed = match keys.failed {
                0 => String::new(),
                failed => format!(", {failed} failed"),
            };
            format!(
                "{service} {state}: {} done, {} left{failed}, {rate_per_second:.0} a second{eta}",
                keys.migrated, keys.remaining
            )
        };
        self.services
            .iter()
            .map(line)
            .collect::<Vec<_>>()
            .join("; ")
    }
}
