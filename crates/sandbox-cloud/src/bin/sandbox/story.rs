//! The story in seven acts.

use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::Signal;
use sandbox_cloud::RoleWorld;
use sandbox_cloud::cinder::{ALL_ZEROS, HOSTS, Scope};
use tokio::signal::unix::Signal as UnixSignal;
use tokio::time::Instant;

use crate::Options;
use crate::cinder_conf::INTERVAL;
use crate::narration::{self, command, heading, say};
use crate::program::{self, Program};
use crate::stage::Stage;
use crate::status::Status;

/// Whose rows nobody owns until somebody says so: the host that broke down,
/// its backup service, the retired backend.
const ORPHANED: [&str; 3] = ["host0@lvm", "host0", "host1@lvm2"];

/// How the story ended.
pub(crate) enum Told {
    /// Everything has stopped; whether every key was right.
    Over { right: bool },
    /// Everything runs on, as `--stay` asks.
    Staying(Box<Scene>),
}

/// What runs on after the story.
pub(crate) struct Scene {
    stage: Stage,
    programs: Vec<Program>,
    right: bool,
}

/// Tells it.
pub(crate) async fn tell(options: &Options) -> anyhow::Result<Told> {
    let path = program::find(options.program.as_deref()).await?;
    let start = Instant::now();
    heading("A cloud that has used one fixed key for years");
    let stage = Stage::set(options).await?;
    introduce(&stage);

    heading("1. Cinder's user has the role `service`, as many deployments leave it");
    let mut first = Program::start(&path, &stage, &HOSTS[0], &[]).await?;
    refused(&mut first).await?;
    heading("2. The operator does what the remedy says");
    let role = grant(&stage, options.role_world());
    heading("3. The program goes on by itself");
    migrate(&mut first, options, role).await?;
    heading("4. Nothing is left on host1; the summary counts all hosts");
    summarise(&mut first).await?;
    check_first_host(&stage).await?;
    heading("5. The other hosts follow, each with its own process");
    let mut programs = vec![first];
    finish(&path, &stage, options, &mut programs).await?;

    if options.stay {
        let right = judge(&stage, "6. Is every key right?").await?;
        conclude(right, start);
        return Ok(Told::Staying(Box::new(Scene {
            stage,
            programs,
            right,
        })));
    }
    stop(programs, "6. SIGTERM drains what is in flight").await?;
    let right = judge(&stage, "7. Is every key right?").await?;
    conclude(right, start);
    Ok(Told::Over { right })
}

fn introduce(stage: &Stage) {
    say(&format!("Keystone   {}", stage.cloud().keystone_url()));
    say(&format!("Barbican   {}", stage.cloud().barbican_url()));
    say(&format!("Cinder DB  {}", stage.database().connection()));
    say("");
    narration::planted(&stage.zeros());
    narration::bystanders(stage.planted());
}

/// Act 1: the refusal, once, with its remedy; alive and ready all the same.
async fn refused(program: &mut Program) -> anyhow::Result<()> {
    let patience = Duration::from_secs(30);
    let what = "both services blocked by the missing role";
    let blocked = |status: &Status| {
        status.all_are("blocked") && status.services.iter().all(|one| one.remedy.is_some())
    };
    let status = program.wait_until(what, patience, blocked, |_| {}).await?;
    say("");
    command(&format!("curl {}", program.url("/v1/status")));
    for service in &status.services {
        let reason = service
            .reason
            .as_ref()
            .context("a blocked service gives no reason")?;
        ensure!(
            reason.code == "role_missing",
            "{} gives {}",
            service.service,
            reason.code
        );
        say(&format!(
            "{}: {}, {}: {}",
            service.service, service.state, reason.code, reason.message
        ));
        let remedy = service.remedy.as_deref().unwrap_or_default();
        ensure!(
            remedy.contains("openstack role add"),
            "an odd remedy: {remedy}"
        );
        say(&format!("  remedy: {remedy}"));
    }
    let (live, ready) = (
        program.answers("/livez").await?,
        program.answers("/readyz").await?,
    );
    ensure!((live, ready) == (200, 200), "livez {live}, readyz {ready}");
    say("A missing role is no illness: /livez and /readyz answer 200, nothing restarts it.");
    Ok(())
}

/// Act 2.
fn grant(stage: &Stage, world: RoleWorld) -> &'static str {
    let role = match world {
        RoleWorld::Member => "member",
        RoleWorld::Creator => "creator",
    };
    let (cinder, service) = (stage.cinder(), stage.service());
    stage.cloud().grant_role(&cinder.id, &service.id, role);
    let (user, project) = (&cinder.name, &service.name);
    command(&format!(
        "openstack role add --user {user} --project {project} {role}"
    ));
    role
}

/// Act 3. The program probes by itself; who does not want to wait sends SIGHUP.
async fn migrate(program: &mut Program, options: &Options, role: &str) -> anyhow::Result<()> {
    let moving = |status: &Status| !status.services.iter().any(|one| one.state == "blocked");
    let patience = Duration::from_secs(3 * INTERVAL);
    let what = format!("the role {role} to be noticed");
    if program
        .wait_until(&what, patience, moving, |_| {})
        .await
        .is_err()
    {
        say("It probes once a minute; SIGHUP makes it probe at once.");
        command("kill -HUP $PID");
        program.signal(Signal::HUP)?;
    }
    let what = "every key of host1 to be migrated";
    let done = |status: &Status| status.all_are_done();
    program
        .wait_until(what, patience_for(options), done, progress())
        .await?;
    Ok(())
}

/// Act 4: the summary comes after the pass that migrated the last key.
async fn summarise(program: &mut Program) -> anyhow::Result<()> {
    let what = "a count of all hosts";
    let patience = Duration::from_secs(10 * INTERVAL);
    let counted = |status: &Status| status.counted.is_some() && status.all_are_done();
    program.wait_until(what, patience, counted, |_| {}).await?;
    // The other service's count may be a moment behind.
    tokio::time::sleep(Duration::from_secs(INTERVAL)).await;
    let status = program.status().await?;
    let global = status.counted.context("the count has gone again")?;
    say("");
    say(&format!(
        "/v1/status: {}; left on all hosts: {} volumes, {} snapshots, {} backups,",
        status.progress(),
        global.volumes,
        global.snapshots,
        global.backups
    ));
    say(&format!(
        "of which {} volumes and {} backups belong to no service that is up.",
        global.unowned.volumes, global.unowned.backups
    ));
    Ok(())
}

async fn check_first_host(stage: &Stage) -> anyhow::Result<()> {
    let host = &HOSTS[0];
    let scope = Scope::owned_by([host.backend_host(), host.name.to_owned()]);
    let report = stage.check(scope).await?;
    if !report.is_right() {
        narration::report(&report);
    }
    ensure!(report.is_right(), "after host1 something is wrong already");
    say("The sandbox looked: host1's keys are right, no row of another host was touched.");
    Ok(())
}

/// Act 5: every row finds an owner, so that the end can be reached.
async fn finish(
    path: &std::path::Path,
    stage: &Stage,
    options: &Options,
    programs: &mut Vec<Program>,
) -> anyhow::Result<()> {
    say("host0 broke down for good, and host1@lvm2 was taken out of enabled_backends: no service");
    say("would ever migrate their rows. The operator gives them to host2, in its cinder.conf:");
    say(&format!(
        "[key_migrator] extra_hosts = {}",
        ORPHANED.join(",")
    ));
    say("");
    programs.push(Program::start(path, stage, &HOSTS[1], &ORPHANED).await?);
    programs.push(Program::start(path, stage, &HOSTS[2], &[]).await?);
    let patience = patience_for(options);
    for program in programs.iter_mut() {
        let what = "complete: nothing left on any host in two counts";
        let complete = |status: &Status| {
            let nothing = status.counted.is_some_and(|global| {
                (global.volumes, global.snapshots, global.backups) == (0, 0, 0)
            });
            nothing && status.all_are("complete")
        };
        program.wait_until(what, patience, complete, |_| {}).await?;
    }
    say("");
    for program in programs.iter() {
        say(&format!(
            "{}: {}",
            program.host(),
            program.status().await?.progress()
        ));
    }
    Ok(())
}

async fn stop(programs: Vec<Program>, title: &str) -> anyhow::Result<()> {
    heading(title);
    for program in programs {
        let host = program.host();
        command(&format!("kill -TERM $PID   # {host}"));
        let exit = program.stop().await?;
        ensure!(
            exit.code() == Some(0),
            "the program on {host} ended with {exit}"
        );
        say(&format!("{host}: exit status 0"));
    }
    Ok(())
}

async fn judge(stage: &Stage, title: &str) -> anyhow::Result<bool> {
    heading(title);
    let report = stage.check(Scope::Everything).await?;
    narration::report(&report);
    Ok(report.is_right())
}

impl Scene {
    /// Everything goes on running until Ctrl-C or SIGTERM, with a few things to
    /// try.
    pub(crate) async fn stay(self, terminate: &mut UnixSignal) -> anyhow::Result<bool> {
        self.invite();
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.context("cannot wait for Ctrl-C")?;
            }
            _ = terminate.recv() => {}
        }
        stop(self.programs, "SIGTERM drains what is in flight").await?;
        Ok(self.right)
    }

    fn invite(&self) {
        let Self {
            stage, programs, ..
        } = self;
        heading("Staying until Ctrl-C");
        say(&format!("Keystone   {}", stage.cloud().keystone_url()));
        say(&format!("Barbican   {}", stage.cloud().barbican_url()));
        say(&format!("Cinder DB  {}", stage.database().connection()));
        for program in programs {
            let (host, conf) = (program.host(), program.conf().display());
            say(&format!(
                "{host}      {}  {conf}",
                program.url("/v1/status")
            ));
        }
        say("");
        say("To try: watch it,");
        command(&format!("curl {}", programs[0].url("/v1/status")));
        command(&format!("curl {}", programs[0].url("/metrics")));
        say(
            "and let a restored backup bring the all-zeros key back; it is found and given its secret.",
        );
        let path = stage.dir().join("cinder.sqlite");
        command(&format!(
            "sqlite3 {} \"UPDATE volumes SET encryption_key_id = '{ALL_ZEROS}' WHERE id IN \
         (SELECT id FROM volumes WHERE host = 'host1@lvm#lvm' AND deleted = 0 AND \
         encryption_key_id IS NOT NULL ORDER BY updated_at DESC LIMIT 1)\"",
            path.display()
        ));
    }
}

fn conclude(right: bool, start: Instant) {
    say("");
    let verdict = if right {
        "Every key is right."
    } else {
        "Something is wrong."
    };
    say(&format!(
        "{verdict} The story took {:.0} s.",
        start.elapsed().as_secs_f64()
    ));
}

/// Shows the progress when it has moved, at most twice a second.
fn progress() -> impl FnMut(&Status) {
    let mut last = (Instant::now() - Duration::from_secs(1), String::new());
    move |status| {
        let text = status.progress();
        if text != last.1 && last.0.elapsed() >= Duration::from_millis(500) {
            say(&text);
            last = (Instant::now(), text);
        }
    }
}

/// Long enough for a slow machine: a key takes five requests one after the
/// other at worst, and so does the database.
fn patience_for(options: &Options) -> Duration {
    let each = options.latency() * 5 + Duration::from_millis(100);
    Duration::from_secs(60) + each * options.volumes * 2
}
