//! `[keystone_authtoken]`: how Cinder's service user signs in (keystoneauth1/loading). Names with
//! a dash are former ones, which keystoneauth takes with a dash and with an underscore.

use std::time::Duration;

use openstack_client::{
    Credentials, DomainRef, KeystoneConfig, PasswordCredentials, ProjectRef, ServerTrust, Timeouts,
    UserRef,
};
use oslo_config::{Config, Opt, Registry};
use secrecy::SecretString;

use super::{Faults, url};

const GROUP: &str = "keystone_authtoken";

const AUTH_SECTION: Opt<Option<String>> = Opt::string(GROUP, "auth_section");
const WWW_AUTHENTICATE_URI: Opt<Option<String>> =
    Opt::string(GROUP, "www_authenticate_uri").deprecated_name("auth_uri");
const INTERFACE: Opt<Option<String>> = Opt::string(GROUP, "interface");
const REGION_NAME: Opt<Option<String>> = Opt::string(GROUP, "region_name");
const CAFILE: Opt<Option<String>> = Opt::string(GROUP, "cafile");
const INSECURE: Opt<bool> = Opt::boolean(GROUP, "insecure").default(false);
const TIMEOUT: Opt<Option<String>> = Opt::string(GROUP, "timeout");

/// The options that `auth_section` moves to another section.
#[derive(Debug)]
struct Plugin<'s> {
    auth_type: Opt<'s, Option<String>>,
    auth_url: Opt<'s, Option<String>>,
    user_id: Opt<'s, Option<String>>,
    username: Opt<'s, Option<String>>,
    user_domain_id: Opt<'s, Option<String>>,
    user_domain_name: Opt<'s, Option<String>>,
    password: Opt<'s, Option<SecretString>>,
    project_id: Opt<'s, Option<String>>,
    project_name: Opt<'s, Option<String>>,
    project_domain_id: Opt<'s, Option<String>>,
    project_domain_name: Opt<'s, Option<String>>,
    default_domain_id: Opt<'s, Option<String>>,
    default_domain_name: Opt<'s, Option<String>>,
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
            password: Opt::secret(section, "password"),
            project_id: option("project_id").deprecated_name("tenant-id"),
            project_name: option("project_name").deprecated_name("tenant-name"),
            project_domain_id: option("project_domain_id"),
            project_domain_name: option("project_domain_name"),
            default_domain_id: option("default_domain_id"),
            default_domain_name: option("default_domain_name"),
        }
    }

    fn register(&self, registry: &mut impl FnMut(&Opt<'_, Option<String>>)) {
        for option in [
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
        ] {
            registry(option);
        }
    }
}

/// What `[barbican]` falls back to.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) interface: Option<String>,
    pub(super) region_name: Option<String>,
    pub(super) trust: ServerTrust,
    pub(super) timeouts: Timeouts,
}

pub(super) fn register(registry: &mut Registry) {
    registry
        .add(&AUTH_SECTION)
        .add(&WWW_AUTHENTICATE_URI)
        .add(&INTERFACE)
        .add(&REGION_NAME)
        .add(&CAFILE)
        .add(&INSECURE)
        .add(&TIMEOUT);
    let plugin = Plugin::of(GROUP);
    plugin.register(&mut |option| _ = registry.add(option));
    registry.add(&plugin.password);
}

/// Options of the session, which `auth_section` does not move.
pub(super) fn read_session(conf: &Config, faults: &mut Faults) -> Option<Session> {
    let interface = faults.check(text(conf, &INTERFACE));
    let region_name = faults.check(text(conf, &REGION_NAME));
    let cafile = faults.check(text(conf, &CAFILE));
    let insecure = faults.check(conf.get(&INSECURE));
    let timeouts = read_timeouts(conf, faults);
    let trust = match (insecure?, cafile?) {
        (true, _) => ServerTrust::Anything {
            option: named(conf, &INSECURE),
        },
        (false, Some(path)) => ServerTrust::Bundle {
            path: path.into(),
            option: named(conf, &CAFILE),
        },
        (false, None) => ServerTrust::System,
    };
    Some(Session {
        interface: interface?,
        region_name: region_name?,
        trust,
        timeouts: timeouts?,
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
    plugin.register(&mut |option| _ = conf.register(option));
    conf.register(&plugin.password);

    let auth_type = read_auth_type(conf, &plugin, faults);
    let auth_url = faults.check(conf.require(&plugin.auth_url));
    let auth_url = auth_url.and_then(|value| faults.check(url(conf, &plugin.auth_url, &value)));
    let user = read_user(conf, &plugin, faults);
    let password = faults.check(conf.require(&plugin.password));
    let project = read_project(conf, &plugin, faults);
    auth_type?;
    let session = session?;
    Some(KeystoneConfig {
        section: section.clone(),
        auth_url: auth_url?,
        credentials: Credentials::Password(PasswordCredentials {
            user: user?,
            password: password?,
            project: project?,
        }),
        trust: session.trust.clone(),
        timeouts: session.timeouts,
    })
}

fn read_auth_type(conf: &Config, plugin: &Plugin<'_>, faults: &mut Faults) -> Option<()> {
    let auth_type = faults.check(conf.require(&plugin.auth_type))?;
    let supported = match auth_type.as_str() {
        "password" | "v3password" => Ok(()),
        _ => Err(conf
            .fault(&plugin.auth_type, "expected password or v3password")
            .remedy("this version cannot sign in in another way")),
    };
    faults.check(supported)
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

/// keystoneauth takes a number of seconds, with or without a fraction, for a whole request.
fn read_timeouts(conf: &Config, faults: &mut Faults) -> Option<Timeouts> {
    let default = Timeouts::default();
    let Some(value) = faults.check(text(conf, &TIMEOUT))? else {
        return Some(default);
    };
    let seconds = value.trim().parse().ok().filter(|seconds| *seconds > 0.0);
    let total = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let total = total.ok_or_else(|| conf.fault(&TIMEOUT, "expected a number of seconds above 0"));
    let total = faults.check(total)?;
    Some(Timeouts {
        connect: default.connect.min(total),
        total,
    })
}

/// A text where the empty one stands for none, as it does for keystoneauth.
pub(super) fn text(
    conf: &Config,
    option: &Opt<'_, Option<String>>,
) -> Result<Option<String>, oslo_config::Error> {
    Ok(conf.get(option)?.filter(|text| !text.is_empty()))
}

/// An option with the place where it is set.
pub(super) fn named<T>(conf: &Config, option: &Opt<'_, T>) -> String {
    format!(
        "{}: [{}] {}",
        conf.origin(option),
        option.group(),
        option.name()
    )
}
