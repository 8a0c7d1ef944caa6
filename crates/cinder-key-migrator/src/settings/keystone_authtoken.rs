//! `[keystone_authtoken]`: how Cinder's service user signs in (keystoneauth1/loading). Names with
//! a dash are former ones, which keystoneauth takes with a dash and with an underscore.

use openstack_client::{
    ApplicationCredential, ApplicationCredentialRef, ClientCertificate, Credentials, DomainRef,
    KeystoneConfig, PasswordCredentials, ProjectRef, ServerTrust, Timeouts, TokenScope, UserRef,
};
use oslo_config::{Config, Opt, Registry};
use secrecy::{ExposeSecret as _, SecretString};

use super::default::Machine;
use super::session::{SessionOpts, text};
use super::{Deletions, Faults, url};

const GROUP: &str = "keystone_authtoken";

const AUTH_SECTION: Opt<Option<String>> = Opt::string(GROUP, "auth_section");
const WWW_AUTHENTICATE_URI: Opt<Option<String>> =
    Opt::string(GROUP, "www_authenticate_uri").deprecated_name("auth_uri");
const INTERFACE: Opt<Option<String>> = Opt::string(GROUP, "interface");
const REGION_NAME: Opt<Option<String>> = Opt::string(GROUP, "region_name");
const SESSION: SessionOpts<'static> = SessionOpts::of(GROUP);

/// The options that `auth_section` moves to another section.
#[derive(Debug)]
struct Plugin<'s> {
    auth_type: Opt<'s, Option<String>>,
    auth_url: Opt<'s, Option<String>>,
    user_id: Opt<'s, Option<String>>,
    username: Opt<'s, Option<String>>,
    user_domain_id: Opt<'s, Option<String>>,
    user_domain_name: Opt<'s, Option<String>>,
    project_id: Opt<'s, Option<String>>,
    project_name: Opt<'s, Option<String>>,
    project_domain_id: Opt<'s, Option<String>>,
    project_domain_name: Opt<'s, Option<String>>,
    default_domain_id: Opt<'s, Option<String>>,
    default_domain_name: Opt<'s, Option<String>>,
    domain_id: Opt<'s, Option<String>>,
    domain_name: Opt<'s, Option<String>>,
    system_scope: Opt<'s, Option<String>>,
    trust_id: Opt<'s, Option<String>>,
    application_credential_id: Opt<'s, Option<String>>,
    application_credential_name: Opt<'s, Option<String>>,
    password: Opt<'s, Option<SecretString>>,
    application_credential_secret: Opt<'s, Option<SecretString>>,
}

impl<'s> Plugin<'s> {
    fn of(section: &'s str) -> Self {
        let option = |name| Opt::string(section, name);
        Self {
            auth_type: option("auth_type").deprecated_name("auth_plugin"),
            auth_url: option("auth_url"),
            user_id: option("user_id"),
            username: option("username").deprecated_name("user-name"),
            user_domain_id: option("user_domain_id"),
            user_domain_name: option("user_domain_name"),
            project_id: option("project_id").deprecated_name("tenant-id"),
            project_name: option("project_name").deprecated_name("tenant-name"),
            project_domain_id: option("project_domain_id"),
            project_domain_name: option("project_domain_name"),
            default_domain_id: option("default_domain_id"),
            default_domain_name: option("default_domain_name"),
            domain_id: option("domain_id"),
            domain_name: option("domain_name"),
            system_scope: option("system_scope"),
            trust_id: option("trust_id"),
            application_credential_id: option("application_credential_id"),
            application_credential_name: option("application_credential_name"),
            password: Opt::secret(section, "password"),
            application_credential_secret: Opt::secret(section, "application_credential_secret"),
        }
    }

    fn texts(&self) -> [&Opt<'s, Option<String>>; 18] {
        [
            &self.auth_type,
            &self.auth_url,
            &self.user_id,
            &self.username,
            &self.user_domain_id,
            &self.user_domain_name,
            &self.project_id,
            &self.project_name,
            &self.project_domain_id,
            &self.project_domain_name,
            &self.default_domain_id,
            &self.default_domain_name,
            &self.domain_id,
            &self.domain_name,
            &self.system_scope,
            &self.trust_id,
            &self.application_credential_id,
            &self.application_credential_name,
        ]
    }

    fn secrets(&self) -> [&Opt<'s, Option<SecretString>>; 2] {
        [&self.password, &self.application_credential_secret]
    }
}

/// What `[barbican]` falls back to.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) interface: Option<String>,
    pub(super) region_name: Option<String>,
    pub(super) trust: ServerTrust,
    pub(super) certificate: Option<ClientCertificate>,
    pub(super) timeouts: Timeouts,
}

pub(super) fn register(registry: &mut Registry) {
    registry
        .add(&AUTH_SECTION)
        .add(&WWW_AUTHENTICATE_URI)
        .add(&INTERFACE)
        .add(&REGION_NAME);
    SESSION.register(registry);
    let plugin = Plugin::of(GROUP);
    for option in plugin.texts() {
        registry.add(option);
    }
    for option in plugin.secrets() {
        registry.add(option);
    }
}

/// Options of the session, which `auth_section` does not move.
pub(super) fn read_session(
    conf: &Config,
    machine: &Machine,
    faults: &mut Faults,
) -> Option<Session> {
    let interface = faults.check(text(conf, &INTERFACE));
    let region_name = faults.check(text(conf, &REGION_NAME));
    let session = SESSION.read(conf, faults)?;
    Some(Session {
        interface: interface?,
        region_name: region_name?,
        trust: session.trust.unwrap_or_else(|| machine.trust()),
        certificate: session.certificate,
        timeouts: session.timeouts.unwrap_or_default(),
    })
}

/// How to sign in.
pub(super) fn read(
    conf: &mut Config,
    session: Option<&Session>,
    faults: &mut Faults,
) -> Option<KeystoneConfig> {
    let section = faults.check(text(conf, &AUTH_SECTION))?;
    let section = section.unwrap_or_else(|| GROUP.to_owned());
    let plugin = Plugin::of(&section);
    for option in plugin.texts() {
        conf.register(option);
    }
    for option in plugin.secrets() {
        conf.register(option);
    }
    let auth_type = faults.check(conf.require(&plugin.auth_type));
    let auth_url = faults.check(conf.require(&plugin.auth_url));
    let auth_url = auth_url.and_then(|value| faults.check(url(conf, &plugin.auth_url, &value)));
    let credentials = read_credentials(conf, auth_type, &plugin, faults);
    refuse_other_scopes(conf, &plugin, faults);
    let session = session?;
    Some(KeystoneConfig {
        section: section.clone(),
        auth_url: auth_url?,
        credentials: credentials?,
        trust: session.trust.clone(),
        certificate: session.certificate.clone(),
        timeouts: session.timeouts,
    })
}

/// What stands in the way of Cinder's deleting a secret with its own credentials: it takes these
/// six options of the section itself, whatever `auth_section` and `auth_type` say
/// (cinder/volume/volume_utils.py, `delete_encryption_key`).
pub(super) fn read_deletions(conf: &Config) -> Result<Deletions, oslo_config::Error> {
    let own = Plugin::of(GROUP);
    let mut missing = Vec::new();
    for option in [
        &own.auth_url,
        &own.username,
        &own.project_name,
        &own.user_domain_name,
        &own.project_domain_name,
    ] {
        if text(conf, option)?.is_none() {
            missing.push(option.name());
        }
    }
    let password = conf.get(&own.password)?;
    if password.is_none_or(|password| password.expose_secret().is_empty()) {
        missing.push(own.password.name());
    }
    Ok(Deletions {
        missing,
        elsewhere: text(conf, &AUTH_SECTION)?.is_some(),
        by_application_credential: text(conf, &own.auth_type)?
            .is_some_and(|name| name.ends_with("applicationcredential")),
    })
}

/// Without an `auth_type` what else is missing is told as for a password, which most have.
fn read_credentials(
    conf: &Config,
    auth_type: Option<String>,
    plugin: &Plugin<'_>,
    faults: &mut Faults,
) -> Option<Credentials> {
    match auth_type.as_deref().unwrap_or("password") {
        "password" | "v3password" => {
            let user = read_user(conf, plugin, faults);
            let password = faults.check(conf.require(&plugin.password));
            let scope = read_scope(conf, plugin, faults);
            Some(Credentials::Password(PasswordCredentials {
                user: user?,
                password: password?,
                scope: scope?,
            }))
        }
        "v3applicationcredential" => {
            let credential = read_application_credential(conf, plugin, faults);
            let secret = faults.check(conf.require(&plugin.application_credential_secret));
            Some(Credentials::Application(ApplicationCredential {
                credential: credential?,
                secret: secret?,
            }))
        }
        _ => {
            let unsupported = conf
                .fault(
                    &plugin.auth_type,
                    "expected password, v3password or v3applicationcredential",
                )
                .remedy("this program cannot sign in in another way");
            faults.check(Err(unsupported))
        }
    }
}

fn read_application_credential(
    conf: &Config,
    plugin: &Plugin<'_>,
    faults: &mut Faults,
) -> Option<ApplicationCredentialRef> {
    if let Some(id) = faults.check(text(conf, &plugin.application_credential_id))? {
        return Some(ApplicationCredentialRef::Id(id));
    }
    let Some(name) = faults.check(text(conf, &plugin.application_credential_name))? else {
        return faults.check(Err(conf.missing(&plugin.application_credential_id)));
    };
    let user = read_user(conf, plugin, faults)?;
    Some(ApplicationCredentialRef::Name { name, user })
}

fn read_user(conf: &Config, plugin: &Plugin<'_>, faults: &mut Faults) -> Option<UserRef> {
    if let Some(id) = faults.check(text(conf, &plugin.user_id))? {
        return Some(UserRef::Id(id));
    }
    let name = faults.check(conf.require(&plugin.username));
    let domain = read_domain(
        conf,
        [&plugin.user_domain_id, &plugin.default_domain_id],
        [&plugin.user_domain_name, &plugin.default_domain_name],
        faults,
    );
    Some(UserRef::Name {
        name: name?,
        domain: domain?,
    })
}

/// A token is for one thing; keystoneauth refuses a trust beside a project.
fn read_scope(conf: &Config, plugin: &Plugin<'_>, faults: &mut Faults) -> Option<TokenScope> {
    let trust = faults.check(text(conf, &plugin.trust_id))?;
    let Some(trust) = trust else {
        return read_project(conf, plugin, faults).map(TokenScope::Project);
    };
    for option in [&plugin.project_id, &plugin.project_name] {
        if faults.check(text(conf, option))?.is_some() {
            let both = conf
                .fault(option, "set beside trust_id, which stands for a project")
                .remedy("take one of them out");
            return faults.check(Err(both));
        }
    }
    Some(TokenScope::Trust(trust))
}

fn read_project(conf: &Config, plugin: &Plugin<'_>, faults: &mut Faults) -> Option<ProjectRef> {
    if let Some(id) = faults.check(text(conf, &plugin.project_id))? {
        return Some(ProjectRef::Id(id));
    }
    let name = faults.check(conf.require(&plugin.project_name));
    let domain = read_domain(
        conf,
        [&plugin.project_domain_id, &plugin.default_domain_id],
        [&plugin.project_domain_name, &plugin.default_domain_name],
        faults,
    );
    Some(ProjectRef::Name {
        name: name?,
        domain: domain?,
    })
}

/// What asks for a token that is for no project.
fn refuse_other_scopes(conf: &Config, plugin: &Plugin<'_>, faults: &mut Faults) {
    for option in [&plugin.system_scope, &plugin.domain_id, &plugin.domain_name] {
        if let Some(Some(_)) = faults.check(text(conf, option)) {
            let scope = conf
                .fault(
                    option,
                    "asks for a token without a project, and Barbican keeps secrets in projects",
                )
                .remedy("take it out, and set project_name and project_domain_name");
            faults.check::<(), _>(Err(scope));
        }
    }
}

/// A domain by ID or by name, its own before the default one.
fn read_domain(
    conf: &Config,
    ids: [&Opt<'_, Option<String>>; 2],
    names: [&Opt<'_, Option<String>>; 2],
    faults: &mut Faults,
) -> Option<DomainRef> {
    for (id, name) in ids.into_iter().zip(names) {
        if let Some(id) = faults.check(text(conf, id))? {
            return Some(DomainRef::Id(id));
        }
        if let Some(name) = faults.check(text(conf, name))? {
            return Some(DomainRef::Name(name));
        }
    }
    faults.check(Err(conf.missing(names[0])))
}
