//! Every way to sign in, at the real Keystone, with the whole program.

use anyhow::{Context, Result};
use key_migrator_tests::program::Ended;
use key_migrator_tests::{
    CinderConf, CinderDatabase, Cloud, Dialect, Program, RealCloud, RoleWorld, Services, User,
    Volume,
};
use serde_json::json;
use uuid::Uuid;

/// One volume to be migrated.
struct Scene {
    cloud: RealCloud,
    database: CinderDatabase,
    volume: Uuid,
}

impl Scene {
    async fn set() -> Result<Self> {
        let services = Services::from_env();
        let cloud = services.cloud(RoleWorld::AsShipped);
        let database = CinderDatabase::new(&services, Dialect::MariaDb).await?;
        let owner = cloud.create_owner().await?;
        let volume = Volume::on("host1@lvm#lvm").owned_by(&owner);
        database.insert(&volume).await?;
        Ok(Self {
            cloud,
            database,
            volume: volume.id,
        })
    }

    /// A configuration that signs in with nothing but these options.
    fn conf(&self, user: &User, options: &[(&str, &str)]) -> Result<CinderConf> {
        let mut conf = CinderConf::new(&self.cloud, user, &self.database)?;
        for option in [
            "auth_type",
            "username",
            "password",
            "user_domain_name",
            "project_name",
            "project_domain_name",
        ] {
            conf = conf.unset("keystone_authtoken", option);
        }
        let set = |conf: CinderConf, (option, value): &(&str, &str)| {
            conf.set("keystone_authtoken", option, value)
        };
        Ok(options.iter().fold(conf, set))
    }

    async fn run(&self, conf: &CinderConf) -> Result<Ended> {
        Program::run_to_end(conf, ["run", "--once", "--service", "volume"]).await
    }

    async fn migrates(&self, conf: &CinderConf) -> Result<()> {
        let ended = self.run(conf).await?;
        assert_eq!(ended.status.code(), Some(0), "{:#?}", ended.lines);
        assert!(!self.database.volume(self.volume).await?.is_zero());
        Ok(())
    }
}

#[tokio::test]
async fn an_application_credential_signs_in_by_its_id() -> Result<()> {
    let scene = Scene::set().await?;
    let cinder = scene.cloud.create_authorised_cinder_user().await?;
    let (id, secret) = scene
        .cloud
        .keystone()
        .application_credential(&cinder, &["member"])
        .await?;
    let conf = scene.conf(
        &cinder,
        &[
            ("auth_type", "v3applicationcredential"),
            ("application_credential_id", &id),
            ("application_credential_secret", &secret),
        ],
    )?;
    scene.migrates(&conf).await
}

#[tokio::test]
async fn an_application_credential_signs_in_by_its_name_and_user() -> Result<()> {
    let scene = Scene::set().await?;
    let cinder = scene.cloud.create_authorised_cinder_user().await?;
    let (_, secret) = scene
        .cloud
        .keystone()
        .application_credential(&cinder, &["member"])
        .await?;
    let conf = scene.conf(
        &cinder,
        &[
            ("auth_type", "v3applicationcredential"),
            ("application_credential_name", "migrator"),
            ("application_credential_secret", &secret),
            ("username", &cinder.username),
            ("user_domain_id", &cinder.domain_id),
        ],
    )?;
    scene.migrates(&conf).await
}

#[tokio::test]
async fn an_application_credential_keeps_its_roles_and_the_remedy_says_so() -> Result<()> {
    let scene = Scene::set().await?;
    let cinder = scene.cloud.create_authorised_cinder_user().await?;
    let (id, secret) = scene
        .cloud
        .keystone()
        .application_credential(&cinder, &["service"])
        .await?;
    let options = [
        ("auth_type", "v3applicationcredential"),
        ("application_credential_id", &*id),
        ("application_credential_secret", &*secret),
    ];
    let ended = scene.run(&scene.conf(&cinder, &options)?).await?;
    assert_eq!(ended.status.code(), Some(2), "{:#?}", ended.lines);
    let all = ended.lines.join("\n");
    assert!(
        all.contains("an application credential keeps the roles that it was made with"),
        "{all}"
    );

    let wrong = options.map(|(option, value)| match option {
        "application_credential_secret" => (option, "not-it"),
        _ => (option, value),
    });
    let ended = scene.run(&scene.conf(&cinder, &wrong)?).await?;
    let all = ended.lines.join("\n");
    assert!(
        all.contains(
            "check [keystone_authtoken] application_credential_id, application_credential_secret"
        ),
        "{all}"
    );
    assert!(!all.contains(&secret) && !all.contains("not-it"), "{all}");
    Ok(())
}

#[tokio::test]
async fn a_trust_lends_its_project_and_roles() -> Result<()> {
    let scene = Scene::set().await?;
    let trustor = scene.cloud.create_authorised_cinder_user().await?;
    let trustee = scene.cloud.create_cinder_user().await?;
    let trust = scene
        .cloud
        .keystone()
        .create_as(
            &trustor,
            "OS-TRUST/trusts",
            "trust",
            json!({
                "trustor_user_id": trustor.user_id,
                "trustee_user_id": trustee.user_id,
                "project_id": trustor.project_id,
                "impersonation": false,
                "roles": [{ "name": "member" }],
            }),
        )
        .await?;
    let trust = trust["id"].as_str().context("an ID")?;
    let options = [
        ("auth_type", "password"),
        ("username", &*trustee.username),
        ("password", &*trustee.password),
        ("user_domain_name", &*trustee.user_domain_name),
        ("trust_id", trust),
    ];
    scene.migrates(&scene.conf(&trustee, &options)?).await?;

    let wrong = options.map(|(option, value)| match option {
        "trust_id" => (option, "0123456789abcdef0123456789abcdef"),
        _ => (option, value),
    });
    scene
        .database
        .insert(&Volume::on("host1@lvm#lvm").owned_by("u"))
        .await?;
    let ended = scene.run(&scene.conf(&trustee, &wrong)?).await?;
    let all = ended.lines.join("\n");
    assert!(all.contains("password, trust_id"), "{all}");
    Ok(())
}

#[tokio::test]
async fn v3password_and_another_section_sign_in_too() -> Result<()> {
    let scene = Scene::set().await?;
    let cinder = scene.cloud.create_authorised_cinder_user().await?;
    let conf = scene.conf(&cinder, &[("auth_section", "service_auth")])?;
    let conf = conf.unset("keystone_authtoken", "auth_url");
    let auth_url = scene.cloud.auth_url();
    let options = [
        ("auth_type", "v3password"),
        ("auth_url", &*auth_url),
        ("user_id", &*cinder.user_id),
        ("password", &*cinder.password),
        ("project_id", &*cinder.project_id),
    ];
    let set =
        |conf: CinderConf, (option, value): &(&str, &str)| conf.set("service_auth", option, value);
    scene.migrates(&options.iter().fold(conf, set)).await
}

#[tokio::test]
async fn what_cannot_sign_in_is_a_fault_of_the_configuration() -> Result<()> {
    let scene = Scene::set().await?;
    let cinder = scene.cloud.create_cinder_user().await?;
    for (option, value, said) in [
        (
            "auth_type",
            "v3oidcpassword",
            "[keystone_authtoken] auth_type: expected password, v3password or \
             v3applicationcredential",
        ),
        (
            "system_scope",
            "all",
            "[keystone_authtoken] system_scope: asks for a token without a project",
        ),
        (
            "certfile",
            "/nonexistent/client.pem",
            "[keystone_authtoken] certfile: cannot read /nonexistent/client.pem",
        ),
    ] {
        let conf = CinderConf::new(&scene.cloud, &cinder, &scene.database)?;
        let conf = conf.set("keystone_authtoken", option, value);
        let ended = scene.run(&conf).await?;
        assert_eq!(ended.status.code(), Some(78), "{:#?}", ended.lines);
        let all = ended.lines.join("\n");
        assert!(all.contains(said), "{all}");
        assert!(all.contains("cinder.conf:"), "file and line: {all}");
        assert!(!all.contains(&cinder.password), "{all}");
    }
    Ok(())
}
