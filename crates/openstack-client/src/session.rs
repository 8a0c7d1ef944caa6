//! One token for everybody. It is renewed at 80% of its life, measured by a monotonic clock, so
//! that no clock of another host matters; while it still has life, requests go on with it when a
//! renewal is under way or fails. However many requests find it rejected, one of them signs in and
//! the others take what came of it, failure included.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use key_migration::ids::RequestId;
use key_migration::reasons::{Fault, Reason};
use reqwest::{Client, Method, StatusCode};
use secrecy::ExposeSecret;
use tokio::time::Instant;
use tracing::debug;
use url::Url;

use crate::answer::said;
use crate::catalog::{below, keystone_v3};
use crate::config::{ConfigError, Interface, KeystoneConfig, checked_url};
use crate::keystone::{self, Issued};
use crate::observer::{Api, Operation, RequestObserver};
use crate::remedy;
use crate::token::Token;
use crate::transport::{self, Answer, Call, Transport, TransportError};

/// After a renewal that failed while the old token still had life.
const NEXT_RENEWAL: Duration = Duration::from_secs(10);

/// A session with Keystone.
pub struct KeystoneSession {
    config: KeystoneConfig,
    tokens_url: Url,
    client: Client,
    transport: Transport,
    state: Mutex<State>,
    /// Held by whoever signs in.
    signing_in: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    current: Option<Current>,
    /// How often somebody has signed in, or tried to.
    attempts: u64,
    /// What came of the last attempt, if it failed.
    failure: Option<Fault>,
}

#[derive(Clone)]
struct Current {
    token: Arc<Token>,
    renew_at: Instant,
    expires_at: Instant,
}

impl KeystoneSession {
    /// Prepares a session. Nothing is sent before the first token is asked for.
    ///
    /// # Errors
    /// The URL or the certificates cannot be used.
    pub fn new(
        config: KeystoneConfig,
        observer: Arc<dyn RequestObserver>,
    ) -> Result<Self, ConfigError> {
        checked_url(&config.auth_url, || {
            format!("[{}] auth_url", config.section)
        })?;
        let client =
            transport::client(&config.trust, config.certificate.as_ref(), config.timeouts)?;
        Ok(Self {
            tokens_url: below(&keystone_v3(&config.auth_url), "auth/tokens"),
            transport: Transport::new(client.clone(), Api::Keystone, observer),
            client,
            config,
            state: Mutex::default(),
            signing_in: tokio::sync::Mutex::default(),
        })
    }

    /// A token that has life left.
    ///
    /// # Errors
    /// Keystone does not let us in, or does not answer.
    pub async fn token(&self, request: RequestId) -> Result<Arc<Token>, Fault> {
        let (current, attempts) = self.look();
        let now = Instant::now();
        let living = current.filter(|current| now < current.expires_at);
        match living {
            Some(current) if now < current.renew_at => Ok(current.token),
            Some(current) => match self.signing_in.try_lock() {
                Ok(_mine) => Ok(self.renew(current, request).await),
                Err(_) => Ok(current.token),
            },
            None => {
                let _mine = self.signing_in.lock().await;
                self.sign_in_unless_done(attempts, request).await
            }
        }
    }

    /// Takes this token out of use; the next request signs in. Nothing happens if a newer one is
    /// in use already.
    pub(crate) fn discard(&self, token: &Arc<Token>) {
        let mut state = self.lock();
        if state
            .current
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(&current.token, token))
        {
            state.current = None;
        }
    }

    /// Where the catalogue of this token has a service.
    ///
    /// # Errors
    /// It has no such endpoint, and the message says what it has instead; or Keystone does not let
    /// us in.
    pub async fn endpoint(
        &self,
        service_type: &str,
        interface: Interface,
        region_name: Option<&str>,
        request: RequestId,
    ) -> Result<Url, Fault> {
        let token = self.token(request).await?;
        let found = token.catalog.endpoint(service_type, interface, region_name);
        found.map_err(|missing| {
            let remedy = format!(
                "add the endpoint to the catalogue: openstack endpoint create {service_type} \
                 {interface} URL"
            );
            Fault::new(Reason::Configuration, missing.to_string(), remedy)
        })
    }

    pub(crate) fn config(&self) -> &KeystoneConfig {
        &self.config
    }

    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    async fn renew(&self, old: Current, request: RequestId) -> Arc<Token> {
        if let Some(current) = self.look().0
            && !Arc::ptr_eq(&current.token, &old.token)
        {
            return current.token;
        }
        match self.sign_in(request).await {
            Ok(token) => token,
            Err(fault) => {
                debug!("The token cannot be renewed, but still has life: {fault}");
                if let Some(current) = &mut self.lock().current {
                    current.renew_at = Instant::now() + NEXT_RENEWAL;
                }
                old.token
            }
        }
    }

    /// Signs in, unless somebody did while we waited for our turn.
    async fn sign_in_unless_done(
        &self,
        attempts_before: u64,
        request: RequestId,
    ) -> Result<Arc<Token>, Fault> {
        {
            let state = self.lock();
            if state.attempts != attempts_before {
                if let Some(current) = &state.current {
                    return Ok(Arc::clone(&current.token));
                }
                if let Some(fault) = &state.failure {
                    return Err(fault.clone());
                }
            }
        }
        self.sign_in(request).await
    }

    async fn sign_in(&self, request: RequestId) -> Result<Arc<Token>, Fault> {
        let started = Instant::now();
        let result = self.issue(request).await;
        let mut state = self.lock();
        state.attempts += 1;
        state.failure = result.as_ref().err().cloned();
        let issued = result?;
        let current = Current {
            renew_at: started + issued.life.mul_f64(0.8),
            expires_at: started + issued.life,
            token: Arc::new(Token::from(issued)),
        };
        let token = Arc::clone(&current.token);
        state.current = Some(current);
        drop(state);
        debug!(
            "Signed in at Keystone as {} in project {}",
            token.user(),
            token.project()
        );
        Ok(token)
    }

    async fn issue(&self, request: RequestId) -> Result<Issued, Fault> {
        let call = Call {
            operation: Operation::SignIn,
            method: Method::POST,
            url: self.tokens_url.clone(),
            accept: "application/json",
            body: Some(keystone::sign_in_body(&self.config.credentials)),
            request,
        };
        let answer = match self.transport.send(&call, None).await {
            Ok(answer) => answer,
            Err(TransportError::NotSent(text)) => {
                return Err(self.unreachable(&format!("cannot be reached: {text}")));
            }
            Err(TransportError::Unanswered(text)) => {
                return Err(self.unreachable(&format!("gave no answer: {text}")));
            }
        };
        if answer.status != StatusCode::CREATED && answer.status != StatusCode::OK {
            return Err(self.refusal(&answer));
        }
        keystone::issued(&answer).map_err(|malformed| self.unreachable(&malformed.to_string()))
    }

    /// What it means that Keystone did not issue a token.
    fn refusal(&self, answer: &Answer) -> Fault {
        let secret = self.config.credentials.secret().expose_secret();
        let said = said(answer, &[secret]).text;
        match answer.status.as_u16() {
            401 | 403 => Fault::new(
                Reason::KeystoneRejected,
                format!("Keystone does not let us in: {said}"),
                remedy::not_let_in(&self.config),
            ),
            408 | 425 | 429 | 500.. => self.unreachable(&format!("answered {said}")),
            300..=399 | 404 | 405 => Fault::new(
                Reason::Configuration,
                format!("{} is not where Keystone signs in: {said}", self.tokens_url),
                format!(
                    "correct [{}] auth_url; redirects are not followed",
                    self.config.section
                ),
            ),
            _ => Fault::new(
                Reason::KeystoneRejected,
                format!("Keystone refuses the request for a token: {said}"),
                remedy::not_let_in(&self.config),
            ),
        }
    }

    fn unreachable(&self, what: &str) -> Fault {
        Fault::new(
            Reason::KeystoneUnreachable,
            format!("Keystone at {} {what}", self.config.auth_url),
            remedy::service_away(
                &format!("[{}] auth_url", self.config.section),
                "keystone_authtoken",
                &self.config.trust,
                self.config.certificate.as_ref(),
                what,
            ),
        )
    }

    fn look(&self) -> (Option<Current>, u64) {
        let state = self.lock();
        (state.current.clone(), state.attempts)
    }

    /// A panic elsewhere leaves nothing half done in here.
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KeystoneSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeystoneSession")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
