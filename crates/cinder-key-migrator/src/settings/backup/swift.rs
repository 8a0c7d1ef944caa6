//! `backup_swift_*` (cinder/backup/drivers/swift.py).

use key_audit::stores::{SwiftAccount, SwiftConfig, SwiftUser};
use openstack_client::{
    Credentials, DomainRef, KeystoneConfig, PasswordCredentials, ProjectRef, TokenScope, UserRef,
};
use oslo_config::{Config, Opt};
use secrecy::SecretString;

use super::super::glance::catalog_info;
use super::super::keystone_authtoken::Session;
use super::super::session::{named, text};
use super::super::{Faults, url};
use super::{GROUP, tls};

const URL: Opt<Option<String>> = Opt::string(GROUP, "backup_swift_url");
const AUTH_URL: Opt<Option<String>> = Opt::string(GROUP, "backup_swift_auth_url");
const CATALOG_INFO: Opt<String> =
    Opt::string(GROUP, "swift_catalog_info").default("object-store:swift:publicURL");
const AUTH: Opt<String> = Opt::string(GROUP, "backup_swift_auth").default("per_user");
const AUTH_VERSION: Opt<String> = Opt::string(GROUP, "backup_swift_auth_version").default("1");
const TENANT: Opt<Option<String>> = Opt::string(GROUP, "backup_swift_tenant");
const PROJECT: Opt<Option<String>> = Opt::string(GROUP, "backup_swift_project");
const PROJECT_DOMAIN: Opt<Option<String>> = Opt::string(GROUP, "backup_swift_project_domain");
const USER: Opt<Option<String>> = Opt::string(GROUP, "backup_swift_user");
const USER_DOMAIN: Opt<Option<String>> = Opt::string(GROUP, "backup_swift_user_domain");
const KEY: Opt<Option<SecretString>> = Opt::secret(GROUP, "backup_swift_key");
const REGION_NAME: Opt<Option<String>> = Opt::string(GROUP, "backup_swift_region_name");
const CA_FILE: Opt<Option<String>> = Opt::string(GROUP, "backup_swift_ca_cert_file");
const INSECURE: Opt<bool> = Opt::boolean(GROUP, "backup_swift_auth_insecure").default(false);

pub(super) fn read(
    conf: &mut Config,
    session: Option<&Session>,
    faults: &mut Faults,
) -> Option<SwiftConfig> {
    let texts = [
        &URL,
        &AUTH_URL,
        &TENANT,
        &PROJECT,
        &PROJECT_DOMAIN,
        &USER,
        &USER_DOMAIN,
        &REGION_NAME,
        &CA_FILE,
    ];
    for option in texts {
        conf.register(option);
    }
    conf.register(&CATALOG_INFO)
        .register(&AUTH)
        .register(&AUTH_VERSION)
        .register(&KEY)
        .register(&INSECURE);
    let catalog = faults.check(conf.get(&CATALOG_INFO));
    let catalog = catalog.and_then(|info| faults.check(catalog_info(conf, &CATALOG_INFO, &info)));
    let region_name = faults.check(text(conf, &REGION_NAME));
    let insecure = faults.check(conf.get(&INSECURE));
    let authorities = faults.check(text(conf, &CA_FILE));
    let session = session?;
    let verified = match insecure? {
        true => Err(named(conf, &INSECURE)),
        false => Ok(()),
    };
    let authorities = authorities?.map(|path| (path, named(conf, &CA_FILE)));
    let tls = tls(verified, authorities, session.trust.clone());
    let account = match faults.check(conf.get(&AUTH))?.as_str() {
        "single_user" => {
            let user = read_user(conf, session, tls.0.clone(), faults);
            SwiftAccount::One(user?)
        }
        _ => SwiftAccount::PerProject {
            url: faults.check(text(conf, &URL))?,
        },
    };
    let (service_type, interface) = catalog?;
    Some(SwiftConfig {
        account,
        service_type,
        interface,
        region_name: region_name?,
        tls,
    })
}

fn read_user(
    conf: &Config,
    session: &Session,
    trust: openstack_client::ServerTrust,
    faults: &mut Faults,
) -> Option<SwiftUser> {
    let user = faults.check(text(conf, &USER))?;
    let key = faults.check(conf.get(&KEY))?;
    let auth_url = match faults.check(text(conf, &AUTH_URL))? {
        Some(value) => Some(faults.check(url(conf, &AUTH_URL, &value))?),
        None => None,
    };
    let (Some(user), Some(key), Some(auth_url)) = (user, key, auth_url) else {
        return Some(SwiftUser::Unusable(
            "backup_swift_auth is single_user, and backup_swift_user, backup_swift_key or \
             backup_swift_auth_url is not set",
        ));
    };
    let version = faults.check(conf.get(&AUTH_VERSION))?;
    Some(match version.as_str() {
        "1" | "1.0" => SwiftUser::V1 {
            auth_url,
            user,
            key,
        },
        "3" => {
            let project = faults.check(text(conf, &PROJECT))?;
            let project = match project {
                Some(project) => Some(project),
                None => faults.check(text(conf, &TENANT))?,
            };
            let Some(project) = project else {
                return Some(SwiftUser::Unusable("backup_swift_project is not set"));
            };
            let credentials = PasswordCredentials {
                user: UserRef::Name {
                    name: user,
                    domain: domain(conf, &USER_DOMAIN, faults)?,
                },
                password: key,
                scope: TokenScope::Project(ProjectRef::Name {
                    name: project,
                    domain: domain(conf, &PROJECT_DOMAIN, faults)?,
                }),
            };
            SwiftUser::Keystone(Box::new(KeystoneConfig {
                section: GROUP.to_owned(),
                auth_url,
                credentials: Credentials::Password(credentials),
                trust,
                certificate: None,
                timeouts: session.timeouts,
            }))
        }
        _ => SwiftUser::Unusable("backup_swift_auth_version is neither 1 nor 3"),
    })
}

fn domain(
    conf: &Config,
    option: &Opt<'_, Option<String>>,
    faults: &mut Faults,
) -> Option<DomainRef> {
    let name = faults.check(text(conf, option))?;
    Some(name.map_or_else(|| DomainRef::Id("default".to_owned()), DomainRef::Name))
}
