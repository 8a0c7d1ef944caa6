//! Tests that need a process of their own: with mounts that nobody else sees, without root's
//! privileges, or to be killed.

use std::process::Command;

const INSIDE: &str = "LEDGER_TEST_INSIDE";

/// Mounts may be made, and are gone with the process.
pub(crate) const WITH_MOUNTS: &[&str] = &["unshare", "--map-root-user", "--mount"];

/// Permissions hold for root, too.
pub(crate) const WITHOUT_PRIVILEGES: &[&str] =
    &["setpriv", "--bounding-set=-all", "--inh-caps=-all"];

/// Runs the body of the test of this name in another process.
pub(crate) fn run(wrapper: &[&str], test: &str, body: impl FnOnce()) {
    if is_inside(test) {
        return body();
    }
    let output = command(wrapper, test).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
    assert!(said.contains("1 passed"), "{said}{errors}");
}

/// Whether this process was started for this test.
pub(crate) fn is_inside(test: &str) -> bool {
    std::env::var_os(INSIDE).is_some_and(|inside| *inside == *test)
}

/// A process that runs the test of this name and knows that it was started for it.
pub(crate) fn command(wrapper: &[&str], test: &str) -> Command {
    let this = std::env::current_exe().expect("a program");
    let mut command = match wrapper {
        [] => Command::new(this),
        [wrapper, arguments @ ..] => {
            let mut command = Command::new(wrapper);
            command.args(arguments).arg(this);
            command
        }
    };
    command
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, test);
    command
}

/// Runs a program that is part of every system.
pub(crate) fn system(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status();
    let status = status.expect("it starts");
    assert!(status.success(), "{program} {arguments:?}: {status}");
}

/// Runs the future on a runtime of one thread.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.expect("a runtime").block_on(future)
}
