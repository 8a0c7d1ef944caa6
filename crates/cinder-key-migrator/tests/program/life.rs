//! From start to end: what keeps the daemon up, what ends it, and what a signal does.

use std::net::TcpListener;

use rustix::process::Signal;
use sandbox_cloud::cinder::{CinderDatabase, Population};
use sandbox_cloud::{Cloud, Fault, Gate, Operation, RoleWorld, When};
use serde_json::Value;

use crate::running::{FIXED_KEY, PASSWORD, Place, Running, ended, program, run};
use crate::systemd::Manager;

/// Nobody listens at port 1.
const NO_DATABASE: &str = "mysql+pymysql://cinder:db-s3cr3t@127.0.0.1:1/cinder";
const NO_KEYSTONE: &str = "http://127.0.0.1:1/v3";

/// A cloud in which cinder may store secrets, and host1's rows.
pub(crate) async fn cloud(place: &Place, volumes: u32) -> (Cloud, CinderDatabase) {
    let cloud = Cloud::builder()
        .role_world(RoleWorld::Creator)
        .start()
        .await;
    let cloud = cloud.expect("free ports");
    let service = cloud.create_project("service");
    let cinder = cloud.create_user("cinder", PASSWORD);
    cloud.grant_role(&cinder.id, &service.id, "service");
    cloud.grant_role(&cinder.id, &service.id, "creator");
    let database = CinderDatabase::create(place.path("cinder.sqlite")).await;
    let database = database.expect("a database");
    let population = Population {
        volumes,
        transitional: 0,
        ..Population::default()
    };
    let planted = database.populate(&population, &cloud).await;
    planted.expect("rows");
    (cloud, database)
}

fn state(running: &Running, service: usize) -> Value {
    let (code, body) = running.get("/v1/status");
    assert_eq!(code, 200);
    let status: Value = serde_json::from_str(&body).expect("JSON");
    status["services"][service].clone()
}

#[test]
fn without_its_database_it_is_alive_but_not_ready_and_says_what_it_waits_for() {
    let place = Place::new();
    let mut command = run(&place.configure(NO_DATABASE, NO_KEYSTONE, ""));
    let mut manager = Manager::listen(&place, &mut command);
    let mut daemon = Running::start(command);
    manager.hear("READY=1");
    assert_eq!(daemon.get("/livez"), (200, "ok".into()));
    let (code, body) = daemon.get("/readyz");
    assert_eq!(code, 503);
    assert!(
        body.contains("[-]database failed: not reached yet"),
        "{body}"
    );
    manager.hear("STATUS=volume: blocked (database_unreachable)");
    let volume = state(&daemon, 0);
    assert_eq!(volume["state"], "blocked");
    assert_eq!(volume["reason"]["code"], "database_unreachable");
    assert!(volume["next_attempt_at"].is_string());
    daemon.signal(Signal::TERM);
    manager.hear("STOPPING=1");
    assert_eq!(daemon.exit_code(), Some(0));
    let said = daemon.lines().join("\n");
    assert!(
        !said.contains("db-s3cr3t") && !said.contains(PASSWORD),
        "{said}"
    );
}

#[test]
fn signs_of_life_are_given() {
    let place = Place::new();
    let mut command = run(&place.configure(NO_DATABASE, NO_KEYSTONE, ""));
    command.env("WATCHDOG_USEC", "200000");
    let mut manager = Manager::listen(&place, &mut command);
    let _daemon = Running::start(command);
    for _ in 0..3 {
        manager.hear("WATCHDOG=1");
    }
}

#[test]
fn a_reload_takes_a_new_configuration_and_keeps_the_old_one_where_it_is_faulty() {
    let place = Place::new();
    let file = place.configure(NO_DATABASE, NO_KEYSTONE, "");
    let good = std::fs::read_to_string(&file).expect("the configuration");
    let mut command = run(&file);
    let mut manager = Manager::listen(&place, &mut command);
    let mut daemon = Running::start(command);
    manager.hear("READY=1");

    place.write("cinder.conf", &good.replace(FIXED_KEY, "xyz"));
    daemon.signal(Signal::HUP);
    manager.hear("RELOADING=1");
    manager.hear("MONOTONIC_USEC=");
    manager.hear("READY=1");
    let fault = daemon.hear("[key_manager] fixed_key: an odd number of hexadecimal digits");
    assert!(
        fault.contains(" ERROR cinder_key_migrator.daemon"),
        "{fault}"
    );
    assert!(!fault.contains("xyz"), "{fault}");
    daemon.hear("the one from before stays in use");
    assert_eq!(daemon.get("/livez"), (200, "ok".into()));

    place.write("cinder.conf", &good.replace("host = host1", "host = host9"));
    daemon.signal(Signal::HUP);
    daemon.hear("the configuration was read again and is in use");
    let (_, body) = daemon.get("/v1/status");
    let status: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(status["host"], "host9");

    let elsewhere = good.replace("127.0.0.1:0\n", "127.0.0.1:1\nservices = backup\n");
    place.write("cinder.conf", &elsewhere);
    daemon.signal(Signal::HUP);
    daemon.hear("[key_migrator] services has changed: restart");
    daemon.hear("[key_migrator] listen has changed: restart");
    daemon.signal(Signal::INT);
    assert_eq!(daemon.exit_code(), Some(0));
}

#[test]
fn a_service_that_is_taken_off_the_list_is_paused_by_a_reload_like_the_others() {
    let place = Place::new();
    let file = place.configure(NO_DATABASE, NO_KEYSTONE, "");
    let mut command = run(&file);
    let mut manager = Manager::listen(&place, &mut command);
    let mut daemon = Running::start(command);
    manager.hear("READY=1");
    place.configure(
        NO_DATABASE,
        NO_KEYSTONE,
        "services = volume\npaused = true\n",
    );
    daemon.signal(Signal::HUP);
    daemon.hear("[key_migrator] services has changed: restart");
    manager.hear("STATUS=volume: paused, 0 remaining, 0 migrated; backup: paused, ");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.exit_code(), Some(0));
}

#[test]
fn a_log_file_that_was_moved_away_is_opened_anew_by_a_reload() {
    let place = Place::new();
    let log = place.path("cinder-key-migrator.log");
    let file = place.configure(NO_DATABASE, NO_KEYSTONE, "");
    let text = std::fs::read_to_string(&file).expect("the configuration");
    let directory = log.parent().expect("a directory").display();
    let logged = format!("[DEFAULT]\nlog_dir = {directory}\nuse_json = true");
    place.write("cinder.conf", &text.replacen("[DEFAULT]", &logged, 1));
    let mut command = run(&file);
    let mut manager = Manager::listen(&place, &mut command);
    let mut daemon = Running::start(command);
    manager.hear("READY=1");
    let rotated = place.path("rotated.log");
    std::fs::rename(&log, &rotated).expect("a log file");
    daemon.signal(Signal::HUP);
    manager.hear("RELOADING=1");
    manager.hear("READY=1");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.exit_code(), Some(0));
    let first = std::fs::read_to_string(rotated).expect("the old log");
    let first: Value = serde_json::from_str(first.lines().next().expect("a line")).expect("JSON");
    assert_eq!(first["levelname"], "INFO", "{first}");
    assert_eq!(first["name"], "cinder_key_migrator.daemon");
    let second = std::fs::read_to_string(log).expect("the new log");
    assert!(
        second.contains("the configuration was read again"),
        "{second}"
    );
    assert_eq!(daemon.lines(), Vec::<String>::new());
}

#[test]
fn healthcheck_asks_the_daemon_over_either_kind_of_socket() {
    let place = Place::new();
    let socket = place.path("m.sock");
    let file = place.configure(NO_DATABASE, NO_KEYSTONE, "");
    let text = std::fs::read_to_string(&file).expect("the configuration");
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    for listen in [
        format!("unix:{}", socket.display()),
        format!("127.0.0.1:{port}"),
    ] {
        place.write("cinder.conf", &text.replace("127.0.0.1:0", &listen));
        let mut daemon = Running::start(run(&file));
        daemon.hear(&format!("HTTP at {listen}"));
        let check = [
            "healthcheck",
            "--config-file",
            file.to_str().expect("a path"),
        ];
        assert_eq!(ended(program(&check)), (0, String::new()));
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.exit_code(), Some(0));
        assert_eq!(ended(program(&check)).0, 1);
    }
    assert!(!socket.exists());
}

#[test]
fn healthcheck_with_the_service_of_the_daemon_finds_its_address_by_itself() {
    let place = Place::new();
    let socket = place.path("m.sock");
    let file = place.configure(NO_DATABASE, NO_KEYSTONE, "");
    let text = std::fs::read_to_string(&file).expect("the configuration");
    let own = format!("[key_migrator]\nlisten = unix:{}\n", socket.display());
    place.write("cinder.conf", &text.replace("127.0.0.1:0", "127.0.0.1:1"));
    place.write("cinder-backup.conf", &own);
    let at_home = |arguments: &[&str]| {
        let mut command = program(arguments);
        command.env("HOME", file.parent().expect("a directory"));
        command
    };
    let mut daemon = Running::start(at_home(&["run", "--service", "backup"]));
    daemon.hear("HTTP at unix:");
    let asked = ended(at_home(&["healthcheck", "--service", "backup"]));
    assert_eq!(asked, (0, String::new()));
    assert_eq!(ended(at_home(&["healthcheck"])).0, 1);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.exit_code(), Some(0));
}

#[test]
fn a_socket_that_nobody_serves_any_more_is_replaced() {
    let place = Place::new();
    let socket = place.path("m.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("a socket"));
    let file = place.configure(NO_DATABASE, NO_KEYSTONE, "");
    let text = std::fs::read_to_string(&file).expect("the configuration");
    let listen = format!("unix:{}", socket.display());
    place.write("cinder.conf", &text.replace("127.0.0.1:0", &listen));
    let mut daemon = Running::start(run(&file));
    daemon.hear(&format!("HTTP at {listen}"));

    let (code, said) = ended(run(&file));
    assert_eq!(code, 78);
    assert!(
        said.contains("[key_migrator] listen: cannot serve HTTP at unix:"),
        "{said}"
    );
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.exit_code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn once_says_by_its_exit_code_what_is_left() {
    let place = Place::new();
    let (cloud, _database) = cloud(&place, 12).await;
    let connection = format!("sqlite:///{}", place.path("cinder.sqlite").display());
    let file = place.configure(&connection, &cloud.keystone_url(), "");
    let mut limited = run(&file);
    limited.args(["--once", "--service", "volume", "--limit", "1"]);
    let (code, said) = ended(limited);
    assert_eq!(code, 1, "{said}");
    assert_eq!(said.matches("Migrating volume ").count(), 1, "{said}");

    let mut all = run(&file);
    all.arg("--once");
    let (code, said) = ended(all);
    assert_eq!(code, 0, "{said}");

    let file = place.configure(NO_DATABASE, NO_KEYSTONE, "");
    let mut failing = run(&file);
    failing.arg("--once");
    let (code, said) = ended(failing);
    assert_eq!(code, 2, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn once_runs_beside_a_daemon_that_has_the_address() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let place = Place::new();
    let (cloud, _database) = cloud(&place, 4).await;
    let connection = format!("sqlite:///{}", place.path("cinder.sqlite").display());
    let file = place.configure(&connection, &cloud.keystone_url(), "");
    let text = std::fs::read_to_string(&file).expect("the configuration");
    place.write("cinder.conf", &text.replace("127.0.0.1:0", &address));
    let mut command = run(&file);
    command.arg("--once");
    let (code, said) = ended(command);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("set another one; this run goes on without"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_signal_lets_the_key_in_flight_end() {
    let place = Place::new();
    let (cloud, database) = cloud(&place, 12).await;
    let gate = Gate::default();
    cloud.inject(
        Operation::PostSecret,
        Fault::Hold(When::AfterEffect, gate.clone()),
        1,
    );
    let file = place.configure(&database.connection(), &cloud.keystone_url(), "");
    let mut command = run(&file);
    command.args(["--service", "volume"]);
    let mut daemon = Running::start(command);
    let before = database.image().await.expect("rows");
    gate.arrived(1).await;
    daemon.signal(Signal::TERM);
    daemon.hear("SIGTERM: no further key is begun");
    assert_eq!(daemon.get("/livez").0, 200);
    gate.open();
    assert_eq!(daemon.exit_code(), Some(0), "{:#?}", daemon.lines());
    let after = database.image().await.expect("rows");
    let volumes = |image: &sandbox_cloud::cinder::Image| {
        image.live_zeros(sandbox_cloud::cinder::Kind::Volume)
    };
    assert_eq!(volumes(&after), volumes(&before) - 1);
}

/// A daemon whose first key hangs at Barbican for ever.
async fn stuck(place: &Place) -> (Cloud, Running) {
    let (cloud, database) = cloud(place, 4).await;
    let gate = Gate::default();
    let hold = Fault::Hold(When::BeforeEffect, gate.clone());
    cloud.inject_until_cleared(Operation::PostSecret, hold);
    let file = place.configure(&database.connection(), &cloud.keystone_url(), "");
    let mut command = run(&file);
    command.args(["--service", "volume"]);
    let daemon = Running::start(command);
    gate.arrived(1).await;
    (cloud, daemon)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_for_too_long_is_given_up_and_named() {
    let place = Place::new();
    let (_cloud, mut daemon) = stuck(&place).await;
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.exit_code(), Some(0));
    daemon.hear("ending although something is under way");
    daemon.hear("1 key(s) of the volume service are left in flight");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let place = Place::new();
    let (_cloud, mut daemon) = stuck(&place).await;
    daemon.signal(Signal::TERM);
    daemon.hear("SIGTERM: no further key is begun");
    daemon.signal(Signal::INT);
    assert_eq!(daemon.exit_code(), Some(130));
    daemon.hear("SIGINT again: ending at once");
}
