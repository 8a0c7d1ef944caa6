//! Keystone and Barbican behind TLS of a private authority: what should work works, and what should
//! not is refused with what is wrong and the option that governs it.

use std::path::Path;

use anyhow::Result;
use key_migrator_tests::tls::{Authority, Certified, TlsFronts, Validity};
use key_migrator_tests::{
    CinderConf, CinderDatabase, Cloud, Dialect, Program, RealCloud, RoleWorld, Services, User,
    Volume,
};

struct Scene {
    cloud: RealCloud,
    cinder: User,
    database: CinderDatabase,
    authority: Authority,
}

impl Scene {
    async fn set() -> Result<Self> {
        let services = Services::from_env();
        let cloud = services.cloud(RoleWorld::AsShipped);
        Ok(Self {
            cinder: cloud.create_authorised_cinder_user().await?,
            database: CinderDatabase::new(&services, Dialect::MariaDb).await?,
            authority: Authority::new()?,
            cloud,
        })
    }

    async fn fronts(&self, server: &Certified, clients_of: Option<&Path>) -> Result<TlsFronts> {
        TlsFronts::before(&self.cloud, server, clients_of).await
    }

    fn conf(&self, fronts: &TlsFronts) -> Result<CinderConf> {
        let conf = CinderConf::new(&self.cloud, &self.cinder, &self.database)?;
        Ok(fronts.used_by(conf))
    }

    async fn migrates(&self, conf: &CinderConf) -> Result<()> {
        let volume = Volume::on("host1@lvm#lvm").owned_by(&self.cinder);
        self.database.insert(&volume).await?;
        let ended = Program::run_to_end(conf, ["run", "--once", "--service", "volume"]).await?;
        assert_eq!(ended.status.code(), Some(0), "{:#?}", ended.lines);
        assert!(!self.database.volume(volume.id).await?.is_zero());
        Ok(())
    }

    /// Says so, and moves nothing.
    async fn refuses(&self, conf: &CinderConf, code: i32, said: &[&str]) -> Result<()> {
        let volume = Volume::on("host1@lvm#lvm").owned_by(&self.cinder);
        self.database.insert(&volume).await?;
        let ended = Program::run_to_end(conf, ["run", "--once", "--service", "volume"]).await?;
        let all = ended.lines.join("\n");
        assert_eq!(ended.status.code(), Some(code), "{all}");
        for said in said {
            assert!(all.contains(said), "{said} in\n{all}");
        }
        assert!(!all.contains(&self.cinder.password), "{all}");
        assert!(self.database.volume(volume.id).await?.is_zero());
        Ok(())
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[tokio::test]
async fn a_bundle_of_the_configuration_or_the_environment_is_believed() -> Result<()> {
    let scene = Scene::set().await?;
    let server = scene.authority.certify("127.0.0.1", Validity::Good)?;
    let fronts = scene.fronts(&server, None).await?;
    let bundle = scene.authority.bundle();
    let conf = scene.conf(&fronts)?;
    scene
        .migrates(
            &conf
                .clone()
                .set("keystone_authtoken", "cafile", path(&bundle)),
        )
        .await?;
    scene
        .migrates(
            &conf
                .clone()
                .set("keystone_authtoken", "insecure", "true")
                .set("barbican", "verify_ssl_path", path(&bundle)),
        )
        .await?;
    let volume = Volume::on("host1@lvm#lvm").owned_by(&scene.cinder);
    scene.database.insert(&volume).await?;
    let program = Program::start_beside(
        &conf,
        ["run", "--once", "--service", "volume"],
        &[("REQUESTS_CA_BUNDLE", path(&bundle))],
    )?;
    let ended = program.ended().await?;
    assert_eq!(ended.status.code(), Some(0), "{:#?}", ended.lines);
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_is_not_right_is_refused_with_the_reason() -> Result<()> {
    let scene = Scene::set().await?;
    let bundle = scene.authority.bundle();
    let good = scene.authority.certify("127.0.0.1", Validity::Good)?;
    let fronts = scene.fronts(&good, None).await?;
    scene
        .refuses(
            &scene.conf(&fronts)?,
            2,
            &["UnknownIssuer", "[keystone_authtoken] auth_url"],
        )
        .await?;
    for (name, validity, reason) in [
        ("127.0.0.1", Validity::Expired, "expired"),
        ("keystone.example.org", Validity::Good, "not valid for name"),
    ] {
        let server = scene.authority.certify(name, validity)?;
        let fronts = scene.fronts(&server, None).await?;
        let conf = scene
            .conf(&fronts)?
            .set("keystone_authtoken", "cafile", path(&bundle));
        scene
            .refuses(&conf, 2, &[reason, "[keystone_authtoken] cafile"])
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_the_one_of_the_configuration() -> Result<()> {
    let scene = Scene::set().await?;
    let bundle = scene.authority.bundle();
    let server = scene.authority.certify("127.0.0.1", Validity::Good)?;
    let fronts = scene.fronts(&server, Some(&bundle)).await?;
    let conf = scene
        .conf(&fronts)?
        .set("keystone_authtoken", "cafile", path(&bundle));
    let shown = |certified: &Certified| {
        conf.clone()
            .set(
                "keystone_authtoken",
                "certfile",
                path(&certified.certificate),
            )
            .set("keystone_authtoken", "keyfile", path(&certified.key))
    };
    let ours = scene.authority.certify("cinder", Validity::Good)?;
    scene.migrates(&shown(&ours)).await?;

    scene
        .refuses(&conf, 2, &["[keystone_authtoken] certfile"])
        .await?;
    let expired = scene.authority.certify("cinder", Validity::Expired)?;
    scene
        .refuses(&shown(&expired), 2, &["[keystone_authtoken] certfile"])
        .await?;
    let mixed = Certified {
        key: expired.key,
        ..ours
    };
    let said = [
        "[keystone_authtoken] keyfile: ",
        "does not belong to the certificate",
    ];
    scene.refuses(&shown(&mixed), 78, &said).await
}

#[tokio::test]
async fn a_bundle_that_cannot_be_used_is_a_fault_of_the_configuration() -> Result<()> {
    let scene = Scene::set().await?;
    let server = scene.authority.certify("127.0.0.1", Validity::Good)?;
    let fronts = scene.fronts(&server, None).await?;
    let conf = scene.conf(&fronts)?;
    for (section, option, file, said) in [
        (
            "keystone_authtoken",
            "cafile",
            "/nonexistent/ca.pem",
            "cannot read /nonexistent/ca.pem",
        ),
        (
            "barbican",
            "verify_ssl_path",
            path(&server.key),
            "is no bundle of certificates",
        ),
    ] {
        let named = format!("[{section}] {option}: ");
        scene
            .refuses(
                &conf.clone().set(section, option, file),
                78,
                &[&named, said],
            )
            .await?;
    }
    Ok(())
}
