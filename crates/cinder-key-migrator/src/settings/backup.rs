//! Where backups are: the options of Cinder's backup drivers (cinder/backup/drivers). Those of
//! every driver are read, as old backups may be in another store than new ones.

mod swift;

use std::path::PathBuf;

use key_audit::stores::{GcsConfig, S3Config, StoreConfig, Tls, share_mount_point};
use openstack_client::ServerTrust;
use oslo_config::{Config, Opt};
use secrecy::SecretString;

use super::Faults;
use super::keystone_authtoken::Session;
use super::session::{named, text};

const GROUP: &str = "DEFAULT";

const POSIX_PATH: Opt<String> =
    Opt::string(GROUP, "backup_posix_path").default("$state_path/backup");
const MOUNT_POINT_BASE: Opt<String> =
    Opt::string(GROUP, "backup_mount_point_base").default("$state_path/backup_mount");
const SHARE: Opt<Option<String>> = Opt::string(GROUP, "backup_share");
const GLUSTERFS_MOUNT_POINT: Opt<String> =
    Opt::string(GROUP, "glusterfs_backup_mount_point").default("$state_path/backup_mount");
const GLUSTERFS_SHARE: Opt<Option<String>> = Opt::string(GROUP, "glusterfs_backup_share");

const S3_ENDPOINT: Opt<Option<String>> = Opt::string(GROUP, "backup_s3_endpoint_url");
const S3_ACCESS_KEY: Opt<Option<SecretString>> = Opt::secret(GROUP, "backup_s3_store_access_key");
const S3_SECRET_KEY: Opt<Option<SecretString>> = Opt::secret(GROUP, "backup_s3_store_secret_key");
const S3_SSE_KEY: Opt<Option<SecretString>> = Opt::secret(GROUP, "backup_s3_sse_customer_key");
const S3_SSE_ALGORITHM: Opt<Option<String>> =
    Opt::string(GROUP, "backup_s3_sse_customer_algorithm");
const S3_VERIFY: Opt<bool> = Opt::boolean(GROUP, "backup_s3_verify_ssl").default(true);
const S3_CA_FILE: Opt<Option<String>> = Opt::string(GROUP, "backup_s3_ca_cert_file");

const GCS_CREDENTIALS: Opt<Option<String>> = Opt::string(GROUP, "backup_gcs_credential_file");

pub(super) fn read(
    conf: &mut Config,
    session: Option<&Session>,
    faults: &mut Faults,
) -> Option<StoreConfig> {
    conf.register(&POSIX_PATH)
        .register(&MOUNT_POINT_BASE)
        .register(&SHARE)
        .register(&GLUSTERFS_MOUNT_POINT)
        .register(&GLUSTERFS_SHARE)
        .register(&GCS_CREDENTIALS);
    let posix = faults.check(conf.get(&POSIX_PATH));
    let nfs = read_mount(conf, &MOUNT_POINT_BASE, &SHARE, faults);
    let glusterfs = read_mount(conf, &GLUSTERFS_MOUNT_POINT, &GLUSTERFS_SHARE, faults);
    let swift = swift::read(conf, session, faults);
    let s3 = read_s3(conf, faults);
    let gcs = faults.check(text(conf, &GCS_CREDENTIALS));
    Some(StoreConfig {
        posix: posix?.into(),
        nfs: nfs?,
        glusterfs: glusterfs?,
        swift: swift?,
        s3: s3?,
        gcs: gcs?.map(|path| GcsConfig {
            credential_file: path.into(),
        }),
    })
}

fn read_mount(
    conf: &Config,
    base: &Opt<'_, String>,
    share: &Opt<'_, Option<String>>,
    faults: &mut Faults,
) -> Option<Option<PathBuf>> {
    let base = PathBuf::from(faults.check(conf.get(base))?);
    let share = faults.check(text(conf, share))?;
    Some(share.map(|share| share_mount_point(&base, &share)))
}

fn read_s3(conf: &mut Config, faults: &mut Faults) -> Option<Option<S3Config>> {
    conf.register(&S3_ENDPOINT)
        .register(&S3_ACCESS_KEY)
        .register(&S3_SECRET_KEY)
        .register(&S3_SSE_KEY)
        .register(&S3_SSE_ALGORITHM)
        .register(&S3_VERIFY)
        .register(&S3_CA_FILE);
    let endpoint = faults.check(text(conf, &S3_ENDPOINT));
    let access_key = faults.check(conf.get(&S3_ACCESS_KEY));
    let secret_key = faults.check(conf.get(&S3_SECRET_KEY));
    let algorithm = faults.check(text(conf, &S3_SSE_ALGORITHM));
    let customer_key = faults.check(conf.get(&S3_SSE_KEY));
    let verify = faults.check(conf.get(&S3_VERIFY));
    let authorities = faults.check(text(conf, &S3_CA_FILE));
    let tls = tls(
        verify?.then_some(()).ok_or_else(|| named(conf, &S3_VERIFY)),
        authorities?.map(|path| (path, named(conf, &S3_CA_FILE))),
        ServerTrust::System,
    );
    let customer_key = algorithm?.zip(customer_key?);
    let (Some(endpoint), Some(access_key), Some(secret_key)) =
        (endpoint?, access_key?, secret_key?)
    else {
        return Some(None);
    };
    Some(Some(S3Config {
        endpoint,
        access_key,
        secret_key,
        customer_key,
        tls,
    }))
}

/// Whose certificates are believed: `Err` holds the option that switches the check off.
fn tls(
    verified: Result<(), String>,
    authorities: Option<(String, String)>,
    otherwise: ServerTrust,
) -> Tls {
    Tls(match (verified, authorities) {
        (Err(option), _) => ServerTrust::Anything { option },
        (Ok(()), Some((path, option))) => ServerTrust::Bundle {
            path: path.into(),
            option,
        },
        (Ok(()), None) => otherwise,
    })
}
