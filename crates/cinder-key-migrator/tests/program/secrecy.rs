//! Whatever level is asked for, nothing secret is logged.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sandbox_cloud::Operation;

use crate::life::cloud;
use crate::running::{FIXED_KEY, PASSWORD, Place, Running, ended, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_run_at_trace_shows_no_key_no_password_and_no_token() {
    let place = Place::new();
    let (cloud, database) = cloud(&place, 12).await;
    let own = "[DEFAULT]\ndebug = true\n";
    let file = place.configure(&database.connection(), &cloud.keystone_url(), own);
    let mut command = run(&file);
    let levels = "trace,hyper=trace,reqwest=trace,sqlx=trace,rustls=trace,h2=trace,axum=trace";
    command.env("CINDER_KEY_MIGRATOR_LOG", levels);
    command.arg("--once");
    let (code, said) = ended(command);
    assert_eq!(code, 0, "{said}");
    assert!(cloud.requests(Operation::PostSecret) > 0);
    assert!(said.contains(" DEBUG "), "our own code speaks: {said}");

    let raw: Vec<u8> = (0..FIXED_KEY.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&FIXED_KEY[at..at + 2], 16).expect("hexadecimal"))
        .collect();
    let base64 = STANDARD.encode(&raw);
    let listed = format!("{raw:?}");
    let listed = listed.trim_matches(['[', ']']);
    let database_url = database.connection();
    let lower = said.to_lowercase();
    assert!(!lower.contains(FIXED_KEY), "the key in hexadecimal");
    for (secret, what) in [
        (base64.as_str(), "the key in base64"),
        (listed, "the key as numbers"),
        (PASSWORD, "the password"),
        ("gAAAA", "a token"),
        ("X-Subject-Token", "a header of tokens"),
        ("X-Auth-Token", "a header of tokens"),
        (database_url.as_str(), "the database URL"),
    ] {
        assert!(!lower.contains(&secret.to_lowercase()), "{what}");
    }
    for line in said.lines() {
        let logger = line.split(' ').nth(4).unwrap_or_default();
        let ours = ["cinder", "key_migration", "openstack_client", "oslo_config"];
        let level = line.split(' ').nth(3).unwrap_or_default();
        let loud = level == "DEBUG" || level == "TRACE";
        assert!(
            !loud || ours.iter().any(|it| logger.starts_with(it)),
            "{line}"
        );
    }
}

#[test]
fn a_core_dump_that_is_asked_for_is_not_made() {
    let place = Place::new();
    let conf = place.configure(
        "mysql://u:p@127.0.0.1:1/cinder",
        "http://127.0.0.1:1/v3",
        "",
    );
    let mut command = run(&conf);
    command.current_dir(place.path(""));
    let running = Running::start(command);
    running.hear("database_unreachable");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", running.id()));
    let limits = limits.expect("a living process");
    let cores = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let cores: Vec<_> = cores.expect("a limit").split_whitespace().collect();
    assert_eq!(cores[4..6], ["0", "0"]);
}
