//! What Cinder itself needs once all is migrated.

use anyhow::Result;
use key_migrator_tests::CinderConf;

use crate::stage::Stage;

#[tokio::test]
async fn what_cinder_needs_to_delete_secrets_later_must_stand_in_keystone_authtoken_itself()
-> Result<()> {
    let stage = Stage::set().await?;
    const LINE: &str = "Credentials for later deletions";
    let cinder = &stage.cinder;
    for (name, id, value) in [
        ("username", "user_id", &cinder.user_id),
        ("project_name", "project_id", &cinder.project_id),
        ("user_domain_name", "user_domain_id", &cinder.domain_id),
        (
            "project_domain_name",
            "project_domain_id",
            &cinder.domain_id,
        ),
    ] {
        const SECTION: &str = "keystone_authtoken";
        let conf = stage
            .conf
            .clone()
            .unset(SECTION, name)
            .set(SECTION, id, value);
        let said = stage.check_as(&conf).await?;
        said.fails(
            LINE,
            &format!("itself lacks {name}:"),
            &format!("of cinder.conf: {name} "),
        );
        let mended = stage.conf.clone().set(SECTION, id, value);
        stage.check_as(&mended).await?.is_all_success();
    }
    let options = [
        "auth_type",
        "auth_url",
        "username",
        "password",
        "user_domain_name",
    ];
    let options = [&options[..], &["project_name", "project_domain_name"]].concat();
    let written = section(&stage.conf.text(), "keystone_authtoken");
    let beside = |conf: CinderConf, options: &[&str]| {
        let wanted = written
            .iter()
            .filter(|(name, _)| *name != "auth_type" && options.contains(&name.as_str()));
        wanted.fold(conf, |conf, (name, value)| {
            conf.set("keystone_authtoken", name, value)
        })
    };
    let mut moved = stage
        .conf
        .clone()
        .set("keystone_authtoken", "auth_section", "service");
    for option in &options {
        moved = moved.unset("keystone_authtoken", option);
    }
    for (option, value) in &written {
        moved = moved.set("service", option, value);
    }
    let said = stage.check_as(&moved).await?;
    said.fails(LINE, "does not follow auth_section", "auth_url");
    assert!(said.remedy(LINE).contains("password"), "{said:#?}");
    // They may stand beside the options that are there.
    let mended = beside(moved, &options);
    stage.check_as(&mended).await?.is_all_success();

    let keystone = stage.cloud.keystone();
    let (id, secret) = keystone.application_credential(cinder, &[]).await?;
    let mut application = stage.conf.clone();
    for option in &options[2..] {
        application = application.unset("keystone_authtoken", option);
    }
    let application = application
        .set("keystone_authtoken", "auth_type", "v3applicationcredential")
        .set("keystone_authtoken", "application_credential_id", &id)
        .set(
            "keystone_authtoken",
            "application_credential_secret",
            &secret,
        );
    let said = stage.check_as(&application).await?;
    said.fails(LINE, "cannot use an application credential", "username");
    let mended = beside(application, &options[2..]);
    stage.check_as(&mended).await?.is_all_success();
    Ok(())
}

/// The options of one section of a file, with their values.
fn section(text: &str, name: &str) -> Vec<(String, String)> {
    let begins = format!("[{name}]");
    let lines = text.lines().skip_while(|line| *line != begins).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    let options = lines.filter_map(|line| line.split_once(" = "));
    options
        .map(|(option, value)| (option.to_owned(), value.replace("$$", "$")))
        .collect()
}
