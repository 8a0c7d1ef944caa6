//! `verify`: whether every migrated row has the secret that it should have. How that is told is
//! `key_audit`'s matter; here it is asked for, shown while it goes on, and kept as evidence.

mod progress;
mod report;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use cinder_db::CinderDb;
use cinder_db::audit::Whose;
use key_audit::evidence::EvidenceStore;
use key_audit::verify::{Course, CourseFile, Tally, Verifier};
use key_migration::fixed_key::FixedKey;
use key_migration::ids::RowId;
use key_migration::inventory_fault;
use key_migration::ports::Clock as _;
use key_migration::reasons::{Fault, Reason};
use key_migration::verdict::{Evidence, Finding, Item};
use openstack_client::BarbicanKeyManager;
use tokio::signal::unix::{SignalKind, signal};

use self::progress::Progress;
use self::report::{Report, Sample};
use super::{block_on, start_logging};
use crate::cli::{self, IncompleteAcls, Wanted};
use crate::clock::{SecondsClock, SystemClock};
use crate::exit::Failure;
use crate::settings::{self, Faults, Stores, Verification};

/// Barbican answers no more requests a second with more at once, and migrates beside it.
const MOST_AT_ONCE: usize = 8;

const ALL_HOSTS: &str = "all hosts";

/// Does what the command line says.
pub(crate) fn run(command: cli::Verify) -> Result<ExitCode, Failure> {
    let verification = settings::read_verification(&command.origin)?;
    let _logging = start_logging(&verification.stores.records)?;
    let cli::Verify {
        wanted,
        incomplete_acls,
        format,
        report,
        ..
    } = command;
    block_on(async {
        let desk = Desk::new(verification, incomplete_acls)?;
        let outcome = tokio::select! {
            outcome = desk.verify(&wanted) => outcome?,
            () = interrupted()? => return Err(desk.was_interrupted(&wanted).into()),
        };
        if let Some(path) = &report {
            outcome.write(path)?;
        }
        outcome.print(format);
        Ok(match outcome.rows.wrong {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        })
    })
}

/// Everything at hand.
struct Desk {
    keys: BarbicanKeyManager,
    rows: CinderDb,
    fixed_key: Arc<FixedKey>,
    course: CourseFile,
    evidence: EvidenceStore,
    incomplete_acls: IncompleteAcls,
    configured: Configured,
}

/// What of the configuration is asked for later.
struct Configured {
    state_dir: std::path::PathBuf,
    host: String,
    scopes: Vec<key_migration::rows::Scope>,
    extra_acl_users: Vec<key_migration::ids::UserId>,
    concurrency: usize,
}

impl Desk {
    fn new(verification: Verification, incomplete_acls: IncompleteAcls) -> Result<Self, Failure> {
        let Stores {
            records,
            key_manager: config,
        } = verification.stores;
        let keys = BarbicanKeyManager::new(config.keystone, config.barbican, Arc::new(()));
        Ok(Self {
            keys: keys.map_err(Faults::one)?,
            rows: CinderDb::new(records.connection),
            fixed_key: verification.fixed_key.ok_or_else(no_fixed_key)?,
            course: CourseFile::new(&records.state_dir),
            evidence: EvidenceStore::new(&records.state_dir),
            incomplete_acls,
            configured: Configured {
                state_dir: records.state_dir,
                host: verification.host,
                scopes: verification.scopes,
                extra_acl_users: verification.extra_acl_users,
                concurrency: verification.max_concurrency.min(MOST_AT_ONCE),
            },
        })
    }

    async fn verify(&self, wanted: &Wanted) -> Result<Report, Failure> {
        let report = match wanted {
            Wanted::All { all_hosts, restart } => self.verify_all(*all_hosts, *restart).await,
            Wanted::Sample { all_hosts, size } => self.verify_sample(*all_hosts, *size).await,
            Wanted::Named(ids) => self.verify_named(ids).await,
        };
        Ok(report?.with_acls(self.incomplete_acls))
    }

    async fn verify_all(&self, all_hosts: bool, restart: bool) -> Result<Report, Failure> {
        let verifier = self.verifier();
        let scope = self.scope(all_hosts);
        let now = SystemClock.now();
        let continued = self.continued(all_hosts);
        let interrupted = self.course.interrupted(&continued, now);
        let interrupted = interrupted.filter(|_| !restart);
        let resumed = interrupted.is_some();
        let mut course = match interrupted {
            Some(course) => course,
            None => Course::new(continued, now).beside(self.rows_at_zeros().await?),
        };
        if resumed {
            tracing::info!(
                "Going on with the verification that began at {}, after {} row(s); --restart \
                 begins anew.",
                course.started_at,
                course.tally.examined
            );
        }
        let whose = self.whose(all_hosts);
        let mut progress = Progress::new(verifier.count(whose).await?, course.tally.examined);
        let keep = |course: &Course| {
            if let Err(error) = self.course.keep(course) {
                let path = self.course.path().display();
                tracing::warn!("If interrupted, this cannot be continued: writing {path}: {error}");
            }
        };
        let seen = |tally: &Tally| progress.show(tally);
        let ended = verifier.verify_all(whose, &mut course, seen, keep).await;
        drop(progress);
        ended?;
        if all_hosts {
            self.keep_evidence(&course)?;
        }
        let removed = self.course.remove();
        removed.map_err(|error| cannot_write(self.course.path(), &error))?;
        Ok(Report::new(scope, course.started_at, course.tally).resumed(resumed))
    }

    /// On all hosts, before anything is verified.
    async fn rows_at_zeros(&self) -> Result<u64, Fault> {
        let counts = self.rows.zero_rows_by_host().await;
        let counts = counts.map_err(inventory_fault)?;
        Ok(counts.iter().map(|count| count.rows).sum())
    }

    async fn verify_sample(&self, all_hosts: bool, size: u32) -> Result<Report, Failure> {
        let verifier = self.verifier();
        let started_at = SystemClock.now();
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let (sample, of) = verifier.sample(self.whose(all_hosts), size).await?;
        let mut progress = Progress::new(sample.len() as u64, 0);
        let tally = verifier.verify_rows(&sample, |tally| progress.show(tally));
        let tally = tally.await?;
        let size = sample.len() as u64;
        let report = Report::new(self.scope(all_hosts), started_at, tally);
        Ok(report.of_sample(Sample { size, of }))
    }

    async fn verify_named(&self, ids: &[RowId]) -> Result<Report, Failure> {
        let started_at = SystemClock.now();
        let mut progress = Progress::new(ids.len() as u64, 0);
        let verifier = self.verifier();
        let tally = verifier.verify_named(ids, |tally| progress.show(tally));
        Ok(Report::new("named rows", started_at, tally.await?))
    }

    fn verifier(&self) -> Verifier<'_> {
        Verifier {
            keys: &self.keys,
            rows: &self.rows,
            state_dir: &self.configured.state_dir,
            fixed_key: &self.fixed_key,
            extra_acl_users: &self.configured.extra_acl_users,
            concurrency: self.configured.concurrency,
            completes_acls: self.incomplete_acls == IncompleteAcls::Mended,
        }
    }

    fn whose(&self, all_hosts: bool) -> Whose<'_> {
        match all_hosts {
            true => Whose::Everybody,
            false => Whose::Of(&self.configured.scopes),
        }
    }

    fn scope(&self, all_hosts: bool) -> &str {
        match all_hosts {
            true => ALL_HOSTS,
            false => &self.configured.host,
        }
    }

    /// What must be the same for an interrupted run to be continued: what was only told before is
    /// not mended by going on.
    fn continued(&self, all_hosts: bool) -> String {
        let scope = self.scope(all_hosts);
        match self.incomplete_acls {
            IncompleteAcls::Told | IncompleteAcls::WouldBeMended => scope.to_owned(),
            IncompleteAcls::Mended => format!("{scope}, mending ACLs"),
        }
    }

    /// What the verdict on the fixed key goes by, as of when this began.
    fn keep_evidence(&self, course: &Course) -> Result<(), Failure> {
        let tally = &course.tally;
        let (finding, message) = match tally.wrong {
            0 if course.rows_at_zeros > 0 => {
                let message = format!(
                    "{} migrated row(s) of all hosts verified, but {} were at zeros when that \
                     began: verify again when none is",
                    tally.verified(),
                    course.rows_at_zeros
                );
                (Finding::Unknown, message)
            }
            0 => {
                let message = format!("{} migrated row(s) of all hosts verified", tally.verified());
                (Finding::Clear, message)
            }
            wrong => {
                let message = format!(
                    "{wrong} row(s) of all hosts do not have the secret that they should have: {} \
                     (`verify --all-hosts` names them)",
                    tally.codes()
                );
                (Finding::Blocking(wrong), message)
            }
        };
        let evidence = Evidence {
            finding,
            looked_at: course.started_at,
            message,
        };
        let kept = self.evidence.keep(Item::Payloads, &evidence);
        kept.map_err(|error| state_dir_fault(&error.to_string()).into())
    }

    fn was_interrupted(&self, wanted: &Wanted) -> Fault {
        let (done, remedy) = match wanted {
            Wanted::All { all_hosts, .. } => {
                let now = SecondsClock.now();
                let course = self.course.interrupted(&self.continued(*all_hosts), now);
                let done = course.map_or(0, |course| course.tally.examined);
                (
                    done,
                    "run the same command again within 24 hours: it goes on from there",
                )
            }
            Wanted::Sample { .. } | Wanted::Named(_) => (0, "run the same command again"),
        };
        let message = format!("interrupted; what came of {done} row(s) is kept");
        Fault::new(Reason::Configuration, message, remedy)
    }
}

/// Ends at the first signal that asks the program to end.
fn interrupted() -> Result<impl Future<Output = ()>, Failure> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

fn no_fixed_key() -> Failure {
    let message = "[key_manager] fixed_key is not set: there is nothing to compare secrets with";
    let remedy = "run this where fixed_key is still configured, or with a copy of such a file: \
                  --config-file cinder.conf --config-file FILE_WITH_FIXED_KEY";
    Fault::new(Reason::Configuration, message, remedy).into()
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    state_dir_fault(&format!("cannot write {}: {error}", path.display())).into()
}

fn state_dir_fault(message: &str) -> Fault {
    let remedy = "make the directory in [key_migrator] state_dir one that this user may write to";
    Fault::new(Reason::Configuration, message, remedy)
}
