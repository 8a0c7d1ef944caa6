//! Keystone, Barbican and Glance under gunicorn.

use std::path::{Path, PathBuf};

use anyhow::Result;
use key_migrator_tests::http;

use crate::prepared::Venv;
use crate::process::{Process, isolated_command};

/// One service to serve.
pub(crate) struct Application<'a> {
    /// The name of its log.
    pub(crate) name: &'a str,
    /// As gunicorn wants it: `module:variable`.
    pub(crate) wsgi_app: &'a str,
    /// The module that takes long to import.
    pub(crate) preload: &'a str,
    /// The module that holds its policies, where it would load them too late.
    pub(crate) policy: Option<&'a str>,
    /// Where it finds its configuration.
    pub(crate) home: PathBuf,
    pub(crate) port: u16,
    /// Processes that serve it, each with four threads.
    pub(crate) workers: u32,
    /// The processors that it may use, as `taskset` names them; all of them by default.
    pub(crate) processors: Option<&'a str>,
    /// A page that answers once the service works, relative to its root.
    pub(crate) probe: &'a str,
}

/// Starts a service, and waits until it answers.
pub(crate) async fn serve(
    venv: &Venv,
    application: &Application<'_>,
    logs: &Path,
) -> Result<Process> {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
    let gunicorn = venv.program("gunicorn");
    let mut command = match application.processors {
        None => isolated_command(gunicorn, &application.home),
        Some(processors) => {
            let mut command = isolated_command("taskset", &application.home);
            command.args(["--cpu-list", processors]).arg(gunicorn);
            command
        }
    };
    command
        .env(
            "GUNICORN_CMD_ARGS",
            format!("--config {}", programs.join("gunicorn.conf.py").display()),
        )
        .env("SERVICE_PORT", application.port.to_string())
        .env("SERVICE_WSGI_APP", application.wsgi_app)
        .env("SERVICE_PRELOAD", application.preload)
        .env("SERVICE_WORKERS", application.workers.to_string())
        .env("BARBICAN_PASTE", venv.barbican_paste())
        .env("OS_GLANCE_CONFIG_DIR", application.home.join(".glance"))
        .envs(application.policy.map(|module| ("SERVICE_POLICY", module)));
    let mut process = Process::start_service(application.name, command, logs)?;
    let url = format!("http://127.0.0.1:{}{}", application.port, application.probe);
    let client = http::client();
    process
        .ready(async || {
            let answer = client.get(&url).send().await;
            answer.is_ok_and(|answer| !answer.status().is_server_error())
        })
        .await?;
    Ok(process)
}
