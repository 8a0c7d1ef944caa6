//! A headless Chromium, driven by the DevTools protocol over a pair of pipes.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::program::DEADLINE;

/// Chromium reads commands from the descriptor 3 and writes to 4.
const WITH_PIPES: &str = r#"exec "$@" 3<&0 4>&1 0</dev/null 1>&2"#;
/// As Debian installs it, without the script around it.
const BINARY: &str = "/usr/lib/chromium/chromium";

/// A browser with one empty tab. Dropping it kills it.
#[derive(Debug)]
pub struct Chromium {
    _child: Child,
    _profile: TempDir,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    session: Option<String>,
    last_id: u64,
    /// Whether the page that was opened last is there with all that belongs to it.
    loaded: bool,
    complaints: Vec<String>,
}

impl Chromium {
    /// Starts one.
    ///
    /// # Errors
    ///
    /// When it is not installed, or does not answer.
    pub async fn start() -> Result<Self> {
        let profile = tempfile::tempdir()?;
        let mut child = Command::new("/bin/sh")
            .args(["-c", WITH_PIPES, "chromium", BINARY])
            .args(["--headless", "--remote-debugging-pipe", "--no-sandbox"])
            .args(["--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            .args(["--disable-background-networking", "--no-proxy-server"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .env("HOME", profile.path())
            .env("TMPDIR", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("starting /bin/sh")?;
        let commands = child.stdin.take().context("a pipe")?;
        let answers = BufReader::new(child.stdout.take().context("a pipe")?);
        let mut chromium = Self {
            _child: child,
            _profile: profile,
            commands,
            answers,
            session: None,
            last_id: 0,
            loaded: false,
            complaints: Vec::new(),
        };
        chromium
            .open_tab()
            .await
            .with_context(|| format!("starting {BINARY}, which Debian's package chromium has"))?;
        Ok(chromium)
    }

    async fn open_tab(&mut self) -> Result<()> {
        let blank = json!({"url": "about:blank"});
        let target = self.call("Target.createTarget", blank).await?;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = self.call("Target.attachToTarget", attach).await?;
        self.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log"] {
            self.call(&format!("{domain}.enable"), json!({})).await?;
        }
        Ok(())
    }

    /// Loads a page.
    ///
    /// # Errors
    ///
    /// When it cannot be loaded.
    pub async fn open(&mut self, url: &str) -> Result<()> {
        self.loaded = false;
        let begun = self.call("Page.navigate", json!({"url": url})).await?;
        ensure!(begun.get("errorText").is_none(), "{url}: {begun}");
        let loading = async {
            while !self.loaded {
                let event = self.message().await?;
                self.note(&event);
            }
            Ok(())
        };
        let loaded = timeout(DEADLINE, loading).await;
        loaded
            .context("not loaded in time")
            .flatten()
            .with_context(|| url.to_owned())
    }

    /// The value of an expression in the page.
    ///
    /// # Errors
    ///
    /// When it throws.
    pub async fn value(&mut self, expression: &str) -> Result<Value> {
        let how = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let mut answer = self.call("Runtime.evaluate", how).await?;
        if let Some(exception) = answer.get("exceptionDetails") {
            bail!("{expression}: {exception}");
        }
        Ok(answer["result"]["value"].take())
    }

    /// Waits until an expression in the page is true, looking at every change of the page.
    ///
    /// # Errors
    ///
    /// When it does not become so in time; the text of the page is in the error.
    pub async fn until(&mut self, expression: &str) -> Result<()> {
        let patience = DEADLINE.as_millis();
        let waiting = format!(
            "new Promise(done => {{
                const look = () => {{ if ({expression}) done(true); }};
                setTimeout(() => done(false), {patience});
                new MutationObserver(look).observe(document, {{
                    subtree: true, childList: true, attributes: true, characterData: true,
                }});
                look();
            }})"
        );
        if self.value(&waiting).await? == Value::Bool(true) {
            return Ok(());
        }
        let text = self.value("document.body.innerText").await?;
        bail!("waiting for `{expression}`; the page says:\n{text:#}")
    }

    /// Makes the window so wide, with a light or a dark colour scheme.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn look(&mut self, width: u32, scheme: &str) -> Result<()> {
        let metrics = json!({
            "width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.call("Emulation.setDeviceMetricsOverride", metrics)
            .await?;
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", media).await?;
        Ok(())
    }

    /// Lets pages that are loaded from now on run scripts, or not.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn allow_scripts(&mut self, allowed: bool) -> Result<()> {
        let how = json!({"value": !allowed});
        self.call("Emulation.setScriptExecutionDisabled", how)
            .await?;
        Ok(())
    }

    /// The whole page as a PNG file.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub async fn screenshot(&mut self) -> Result<Vec<u8>> {
        let how = json!({"captureBeyondViewport": true});
        let shot = self.call("Page.captureScreenshot", how).await?;
        let data = shot["data"].as_str().context("a picture")?;
        Ok(STANDARD.decode(data)?)
    }

    /// What a screen reader is told of: roles and names, in their order.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn accessibility_tree(&mut self) -> Result<Vec<(String, String)>> {
        let tree = self.call("Accessibility.getFullAXTree", json!({})).await?;
        let nodes = tree["nodes"].as_array().context("nodes")?;
        let text = |node: &Value, what: &str| {
            let text = node[what]["value"].as_str();
            text.unwrap_or_default().to_owned()
        };
        let shown = nodes.iter().filter(|node| node["ignored"] != true);
        Ok(shown
            .map(|node| (text(node, "role"), text(node, "name")))
            .collect())
    }

    /// Presses a key, such as `Tab`.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn press(&mut self, key: &str, code: u32) -> Result<()> {
        for kind in ["rawKeyDown", "keyUp"] {
            let how = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code});
            self.call("Input.dispatchKeyEvent", how).await?;
        }
        Ok(())
    }

    /// Errors and warnings on the console so far, policies that were broken among them.
    #[must_use]
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }

    async fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        self.last_id += 1;
        let mut command = json!({"id": self.last_id, "method": method, "params": params});
        if let Some(session) = &self.session {
            command["sessionId"] = session.as_str().into();
        }
        let mut bytes = serde_json::to_vec(&command)?;
        bytes.push(0);
        self.commands.write_all(&bytes).await?;
        let answered = timeout(DEADLINE + Duration::from_secs(10), self.answer()).await;
        answered
            .map_err(|_| anyhow!("no answer"))
            .flatten()
            .with_context(|| format!("calling {method}"))
    }

    async fn answer(&mut self) -> Result<Value> {
        loop {
            let mut message = self.message().await?;
            if message["id"] == self.last_id {
                ensure!(message.get("error").is_none(), "{}", message["error"]);
                return Ok(message["result"].take());
            }
            self.note(&message);
        }
    }

    async fn message(&mut self) -> Result<Value> {
        let mut bytes = Vec::new();
        self.answers.read_until(0, &mut bytes).await?;
        ensure!(bytes.pop() == Some(0), "the browser has ended");
        Ok(serde_json::from_slice(&bytes)?)
    }

    fn note(&mut self, event: &Value) {
        let params = &event["params"];
        let bad = match event["method"].as_str() {
            Some("Log.entryAdded") => params["entry"]["level"] != "verbose",
            Some("Runtime.consoleAPICalled") => params["type"] != "log",
            Some("Runtime.exceptionThrown") => true,
            Some("Page.loadEventFired") => {
                self.loaded = true;
                false
            }
            _ => false,
        };
        if bad {
            self.complaints.push(params.to_string());
        }
    }
}
