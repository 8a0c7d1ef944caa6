//! Deployments as they are laid out: each starts with nothing but its own files and a place for the
//! ledger, and migrates.
//!
//! The files are in `tests/layouts`, a folder each, with `@NAME@` where a deployment has its own
//! passwords and addresses, and `@ROOT@` before paths that are `/etc/...` there.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use key_migrator_tests::cinder_conf::FIXED_KEY;
use key_migrator_tests::tls::Authority;
use key_migrator_tests::{
    CinderDatabase, Cloud, Dialect, Program, RealCloud, RoleWorld, Services, User, Volume,
};

/// How a deployment starts its volume service, and what that owns.
struct Layout {
    name: &'static str,
    dialect: Dialect,
    /// The arguments; `@ROOT@` is where the files are.
    arguments: &'static [&'static str],
    /// The `host` that rows of its backends begin with.
    hosts: &'static [&'static str],
}

const CINDER_CONF: &[&str] = &["--config-file", "@ROOT@/etc/cinder/cinder.conf"];

const WITH_DIST: &[&str] = &[
    "--config-file",
    "@ROOT@/usr/share/cinder/cinder-dist.conf",
    "--config-file",
    "@ROOT@/etc/cinder/cinder.conf",
];

#[tokio::test]
async fn kolla_ansible() -> Result<()> {
    migrates(&Layout {
        name: "kolla-ansible",
        dialect: Dialect::MariaDb,
        arguments: CINDER_CONF,
        hosts: &["rbd:volumes@rbd-1"],
    })
    .await
}

#[tokio::test]
async fn tripleo() -> Result<()> {
    migrates(&Layout {
        name: "tripleo",
        dialect: Dialect::MariaDb,
        arguments: WITH_DIST,
        hosts: &["hostgroup@tripleo_ceph"],
    })
    .await
}

#[tokio::test]
async fn openstack_helm() -> Result<()> {
    migrates(&Layout {
        name: "openstack-helm",
        dialect: Dialect::MariaDb,
        arguments: &[
            "--config-file",
            "@ROOT@/etc/cinder/cinder.conf",
            "--config-file",
            "@ROOT@/etc/cinder/conf/backends.conf",
            "--config-file",
            "@ROOT@/tmp/pod-shared/internal_tenant.conf",
            "--config-dir",
            "@ROOT@/etc/cinder/cinder.conf.d",
        ],
        hosts: &["cinder-volume-worker@rbd1"],
    })
    .await
}

#[tokio::test]
async fn openstack_k8s_operators() -> Result<()> {
    migrates(&Layout {
        name: "openstack-k8s-operators",
        dialect: Dialect::MariaDb,
        arguments: &["--config-dir", "@ROOT@/etc/cinder/cinder.conf.d"],
        hosts: &["hostgroup@ceph"],
    })
    .await
}

#[tokio::test]
async fn openstack_ansible() -> Result<()> {
    migrates(&Layout {
        name: "openstack-ansible",
        dialect: Dialect::MariaDb,
        arguments: CINDER_CONF,
        hosts: &["infra1-cinder-volumes-container@lvm"],
    })
    .await
}

#[tokio::test]
async fn devstack() -> Result<()> {
    migrates(&Layout {
        name: "devstack",
        dialect: Dialect::MariaDb,
        arguments: CINDER_CONF,
        hosts: &["devstack@lvmdriver-1"],
    })
    .await
}

#[tokio::test]
async fn packages_of_rdo_on_postgresql() -> Result<()> {
    migrates(&Layout {
        name: "packages-rdo",
        dialect: Dialect::Postgres,
        arguments: WITH_DIST,
        hosts: &["block1.example.org@lvm", "block1.example.org@nfs"],
    })
    .await
}

#[tokio::test]
async fn packages_of_debian_on_sqlite() -> Result<()> {
    migrates(&Layout {
        name: "packages-debian",
        dialect: Dialect::Sqlite,
        arguments: CINDER_CONF,
        hosts: &["aio@lvm"],
    })
    .await
}

async fn migrates(layout: &Layout) -> Result<()> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_authorised_cinder_user().await?;
    let database = CinderDatabase::new(&services, layout.dialect).await?;
    let mut volumes = Vec::new();
    for host in layout.hosts {
        let volume = Volume::on(&format!("{host}#pool")).owned_by(&cinder);
        volumes.push(volume.with_snapshots(1));
    }
    let other = Volume::on("elsewhere@lvm#pool").owned_by(&cinder);
    database.insert(&volumes).await?;
    database.insert(&other).await?;

    let root = tempfile::tempdir()?;
    let own = own_values(root.path(), &cloud, &cinder, &database).await?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("layouts");
    lay_out(&folder.join(layout.name), root.path(), &own)?;
    place_what_files_name(root.path(), &database)?;

    let filled = |text: &&str| fill(text, &own);
    let arguments = ["run", "--once", "--service", "volume"].map(str::to_owned);
    let arguments = arguments
        .into_iter()
        .chain(layout.arguments.iter().map(filled));
    let state_dir = root.path().join("state");
    let program = Program::start_bare(
        arguments,
        &[
            (
                "OS_KEY_MIGRATOR__STATE_DIR",
                &state_dir.display().to_string(),
            ),
            ("OS_KEY_MIGRATOR__LISTEN", "127.0.0.1:0"),
        ],
    )?;
    let ended = program.ended().await?;
    assert_eq!(ended.status.code(), Some(0), "{:#?}", ended.lines);
    for volume in &volumes {
        let row = database.volume(volume.id).await?;
        let snapshot = database.snapshot(volume.snapshot_ids()[0]).await?;
        assert_eq!(row.secret_id(), snapshot.secret_id());
    }
    assert!(
        database.volume(other.id).await?.is_zero(),
        "it is another host's"
    );
    assert!(state_dir.join("ledger.sqlite").exists(), "{state_dir:?}");
    Ok(())
}

/// What a deployment has of its own.
async fn own_values(
    root: &Path,
    cloud: &RealCloud,
    cinder: &User,
    database: &CinderDatabase,
) -> Result<BTreeMap<&'static str, String>> {
    let url = database.connection_url();
    let (credentials, place) = url
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once('@'))
        .unwrap_or_default();
    let (user, password) = credentials.split_once(':').unwrap_or_default();
    let (address, name) = place.split_once('/').unwrap_or_default();
    let (host, port) = address.split_once(':').unwrap_or_default();
    let credential = cloud.keystone().application_credential(cinder, &[]).await?;
    let values = [
        ("ROOT", root.display().to_string()),
        ("FIXED_KEY", FIXED_KEY.to_owned()),
        ("DATABASE_URL", url.to_owned()),
        ("POSTGRESQL_URL", url.to_owned()),
        ("DATABASE_USER", user.to_owned()),
        ("DATABASE_PASSWORD", password.to_owned()),
        ("DATABASE_HOST", host.to_owned()),
        ("DATABASE_PORT", port.to_owned()),
        (
            "DATABASE_NAME",
            name.split('?').next().unwrap_or_default().to_owned(),
        ),
        ("AUTH_URL", cloud.auth_url()),
        ("BARBICAN_URL", cloud.barbican_endpoint()),
        ("REGION", cloud.region_name()),
        ("USERNAME", cinder.username.clone()),
        ("USER_ID", cinder.user_id.clone()),
        ("PASSWORD", cinder.password.clone()),
        ("PROJECT", cinder.project_name.clone()),
        ("PROJECT_ID", cinder.project_id.clone()),
        ("DOMAIN_ID", cinder.domain_id.clone()),
        ("DOMAIN_NAME", cinder.user_domain_name.clone()),
        ("APPLICATION_CREDENTIAL_ID", credential.0),
        ("APPLICATION_CREDENTIAL_SECRET", credential.1),
    ];
    Ok(values.into_iter().collect())
}

fn fill(text: &str, own: &BTreeMap<&str, String>) -> String {
    let fill =
        |text: String, (name, value): (&&str, &String)| text.replace(&format!("@{name}@"), value);
    own.iter().fold(text.to_owned(), fill)
}

fn lay_out(from: &Path, to: &Path, own: &BTreeMap<&str, String>) -> Result<()> {
    for entry in std::fs::read_dir(from).with_context(|| format!("{from:?}"))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir_all(&target)?;
            lay_out(&entry.path(), &target, own)?;
        } else {
            let text = std::fs::read_to_string(entry.path())?;
            std::fs::write(target, fill(&text, own))?;
        }
    }
    Ok(())
}

/// What is on such a machine beside Cinder's own files.
fn place_what_files_name(root: &Path, database: &CinderDatabase) -> Result<()> {
    let authority = Authority::new()?;
    for path in [
        "etc/ssl/certs/ca-certificates.crt",
        "opt/stack/data/ca-bundle.pem",
    ] {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().context("a folder")?)?;
        std::fs::copy(authority.bundle(), path)?;
    }
    for folder in [
        "var/log/kolla/cinder",
        "var/log/containers/cinder",
        "var/log/cinder",
        "var/lib/cinder",
    ] {
        std::fs::create_dir_all(root.join(folder))?;
    }
    if let Some(file) = database.connection_url().strip_prefix("sqlite:///") {
        std::os::unix::fs::symlink(file, root.join("var/lib/cinder/cinder.sqlite"))?;
    }
    Ok(())
}
