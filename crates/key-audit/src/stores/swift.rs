//! Swift: whose account, at which URL, with which token.

use std::sync::Arc;

use key_migration::ids::RequestId;
use opendal::services;
use opendal::{HttpTransporter, Operator};
use openstack_client::{ConfigError, KeystoneSession, Timeouts, http_client};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::OnceCell;
use url::Url;

use super::operators::over;
use super::{Driver, SwiftAccount, SwiftConfig, SwiftUser, Unreadable};

/// Swift, signed in as cinder.conf says.
pub(super) struct Swift {
    config: SwiftConfig,
    /// Cinder's own, or that of the one user.
    session: Arc<KeystoneSession>,
    /// For Swift's own authentication.
    client: reqwest::Client,
    signed_in: OnceCell<Account>,
}

/// An account and a token for it.
#[derive(Clone)]
struct Account {
    url: String,
    token: SecretString,
}

const UNANSWERED: Unreadable = Unreadable::Unanswered(Driver::Swift);

impl Swift {
    pub(super) fn new(
        config: SwiftConfig,
        cinder: Arc<KeystoneSession>,
    ) -> Result<Self, ConfigError> {
        let session = match &config.account {
            SwiftAccount::One(SwiftUser::Keystone(keystone)) => Arc::new(KeystoneSession::new(
                keystone.as_ref().clone(),
                Arc::new(()),
            )?),
            _ => cinder,
        };
        Ok(Self {
            client: http_client(&config.tls.0, None, Timeouts::default())?,
            session,
            config,
            signed_in: OnceCell::new(),
        })
    }

    /// What reads the container in the account of this project, or of the one user.
    pub(super) async fn operator(
        &self,
        container: &str,
        project_id: Option<&str>,
        http: &HttpTransporter,
    ) -> Result<Operator, Unreadable> {
        let account = match &self.config.account {
            SwiftAccount::PerProject { url } => {
                let project_id = project_id.ok_or(Unreadable::NoPlace)?;
                self.account_of(url.as_deref(), project_id).await?
            }
            SwiftAccount::One(SwiftUser::Keystone(_)) => {
                self.keystone_account(|url, _| url).await?
            }
            SwiftAccount::One(SwiftUser::V1 {
                auth_url,
                user,
                key,
            }) => {
                let signing_in = self
                    .signed_in
                    .get_or_try_init(|| self.v1(auth_url, user, key));
                signing_in.await?.clone()
            }
            SwiftAccount::One(SwiftUser::Unusable(problem)) => {
                return Err(Unreadable::UnknownLogin(problem));
            }
        };
        let builder = services::Swift::default()
            .endpoint(&account.url)
            .container(container)
            .token(account.token.expose_secret());
        let operator = Operator::new(builder).map_err(|_| UNANSWERED)?;
        Ok(operator.with_context(over(http)))
    }

    /// The account of a project: what the catalogue says, with the project in place of our own.
    async fn account_of(&self, url: Option<&str>, project_id: &str) -> Result<Account, Unreadable> {
        let Some(url) = url else {
            let project_id = project_id.to_owned();
            return self
                .keystone_account(|url, own| url.replace(own, &project_id))
                .await;
        };
        Ok(Account {
            url: format!("{url}{project_id}"),
            token: self.token().await?.0,
        })
    }

    async fn keystone_account(
        &self,
        place: impl FnOnce(String, &str) -> String,
    ) -> Result<Account, Unreadable> {
        let (token, own) = self.token().await?;
        let endpoint = self.session.endpoint(
            &self.config.service_type,
            self.config.interface,
            self.config.region_name.as_deref(),
            RequestId::random(),
        );
        let missing = Unreadable::UnknownLogin(
            "Swift is not in Keystone's catalogue (see swift_catalog_info and backup_swift_url)",
        );
        let endpoint = endpoint.await.map_err(|_| missing)?;
        Ok(Account {
            url: place(endpoint.to_string(), &own),
            token,
        })
    }

    /// A token with life left, and the project that it is for.
    async fn token(&self) -> Result<(SecretString, String), Unreadable> {
        let token = self.session.token(RequestId::random()).await;
        let token = token.map_err(|fault| {
            tracing::warn!("No backup in Swift can be read: {fault}");
            UNANSWERED
        })?;
        Ok((token.secret(), token.project().id.clone()))
    }

    /// Swift's own authentication.
    async fn v1(
        &self,
        auth_url: &Url,
        user: &str,
        key: &SecretString,
    ) -> Result<Account, Unreadable> {
        let request = self
            .client
            .get(auth_url.clone())
            .header("X-Auth-User", user)
            .header("X-Auth-Key", key.expose_secret());
        let answer = request.send().await.map_err(|_| UNANSWERED)?;
        if !answer.status().is_success() {
            return Err(Unreadable::Refused(Driver::Swift));
        }
        let header = |name| answer.headers().get(name)?.to_str().ok().map(str::to_owned);
        match (header("x-storage-url"), header("x-auth-token")) {
            (Some(url), Some(token)) => Ok(Account {
                url,
                token: token.into(),
            }),
            _ => Err(UNANSWERED),
        }
    }
}
