//! Nothing secret in whatever a run leaves or shows: logs at every level, pages, metrics, rows,
//! files and what commands print, in a run that meets every kind of answer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use key_migrator_tests::cinder_conf::write_closed;
use key_migrator_tests::secrets::{Secrets, files_below};
use key_migrator_tests::{
    Backup, CinderConf, CinderDatabase, Cloud, Dialect, Program, RealCloud, RoleWorld, Services,
    User, Volume, http, rows,
};
use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

/// A Fernet token, as Keystone issues them, begins so.
const TOKEN: &str = "gAAAAA";

const PAGES: [&str; 13] = [
    "/",
    "/page.css",
    "/page.js",
    "/page.svg",
    "/livez?verbose",
    "/readyz?verbose",
    "/healthcheck?detailed",
    "/metrics",
    "/openapi.json",
    "/v1/status",
    "/v1/rows?state=failed",
    "/v1/rows?state=deferred",
    "/nowhere",
];

/// A host in the middle of it all, and the secrets that it has.
struct Host {
    cloud: RealCloud,
    cinder: User,
    database: CinderDatabase,
    conf: CinderConf,
    /// With the ledger, and everything else that is left on disk.
    folder: Arc<TempDir>,
    key: String,
    secrets: Secrets,
    volume: Volume,
    backup: Backup,
}

impl Host {
    async fn new(dialect: Dialect) -> Result<Self> {
        let services = Services::from_env();
        let cloud = services.cloud(RoleWorld::AsShipped);
        let cinder = cloud.create_cinder_user().await?;
        let database = CinderDatabase::new(&services, dialect).await?;
        let volume = Volume::on("host1@lvm#lvm").with_snapshots(1);
        let backup = Backup::on("host1");
        database.insert(&volume).await?;
        database.insert(&backup).await?;
        database
            .insert(&[
                Volume::on("host1@lvm#lvm").status("retyping"),
                Volume::on("host1@lvm#lvm").column("user_id", rows::Value::Null),
            ])
            .await?;
        // One of its own: no byte of it is anywhere by chance.
        let key = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat();
        let url = database.connection_url();
        let mut secrets = Secrets::default()
            .key(&key)
            .text("the password", &cinder.password)
            .text("a token", TOKEN);
        if let Some((_, place)) = url.split_once("://").filter(|_| dialect != Dialect::Sqlite) {
            let password = place.split(['@', ':']).nth(1);
            let password = password.context("the URL has a password")?;
            secrets = secrets
                .text("the database URL", place)
                .text("the database password", password);
        }
        let key = hex::encode(key);
        let conf = CinderConf::new(&cloud, &cinder, &database)?
            .set("DEFAULT", "debug", "true")
            .set("key_manager", "fixed_key", &key)
            .set("key_migrator", "interval", "1");
        Ok(Self {
            cloud,
            cinder,
            database,
            conf,
            folder: Arc::new(tempfile::tempdir()?),
            key,
            secrets,
            volume,
            backup,
        })
    }

    #[track_caller]
    fn assert_silent(&self, place: &str, bytes: &[u8]) {
        if let Some(secret) = self.secrets.shown_in(bytes) {
            let text = String::from_utf8_lossy(bytes);
            panic!("{place} shows {secret}:\n{text}");
        }
    }

    /// Runs a command with everything logged, beside the daemon; its report, where it prints one.
    async fn command(&self, conf: &CinderConf, arguments: &[&str]) -> Result<String> {
        let folder = Arc::clone(&self.folder);
        let ended = Program::start_tracing_in(folder, conf, arguments)?
            .ended()
            .await?;
        let text = ended.lines.join("\n");
        self.assert_silent(&arguments.join(" "), text.as_bytes());
        Ok(text)
    }

    /// Everything on disk that may not hold a secret.
    fn look_at_files(&self, may_hold: &[&Path]) -> Result<usize> {
        let files = files_below(self.folder.path())?;
        let others: Vec<_> = files
            .iter()
            .filter(|(path, _)| !may_hold.contains(&path.as_path()))
            .collect();
        for (path, bytes) in &others {
            self.assert_silent(&path.display().to_string(), bytes);
        }
        Ok(others.len())
    }

    fn conf_file(&self) -> PathBuf {
        self.folder.path().join("cinder.conf")
    }

    async fn look_at_pages(&self, program: &Program) -> Result<()> {
        for path in PAGES {
            let (status, text) = program.page(path).await?;
            self.assert_silent(path, text.as_bytes());
            assert_eq!(status == 404, path == "/nowhere", "{path}: {status}");
        }
        let events = format!("{}/v1/events", program.url());
        let mut events = http::client().get(events).send().await?;
        let first = events.chunk().await?.context("an event")?;
        self.assert_silent("/v1/events", &first);
        Ok(())
    }

    async fn look_at_rows(&self) -> Result<()> {
        let rows = [
            self.database.volume(self.volume.id).await?,
            self.database
                .snapshot(self.volume.snapshot_ids()[0])
                .await?,
            self.database.backup(self.backup.id).await?,
        ];
        assert!(rows.iter().all(|row| !row.is_zero()), "{rows:#?}");
        self.assert_silent("a row", format!("{rows:#?}").as_bytes());
        Ok(())
    }

    /// Refused, then migrated: the daemon goes on.
    async fn migrate(&self) -> Result<Program> {
        let folder = Arc::clone(&self.folder);
        let mut program = Program::start_tracing_in(folder, &self.conf, ["run"])?;
        program.line("Error migrating encryption key").await?;
        self.look_at_pages(&program).await?;
        self.cloud
            .grant(&self.cinder, &self.cloud.storing_role())
            .await?;
        let through = |status: &Value| {
            let left = |service: usize| status["services"][service]["keys"]["remaining"].as_u64();
            left(0) == Some(2) && left(1) == Some(0)
        };
        program.status_where(through).await?;
        Ok(program)
    }

    async fn end(&self, program: Program) -> Result<()> {
        let ended = program.terminate().await?;
        let text = ended.lines.join("\n");
        for speaker in [
            " DEBUG openstack_client",
            " INFO cinder.keymgr.migration",
            "user_id is NULL",
        ] {
            assert!(text.contains(speaker), "no line with `{speaker}`");
        }
        self.assert_silent("the daemon's log", text.as_bytes());
        Ok(())
    }
}

#[tokio::test]
async fn a_runs_log_pages_rows_and_files_show_no_key_password_token_or_database_url() -> Result<()>
{
    for dialect in Dialect::ALL {
        let host = Host::new(dialect).await?;
        let program = host.migrate().await?;
        host.look_at_pages(&program).await?;
        host.look_at_rows().await?;
        let conf = host.conf_file();
        // Once with the ledger open, once as it is left.
        host.look_at_files(&[&conf])?;
        host.end(program).await?;
        assert!(host.look_at_files(&[&conf])? > 2, "{dialect:?}");
        let shown = host.secrets.shown_in(&std::fs::read(conf)?);
        assert!(
            shown.is_some(),
            "what is looked for is found where it stands"
        );
    }
    Ok(())
}

#[tokio::test]
async fn what_commands_print_and_leave_shows_no_secret_but_in_the_backup_of_a_file() -> Result<()> {
    let host = Host::new(Dialect::MariaDb).await?;
    let program = host.migrate().await?;
    let path = |name: &str| host.folder.path().join(name);
    let report = path("report.json").display().to_string();
    let id = host.volume.id.to_string();
    for arguments in [
        &["check", "-f", "json", "--probe"][..],
        &["check"],
        &["plan", "-f", "json"],
        &["plan"],
        &["status", "-f", "json"],
        &["status"],
        &["rows", "--state", "failed"],
        &["rows", "--state", "deferred", "-f", "json"],
        &["verify", "--all-hosts", "-f", "json", "--report", &report],
        &["verify", &id],
        &["orphans", "list"],
        &["orphans", "purge", "--execute"],
        &[
            "fixed-key",
            "audit",
            "--attest",
            "database_dumps",
            "--attested-by",
            "ada",
        ],
        &["revert", &id],
        &["healthcheck"],
    ] {
        let text = host.command(&host.conf, arguments).await?;
        assert!(
            !text.is_empty() || arguments == ["healthcheck"],
            "{arguments:?}"
        );
    }
    assert!(path("report.json").exists() && path("key-migrator/evidence").exists());

    // What is wrong with a key, a password or a URL is said without it.
    let cut = &host.key[1..];
    let url = host.database.connection_url().replacen("mysql", "nosql", 1);
    let url = url.as_str();
    for (section, option, value) in [
        ("key_manager", "fixed_key", cut),
        ("database", "connection", url),
        (
            "keystone_authtoken",
            "auth_type",
            host.cinder.password.as_str(),
        ),
    ] {
        let wrong = host.conf.clone().set(section, option, value);
        let text = host.command(&wrong, &["run", "--once"]).await?;
        assert!(text.contains(&format!("[{section}] {option}")), "{text}");
    }
    host.conf.write_to(host.folder.path())?;

    let nova = path("nova.conf");
    let text = format!(
        "[key_manager]\nbackend = barbican\nfixed_key = {}\n",
        host.key
    );
    write_closed(&nova, &text)?;
    let nova_path = nova.display().to_string();
    let tree = host.folder.path().display().to_string();
    let audit = ["fixed-key", "audit", "-f", "json", "--config-tree", &tree];
    host.command(&host.conf, &audit).await?;
    host.command(&host.conf, &["fixed-key", "remove", &nova_path])
        .await?;
    let codes = key_migration::verdict::Item::codes();
    let mut remove = vec!["fixed-key", "remove", "--execute", &nova_path];
    remove.extend(codes.iter().flat_map(|code| ["--force", code]));
    let said = host.command(&host.conf, &remove).await?;
    assert!(
        !std::fs::read_to_string(&nova)?.contains("fixed_key"),
        "{said}"
    );
    host.end(program).await?;

    let files = files_below(host.folder.path())?;
    let is_backup = |path: &&PathBuf| path.extension().is_some_and(|it| it == "backup");
    let backups: Vec<_> = files.keys().filter(is_backup).collect();
    let [backup] = backups[..] else {
        panic!("one backup: {:#?}", files.keys());
    };
    host.look_at_files(&[&host.conf_file(), backup])?;
    assert!(host.secrets.shown_in(&files[backup]).is_some());
    host.command(
        &host.conf,
        &["fixed-key", "restore", "--execute", &nova_path],
    )
    .await?;
    assert_eq!(std::fs::read_to_string(&nova)?, text);
    Ok(())
}
