//! The cloud's handle: start it, furnish it, disturb it, look into it.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::barbican::{AclView, NewSecret, Payload, SecretView, Vault};
use crate::clock::Clock;
use crate::door::{self, Service};
use crate::faults::{Fault, FaultPlan, Operation};
use crate::identity::{DEFAULT_DOMAIN_ID, Identity, Project, User};
use crate::random::Random;
use crate::server::Server;
use crate::shared::{RoleWorld, Settings, Shared, State};
use crate::traffic::{LoggedRequest, Traffic};

/// How a [`Cloud`] is to be; every setting has the default of the real service.
#[derive(Clone, Debug)]
pub struct Builder {
    role_world: RoleWorld,
    token_lifetime: Duration,
    token_cache_time: Duration,
    host_href: Option<String>,
    region_name: String,
    keystone_port: u16,
    barbican_port: u16,
    seed: u64,
    clock: Clock,
}

impl Builder {
    /// Which roles Barbican wants; [`RoleWorld::Member`] unless said.
    pub fn role_world(mut self, role_world: RoleWorld) -> Self {
        self.role_world = role_world;
        self
    }

    /// How long a token lives; 3600 s unless said (keystone `[token] expiration`).
    pub fn token_lifetime(mut self, lifetime: Duration) -> Self {
        self.token_lifetime = lifetime;
        self
    }

    /// How long Barbican trusts a token it has validated; 300 s unless said
    /// (keystonemiddleware `token_cache_time`).
    pub fn token_cache_time(mut self, time: Duration) -> Self {
        self.token_cache_time = time;
        self
    }

    /// The base of the references Barbican hands out, without `/v1`; its own
    /// URL unless said (barbican `[DEFAULT] host_href`).
    pub fn host_href(mut self, url: impl Into<String>) -> Self {
        self.host_href = Some(url.into());
        self
    }

    /// The only region in the catalogue; `RegionOne` unless said.
    pub fn region_name(mut self, name: impl Into<String>) -> Self {
        self.region_name = name.into();
        self
    }

    /// Keystone's port on 127.0.0.1; a free one unless said.
    pub fn keystone_port(mut self, port: u16) -> Self {
        self.keystone_port = port;
        self
    }

    /// Barbican's port on 127.0.0.1; a free one unless said.
    pub fn barbican_port(mut self, port: u16) -> Self {
        self.barbican_port = port;
        self
    }

    /// Where IDs come from; the same seed and calls give the same IDs.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The clock that the cloud goes by, to be moved by the test.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Starts Keystone and Barbican.
    ///
    /// # Errors
    ///
    /// When a port cannot be listened on.
    pub async fn start(self) -> io::Result<Cloud> {
        let keystone = Server::bind(self.keystone_port).await?;
        let barbican = Server::bind(self.barbican_port).await?;
        let shared = Arc::new(Shared {
            settings: Settings {
                role_world: self.role_world,
                token_lifetime: self.token_lifetime,
                token_cache_time: self.token_cache_time,
                host_href: self.host_href,
                region_name: self.region_name,
            },
            clock: self.clock,
            faults: FaultPlan::default(),
            traffic: Traffic::default(),
            latency: AtomicU64::new(0),
            keystone_address: keystone.local_addr()?,
            barbican_address: barbican.local_addr()?,
            keystone_is_up: AtomicBool::new(true),
            state: Mutex::new(State {
                random: Random::from_seed(self.seed),
                identity: Identity::new(),
                vault: Vault::default(),
                token_cache: HashMap::new(),
            }),
        });
        let app = |service| door::app(service, Arc::clone(&shared));
        Ok(Cloud {
            keystone: Arc::new(Server::start_on(keystone, app(Service::Keystone))?),
            barbican: Arc::new(Server::start_on(barbican, app(Service::Barbican))?),
            shared,
        })
    }
}

/// A running cloud. Clones are the same cloud; it ends with the last of them.
#[derive(Clone, Debug)]
pub struct Cloud {
    keystone: Arc<Server>,
    barbican: Arc<Server>,
    shared: Arc<Shared>,
}

/// Where the cloud is, and what time it has.
impl Cloud {
    /// A cloud as the real services are out of the box.
    pub fn builder() -> Builder {
        Builder {
            role_world: RoleWorld::Member,
            token_lifetime: Duration::from_secs(3600),
            token_cache_time: Duration::from_secs(300),
            host_href: None,
            region_name: "RegionOne".into(),
            keystone_port: 0,
            barbican_port: 0,
            seed: 1,
            clock: Clock::default(),
        }
    }

    /// Keystone's URL with `/v3`, as `auth_url` takes it.
    pub fn keystone_url(&self) -> String {
        self.shared.keystone_url()
    }

    /// Barbican's URL without version, as the catalogue has it.
    pub fn barbican_url(&self) -> String {
        self.shared.barbican_url()
    }

    /// The region in the catalogue.
    pub fn region_name(&self) -> &str {
        &self.shared.settings.region_name
    }

    /// Which roles Barbican wants.
    pub fn role_world(&self) -> RoleWorld {
        self.shared.settings.role_world
    }

    /// The clock that the cloud goes by.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }
}

/// Who there is.
impl Cloud {
    /// Makes a domain, or finds it; returns its ID. `Default` exists already.
    pub fn create_domain(&self, name: &str) -> String {
        let mut state = self.shared.lock();
        let state = &mut *state;
        state.identity.create_domain(name, &mut state.random)
    }

    /// Makes a project in the `Default` domain.
    pub fn create_project(&self, name: &str) -> Project {
        self.create_project_in(DEFAULT_DOMAIN_ID, name)
    }

    /// Makes a project in the domain with this ID.
    pub fn create_project_in(&self, domain_id: &str, name: &str) -> Project {
        let mut state = self.shared.lock();
        let state = &mut *state;
        state
            .identity
            .create_project(domain_id, name, &mut state.random)
    }

    /// Makes a user in the `Default` domain.
    pub fn create_user(&self, name: &str, password: impl Into<SecretString>) -> User {
        self.create_user_in(DEFAULT_DOMAIN_ID, name, password)
    }

    /// Makes a user in the domain with this ID.
    pub fn create_user_in(
        &self,
        domain_id: &str,
        name: &str,
        password: impl Into<SecretString>,
    ) -> User {
        let mut state = self.shared.lock();
        let state = &mut *state;
        state
            .identity
            .create_user(domain_id, name, password.into(), &mut state.random)
    }

    /// Changes a user's password, which revokes the user's tokens; those that Barbican has
    /// validated stay good there for its `token_cache_time`.
    pub fn change_password(&self, user_id: &str, password: impl Into<SecretString>) {
        self.shared
            .lock()
            .identity
            .change_password(user_id, password.into());
    }

    /// Grants a role on a project. What is implied comes with it (`admin`:
    /// `manager`, `member`, `reader`). Tokens that Barbican has validated
    /// already do not have it.
    pub fn grant_role(&self, user_id: &str, project_id: &str, role: &str) {
        let mut state = self.shared.lock();
        let state = &mut *state;
        state
            .identity
            .grant(user_id, project_id, role, &mut state.random);
    }

    /// Takes a role on a project away.
    pub fn revoke_role(&self, user_id: &str, project_id: &str, role: &str) {
        self.shared
            .lock()
            .identity
            .revoke(user_id, project_id, role);
    }

    /// Revokes every token, as a change of Fernet keys does, and lets Barbican
    /// forget what it has validated.
    pub fn revoke_all_tokens(&self) {
        let mut state = self.shared.lock();
        state.identity.revoke_all_tokens();
        state.token_cache.clear();
    }
}

/// What Barbican holds.
impl Cloud {
    /// Every secret of every project, by ID.
    pub fn secrets(&self) -> Vec<SecretView> {
        self.shared.lock().vault.views()
    }

    /// The secret with this ID.
    pub fn secret(&self, secret_id: Uuid) -> Option<SecretView> {
        self.shared
            .lock()
            .vault
            .get(secret_id)
            .map(|secret| secret.view())
    }

    /// Puts an AES key there as if `creator_id` had stored it just now.
    pub fn plant_secret(
        &self,
        project_id: &str,
        creator_id: &str,
        name: Option<&str>,
        payload: &[u8],
    ) -> Uuid {
        let now = self.shared.clock.now();
        let mut state = self.shared.lock();
        let secret_id = state.random.uuid();
        let new = NewSecret {
            name: name.map(ToOwned::to_owned),
            algorithm: Some("aes".into()),
            bit_length: u16::try_from(payload.len() * 8).ok(),
            secret_type: Some("symmetric".into()),
            payload: Some(Payload {
                content_type: "application/octet-stream".into(),
                bytes: Zeroizing::new(payload.to_vec()),
            }),
            ..NewSecret::default()
        };
        state
            .vault
            .store(secret_id, project_id, creator_id, new, now);
        secret_id
    }

    /// Sets a secret's readers as its creator could; the project keeps its
    /// access. False when the secret is not there.
    pub fn set_readers(&self, secret_id: Uuid, user_ids: impl IntoIterator<Item = String>) -> bool {
        let now = self.shared.clock.now();
        let acl = AclView {
            users: user_ids.into_iter().collect(),
            project_access: true,
        };
        self.shared.lock().vault.set_acl(secret_id, Some(acl), now)
    }

    /// Moves the instant at which a secret was stored; false when it is not there.
    pub fn set_created(&self, secret_id: Uuid, created: Timestamp) -> bool {
        self.shared.lock().vault.set_created(secret_id, created)
    }

    /// Puts other bytes in a secret; false when it is not there.
    pub fn replace_payload(&self, secret_id: Uuid, payload: &[u8]) -> bool {
        self.shared.lock().vault.replace_payload(secret_id, payload)
    }

    /// Takes a secret away behind everybody's back; false when it is not there.
    pub fn remove_secret(&self, secret_id: Uuid) -> bool {
        self.shared.lock().vault.remove(secret_id)
    }

    /// Sets the most secrets a project may have; `None` or a negative number
    /// for no limit.
    pub fn set_secrets_quota(&self, project_id: &str, quota: Option<i64>) {
        self.shared.lock().vault.set_quota(project_id, quota);
    }
}

/// What goes wrong.
impl Cloud {
    /// Every request waits this long, rounded to milliseconds, before it is
    /// looked at.
    pub fn set_latency(&self, latency: Duration) {
        let millis = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        self.shared.latency.store(millis, Ordering::Relaxed);
    }

    /// Lets `fault` strike the next `times` requests for `operation`.
    pub fn inject(&self, operation: Operation, fault: Fault, times: usize) {
        if times > 0 {
            self.shared.faults.add(operation, fault, 0, Some(times));
        }
    }

    /// Lets the first `skip` requests for `operation` pass, and `fault` strike
    /// the one after them.
    pub fn inject_after(&self, operation: Operation, skip: usize, fault: Fault) {
        self.shared.faults.add(operation, fault, skip, Some(1));
    }

    /// Lets `fault` strike every request for `operation` until it is cleared.
    pub fn inject_until_cleared(&self, operation: Operation, fault: Fault) {
        self.shared.faults.add(operation, fault, 0, None);
    }

    /// Forgets the faults planned for `operation`.
    pub fn clear_faults(&self, operation: Operation) {
        self.shared.faults.clear(operation);
    }

    /// Forgets every planned fault.
    pub fn clear_all_faults(&self) {
        self.shared.faults.clear_all();
    }

    /// Stops a service: its port refuses connections, those that are open close.
    pub async fn stop(&self, service: Service) {
        if service == Service::Keystone {
            self.shared.keystone_is_up.store(false, Ordering::Relaxed);
        }
        self.server(service).stop().await;
    }

    /// Starts a stopped service again on its port, with what it knew.
    ///
    /// # Errors
    ///
    /// When somebody else has taken the port meanwhile.
    pub async fn restart(&self, service: Service) -> io::Result<()> {
        self.server(service).start().await?;
        if service == Service::Keystone {
            self.shared.keystone_is_up.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn server(&self, service: Service) -> &Server {
        match service {
            Service::Keystone => &self.keystone,
            Service::Barbican => &self.barbican,
        }
    }
}

/// What came in.
impl Cloud {
    /// How many requests for `operation` have come so far.
    pub fn requests(&self, operation: Operation) -> u64 {
        self.shared.traffic.count(operation)
    }

    /// Waits until `count` requests for `operation` have come since the start.
    pub async fn wait_for_requests(&self, operation: Operation, count: u64) {
        self.shared.traffic.wait_for(operation, count).await;
    }

    /// Waits until no request is under way, including those whose callers have
    /// gone.
    pub async fn idle(&self) {
        self.shared.traffic.idle().await;
    }

    /// Waits until all who have connected so far have hung up and all that they sent has taken
    /// effect: after that nothing more can come of a caller that was killed.
    pub async fn hung_up(&self) {
        self.keystone.hung_up().await;
        self.barbican.hung_up().await;
    }

    /// The most requests under way at one time, of one operation or of all.
    pub fn high_water(&self, operation: Option<Operation>) -> u64 {
        self.shared.traffic.high_water(operation)
    }

    /// Every request so far, in the order of arrival.
    pub fn request_log(&self) -> Vec<LoggedRequest> {
        self.shared.traffic.log()
    }
}
