//! Glance, asked for one thing: which images have a key that is all zeros.
//!
//! Every image is looked at, page by page, the hidden ones in a walk of their own, as Glance lists
//! them only when it is asked for them. Only a token with the role `admin` sees the images of all
//! projects; what another one has counted is told as such.

mod page;

use std::fmt;
use std::sync::Arc;

use key_migration::ids::{ALL_ZEROS, RequestId};
use key_migration::reasons::{Fault, Reason};
use reqwest::{Method, StatusCode};
use url::Url;

use self::page::{Image, Page};
use crate::answer::said;
use crate::catalog::below;
use crate::config::{
    ClientCertificate, ConfigError, Interface, ServerTrust, Timeouts, checked_url,
};
use crate::observer::{Api, Operation, RequestObserver};
use crate::remedy;
use crate::session::KeystoneSession;
use crate::token::Token;
use crate::transport::{self, Answer, Call, Transport, TransportError};

/// Images asked for at once; Glance gives at most 1000 as shipped (`api_limit_max`).
const PAGE: u32 = 500;
/// An image may have many long properties.
const LONGEST_PAGE: usize = 16 * 1024 * 1024;
/// What Glance's policy takes for an administrator as shipped (`context_is_admin`).
const ADMIN: &str = "admin";

/// Where Glance is, from cinder.conf.
#[derive(Clone, Debug)]
pub struct GlanceConfig {
    /// The first of `glance_api_servers`; without it the catalogue of the token tells.
    pub endpoint: Option<Url>,
    /// The first part of `glance_catalog_info`.
    pub service_type: String,
    /// The last part of `glance_catalog_info`.
    pub interface: Interface,
    /// `[glance] region_name`; without it the first endpoint of the interface is taken.
    pub region_name: Option<String>,
    /// Whose certificates are believed.
    pub trust: ServerTrust,
    /// The certificate that is shown to a server that asks for one.
    pub certificate: Option<ClientCertificate>,
    /// Limits on every request.
    pub timeouts: Timeouts,
}

/// Glance, signed in as Cinder's service user.
pub struct Glance {
    config: GlanceConfig,
    session: Arc<KeystoneSession>,
    transport: Transport,
}

/// An image that has a key of all zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZeroImage {
    /// Its ID.
    pub id: String,
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageTally {
    /// Images that were looked at.
    pub seen: u64,
    /// Of these, those whose `cinder_encryption_key_id` is all zeros.
    pub at_zeros: u64,
    /// Where the token does not see the images of other projects: whose it sees, in words.
    pub only_of: Option<String>,
}

impl Glance {
    /// Prepares it on a session. Nothing is sent before the first request.
    ///
    /// # Errors
    /// The endpoint's URL or the certificates cannot be used; names the option and the file.
    pub fn new(
        session: Arc<KeystoneSession>,
        config: GlanceConfig,
        observer: Arc<dyn RequestObserver>,
    ) -> Result<Self, ConfigError> {
        if let Some(endpoint) = &config.endpoint {
            checked_url(endpoint, || "[DEFAULT] glance_api_servers".into())?;
        }
        let client =
            transport::client(&config.trust, config.certificate.as_ref(), config.timeouts)?;
        let transport = Transport::new(client, Api::Glance, observer);
        Ok(Self {
            config,
            session,
            transport: transport.longest_answer(LONGEST_PAGE),
        })
    }

    /// Looks at every image. `found` is told of each at zeros, `progress` of how many were seen.
    ///
    /// # Errors
    /// Keystone or Glance does not answer or refuses, or Glance is not in the catalogue.
    pub async fn count_zero_images(
        &self,
        mut found: impl FnMut(&ZeroImage),
        mut progress: impl FnMut(u64),
    ) -> Result<ImageTally, Fault> {
        let request = RequestId::random();
        let mut tally = ImageTally::default();
        for hidden in [false, true] {
            let mut marker: Vec<String> = Vec::new();
            loop {
                let page = self.page(hidden, &mut marker, request).await?;
                for image in &page.images {
                    tally.seen += 1;
                    if image.is_at_zeros() {
                        tally.at_zeros += 1;
                        found(&ZeroImage {
                            id: image.id.clone(),
                        });
                    }
                }
                progress(tally.seen);
                if page.next.is_none() || page.images.is_empty() {
                    break;
                }
                marker = page.images.into_iter().map(|image| image.id).collect();
            }
        }
        let token = self.session.token(request).await?;
        if !token.has_role(ADMIN) {
            tally.only_of = Some(format!(
                "user {} of project {}, who does not have the role {ADMIN}",
                token.user(),
                token.project()
            ));
        }
        Ok(tally)
    }

    /// The page after the last of these images that still exists.
    async fn page(
        &self,
        hidden: bool,
        before: &mut Vec<String>,
        request: RequestId,
    ) -> Result<Page, Fault> {
        loop {
            let heard = self.ask(hidden, before.last(), request).await?;
            // The marker was deleted meanwhile.
            if heard.status == StatusCode::NOT_FOUND && before.len() > 1 {
                before.pop();
                continue;
            }
            if !heard.status.is_success() {
                return Err(self.refused(&heard, request).await);
            }
            return serde_json::from_slice(&heard.body)
                .map_err(|_| failing("Glance's listing of images cannot be read".to_owned()));
        }
    }

    /// Asks once, and once more if the token was rejected: it may have run out on a long walk.
    async fn ask(
        &self,
        hidden: bool,
        marker: Option<&String>,
        request: RequestId,
    ) -> Result<Answer, Fault> {
        for attempt in 1.. {
            let token = self.session.token(request).await?;
            let answer = self.ask_once(&token, hidden, marker, request).await?;
            if answer.status != StatusCode::UNAUTHORIZED || attempt > 1 {
                return Ok(answer);
            }
            self.session.discard(&token);
        }
        unreachable!("the second answer is returned, whatever it is")
    }

    async fn ask_once(
        &self,
        token: &Token,
        hidden: bool,
        marker: Option<&String>,
        request: RequestId,
    ) -> Result<Answer, Fault> {
        let base = self.base(token)?;
        let mut url = below(&base, "v2/images");
        url.query_pairs_mut()
            .append_pair("limit", &PAGE.to_string())
            .append_pair("sort", "created_at:asc,id:asc")
            .append_pair("visibility", "all")
            .append_pair("member_status", "all")
            .append_pair("os_hidden", if hidden { "true" } else { "false" })
            .extend_pairs(marker.map(|marker| ("marker", marker)));
        let call = Call {
            operation: Operation::ListImages,
            method: Method::GET,
            url,
            accept: "application/json",
            body: None,
            request,
        };
        let sent = self.transport.send(&call, Some(token.value())).await;
        sent.map_err(|error| match error {
            TransportError::NotSent(text) => self.away(&base, "cannot be reached", &text),
            TransportError::Unanswered(text) => self.away(&base, "gave no answer", &text),
        })
    }

    /// Where the API is, without a version.
    fn base(&self, token: &Token) -> Result<Url, Fault> {
        let mut url = match &self.config.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => {
                let (kind, region) = (
                    &self.config.service_type,
                    self.config.region_name.as_deref(),
                );
                let found = token.catalog.endpoint(kind, self.config.interface, region);
                found.map_err(|missing| {
                    Fault::new(
                        Reason::Configuration,
                        missing.to_string(),
                        "set [DEFAULT] glance_api_servers or glance_catalog_info to where Glance \
                         is, or add its endpoint to the catalogue",
                    )
                })?
            }
        };
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(path.strip_suffix("/v2").unwrap_or(&path));
        Ok(url)
    }

    async fn refused(&self, answer: &Answer, request: RequestId) -> Fault {
        let token = self.session.token(request).await.ok();
        let token = token.as_ref().and_then(|token| token.value().to_str().ok());
        let text = said(answer, &[token.unwrap_or_default()]).text;
        match answer.status.as_u16() {
            401 => Fault::new(
                Reason::KeystoneRejected,
                format!("Glance rejects a token that Keystone has just issued: {text}"),
                "see that Glance's own [keystone_authtoken] names this Keystone",
            ),
            403 => Fault::new(
                Reason::RoleMissing,
                format!("Glance refuses to list images: {text}"),
                "give Cinder's user the role reader or member on its project, or admin to see all \
                 images",
            ),
            300..=399 | 404 | 405 => Fault::new(
                Reason::Configuration,
                format!("Glance is not where it was looked for: {text}"),
                "set [DEFAULT] glance_api_servers, or the endpoint in Keystone's catalogue, to \
                 where Glance is; redirects are not followed",
            ),
            _ => failing(format!("Glance does not list its images: {text}")),
        }
    }

    fn away(&self, base: &Url, what: &str, text: &str) -> Fault {
        let option = match self.config.endpoint {
            Some(_) => "[DEFAULT] glance_api_servers",
            None => "Glance's endpoint in Keystone's catalogue",
        };
        let (trust, certificate) = (&self.config.trust, self.config.certificate.as_ref());
        Fault::new(
            Reason::Configuration,
            format!("Glance at {base} {what}: {text}"),
            remedy::service_away(option, "glance", trust, certificate, text),
        )
    }
}

impl Image {
    fn is_at_zeros(&self) -> bool {
        self.cinder_encryption_key_id.as_deref() == Some(ALL_ZEROS)
    }
}

fn failing(text: String) -> Fault {
    let remedy = "see Glance's log, and that its database answers";
    Fault::new(Reason::Configuration, text, remedy)
}

impl fmt::Debug for Glance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Glance")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
