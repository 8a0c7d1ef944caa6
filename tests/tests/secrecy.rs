//! Nothing secret in any log, at any level, in a run that meets every kind of answer.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use key_migrator_tests::cinder_conf::FIXED_KEY;
use key_migrator_tests::{
    Backup, CinderConf, CinderDatabase, Cloud, Dialect, Program, RoleWorld, Services, Volume,
};

#[tokio::test]
async fn a_whole_run_at_trace_level_shows_no_key_password_token_or_database_url() -> Result<()> {
    let services = Services::from_env();
    let cloud = services.cloud(RoleWorld::AsShipped);
    let cinder = cloud.create_cinder_user().await?;
    for dialect in Dialect::ALL {
        let database = CinderDatabase::new(&services, dialect).await?;
        database
            .insert(
                &Volume::on("host1@lvm#lvm")
                    .owned_by("user")
                    .with_snapshots(1),
            )
            .await?;
        database
            .insert(&Backup::on("host1").owned_by("user"))
            .await?;
        let conf = CinderConf::new(&cloud, &cinder, &database)?
            .set("DEFAULT", "debug", "true")
            .set("key_migrator", "interval", "1");
        let mut program = Program::start_tracing(&conf, ["run"])?;
        if dialect == Dialect::ALL[0] {
            program.line("Error migrating encryption key").await?;
            cloud.grant(&cinder, "member").await?;
        }
        program
            .status_where(|status| status["services"][1]["state"] == "complete")
            .await?;
        program
            .status_where(|status| status["services"][0]["state"] == "complete")
            .await?;
        let ended = program.terminate().await?;

        for speaker in [" DEBUG openstack_client", " INFO cinder.keymgr.migration"] {
            assert!(
                ended.lines.iter().any(|line| line.contains(speaker)),
                "no line of{speaker}"
            );
        }
        let key = hex::decode(FIXED_KEY)?;
        let url = database.connection_url();
        let mut secrets = vec![
            FIXED_KEY.to_owned(),
            FIXED_KEY.to_uppercase(),
            STANDARD.encode(&key).trim_end_matches('=').to_owned(),
            format!("{key:?}").trim_matches(['[', ']']).to_owned(),
            String::from_utf8_lossy(&key).into_owned(),
            cinder.password.clone(),
            // A Fernet token, as Keystone issues them.
            "gAAAAA".to_owned(),
        ];
        if dialect == Dialect::MariaDb {
            secrets.push(url.to_owned());
            secrets.push(url.split("://").nth(1).unwrap_or(url).to_owned());
            let password = url
                .split(':')
                .nth(2)
                .and_then(|rest| rest.split('@').next());
            secrets.push(password.expect("the URL has a password").to_owned());
        }
        for secret in secrets {
            let shown = ended.lines.iter().find(|line| line.contains(&secret));
            assert_eq!(shown, None, "{dialect:?}: a secret is shown");
        }
    }
    Ok(())
}
