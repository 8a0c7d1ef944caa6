//! Asks the running daemon whether it is alive, for container engines that have no HTTP client in
//! the image.

use std::io;
use std::process::ExitCode;

use super::daemon_client::{self, DaemonAnswer};
use crate::exit::Failure;
use crate::settings::{self, Listen, Origin};

/// Asks at the address that `[key_migrator] listen` gives.
pub(crate) fn ask(origin: &Origin) -> Result<ExitCode, Failure> {
    let listen = settings::read_listen(origin)?;
    match daemon_client::get(&listen, "/healthcheck") {
        Ok(answer) => judge(&listen, &answer),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(Failure::Unhealthy(
            format!("{listen} does not answer as HTTP does"),
        )),
        Err(error) => Err(Failure::Unhealthy(format!(
            "no answer from {listen}: {error}"
        ))),
    }
}

fn judge(listen: &Listen, answer: &DaemonAnswer) -> Result<ExitCode, Failure> {
    let DaemonAnswer { status, body } = answer;
    if *status == 200 {
        return Ok(ExitCode::SUCCESS);
    }
    let reasons = body.trim().replace('\n', "; ");
    Err(Failure::Unhealthy(format!(
        "{listen} answers {status}: {reasons}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, body: &str) -> Result<ExitCode, String> {
        let listen = "127.0.0.1:18776".parse().expect("an address");
        let body = body.to_owned();
        judge(&listen, &DaemonAnswer { status, body }).map_err(|failure| match failure {
            Failure::Unhealthy(why) => why,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn only_an_answer_of_200_is_healthy() {
        assert!(judged(200, "OK").is_ok());
        assert_eq!(
            judged(503, "the loop has ended\nso\n").expect_err("unhealthy"),
            "127.0.0.1:18776 answers 503: the loop has ended; so"
        );
    }
}
