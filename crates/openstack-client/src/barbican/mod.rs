//! Barbican as the domain's key manager. Each request is sent once; a 401 alone is answered before
//! anything takes effect, and then the request is sent once more with a new token.

mod listing;
mod metadata;
mod port;
mod preflight;
mod trouble;
mod wire;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use key_migration::ids::RequestId;
use key_migration::reasons::{Fault, Reason};
use reqwest::{Method, StatusCode};
use url::Url;

use crate::answer::{Said, said};
use crate::catalog::{barbican_v1, below};
use crate::config::{BarbicanConfig, ConfigError, KeystoneConfig, checked_url};
use crate::observer::{Api, Operation, RequestObserver};
use crate::session::KeystoneSession;
use crate::token::Token;
use crate::transport::{self, Answer, Call, Transport, TransportError};
pub use preflight::{Probe, Quota, Reached};
use trouble::{Trouble, Verdict};

/// The type of Barbican's service in Keystone's catalogue.
const SERVICE_TYPE: &str = "key-manager";
const JSON: &str = "application/json";

/// Barbican, signed in as Cinder's service user.
pub struct BarbicanKeyManager {
    config: BarbicanConfig,
    session: Arc<KeystoneSession>,
    transport: Transport,
}

/// A request to Barbican, before it is known where Barbican is.
struct Ask {
    operation: Operation,
    method: Method,
    /// Below `/v1`.
    path: String,
    query: Vec<(&'static str, String)>,
    accept: &'static str,
    body: Option<Bytes>,
    request: RequestId,
}

/// What Barbican said to whom.
struct Heard {
    answer: Answer,
    token: Arc<Token>,
}

impl BarbicanKeyManager {
    /// Prepares a session and a key manager. Nothing is sent before the first request.
    ///
    /// # Errors
    /// A URL or certificates cannot be used; names the option and the file.
    pub fn new(
        keystone: KeystoneConfig,
        barbican: BarbicanConfig,
        observer: Arc<dyn RequestObserver>,
    ) -> Result<Self, ConfigError> {
        let session = KeystoneSession::new(keystone, Arc::clone(&observer))?;
        Self::with_session(Arc::new(session), barbican, observer)
    }

    /// Prepares a key manager on a session that others use too.
    ///
    /// # Errors
    /// The endpoint's URL or the certificates cannot be used; names the option and the file.
    pub fn with_session(
        session: Arc<KeystoneSession>,
        config: BarbicanConfig,
        observer: Arc<dyn RequestObserver>,
    ) -> Result<Self, ConfigError> {
        if let Some(endpoint) = &config.endpoint {
            checked_url(endpoint, || "[barbican] barbican_endpoint".into())?;
        }
        let keystone = session.config();
        let same = keystone.trust == config.trust
            && keystone.certificate == config.certificate
            && keystone.timeouts == config.timeouts;
        let client = if same {
            session.client()
        } else {
            transport::client(&config.trust, config.certificate.as_ref(), config.timeouts)?
        };
        Ok(Self {
            transport: Transport::new(client, Api::Barbican, observer),
            session,
            config,
        })
    }

    /// The session that requests are signed with.
    #[must_use]
    pub fn session(&self) -> &Arc<KeystoneSession> {
        &self.session
    }

    /// Sends the request, and once more if the token was rejected.
    async fn ask(&self, ask: Ask) -> Result<Heard, Trouble> {
        let heard = self.ask_once(&ask).await?;
        if heard.answer.status != StatusCode::UNAUTHORIZED {
            return Ok(heard);
        }
        self.session.discard(&heard.token);
        let heard = self.ask_once(&ask).await?;
        if heard.answer.status != StatusCode::UNAUTHORIZED {
            return Ok(heard);
        }
        self.session.discard(&heard.token);
        Err(Trouble::NotDone(Fault::new(
            Reason::KeystoneRejected,
            format!(
                "Barbican rejects a token that Keystone has just issued: {}",
                heard.said(&[]).text
            ),
            format!(
                "see that [{}] auth_url names the Keystone that this Barbican asks, and that \
                 Barbican's own [keystone_authtoken] lets it in there",
                self.session.config().section
            ),
        )))
    }

    async fn ask_once(&self, ask: &Ask) -> Result<Heard, Trouble> {
        let token = self
            .session
            .token(ask.request)
            .await
            .map_err(Trouble::NotDone)?;
        let base = self.base(&token).map_err(Trouble::NotDone)?;
        let mut url = below(&base, &ask.path);
        if !ask.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&ask.query);
        }
        let call = Call {
            operation: ask.operation,
            method: ask.method.clone(),
            url,
            accept: ask.accept,
            body: ask.body.clone(),
            request: ask.request,
        };
        match self.transport.send(&call, Some(token.value())).await {
            Ok(answer) => Ok(Heard { answer, token }),
            Err(TransportError::NotSent(text)) => {
                Err(Trouble::NotDone(self.unreachable(&base, &text)))
            }
            Err(TransportError::Unanswered(text)) => Err(Trouble::Unanswered(format!(
                "Barbican at {base} gave no answer: {text}"
            ))),
        }
    }

    /// Where version 1 of the API is.
    fn base(&self, token: &Token) -> Result<Url, Fault> {
        if let Some(endpoint) = &self.config.endpoint {
            return Ok(barbican_v1(endpoint));
        }
        let region = self.config.region_name.as_deref();
        let unusable = |problem: String| {
            Fault::new(
                Reason::Configuration,
                problem,
                "set [barbican] barbican_endpoint_type, barbican_region_name or barbican_endpoint \
                 to where Barbican is, or add its endpoint to the catalogue",
            )
        };
        let endpoint = token
            .catalog
            .endpoint(SERVICE_TYPE, self.config.interface, region)
            .map_err(|missing| unusable(missing.to_string()))?;
        checked_url(&endpoint, || {
            "Barbican's endpoint in Keystone's catalogue".into()
        })
        .map_err(|bad| unusable(bad.to_string()))?;
        Ok(barbican_v1(&endpoint))
    }

    /// What an answer that is no success means. A token refused for want of a role is dropped:
    /// keystonemiddleware keeps a token's roles for 300 s, so that only a new one shows a role
    /// that is granted meanwhile.
    fn verdict(&self, heard: &Heard, withheld: &[&str]) -> Verdict {
        let verdict = Verdict::of(heard, withheld);
        if matches!(&verdict, Verdict::Forbidden(_)) {
            self.session.discard(&heard.token);
        }
        verdict
    }
}

impl Heard {
    /// What Barbican said, unless it repeats the token or one of these.
    fn said(&self, withheld: &[&str]) -> Said {
        let token = self.token.value().to_str().unwrap_or_default();
        said(&self.answer, &[withheld, &[token]].concat())
    }
}

impl Ask {
    fn get(operation: Operation, path: &str, accept: &'static str, request: RequestId) -> Self {
        Self {
            operation,
            method: Method::GET,
            path: path.into(),
            query: Vec::new(),
            accept,
            body: None,
            request,
        }
    }
}

impl fmt::Debug for BarbicanKeyManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarbicanKeyManager")
            .field("config", &self.config)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}
