//! The real binary as a process of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::poll;

/// A command that runs the binary under test in a clean environment.
#[must_use]
pub fn tidemill() -> Command {
    let mut command = Command::new(binary());
    command.env_clear().env("RUST_BACKTRACE", "0").stdin(Stdio::null());
    command
}

/// The binary that is built with the tests: it stands beside the test's own executable, which is in `deps/`.
pub(crate) fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let folder = test.parent().and_then(Path::parent).expect("tests are built into target/<profile>/deps");
    folder.join("tidemill-under-test")
}

/// A running `tidemill serve`. Killed when dropped.
#[derive(Debug)]
pub struct Server {
    process: Child,
    url: String,
    log: tempfile::NamedTempFile,
}

impl Server {
    /// Starts it on a data and a plugins directory, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(data: &Path, plugins: &Path) -> Self {
        Self::try_start(data, plugins).unwrap_or_else(|said| panic!("the server did not start: {said}"))
    }

    /// The same, but a server that ends by itself is not a panic.
    ///
    /// # Errors
    /// What it said on stderr.
    ///
    /// # Panics
    /// When it neither starts nor ends.
    pub fn try_start(data: &Path, plugins: &Path) -> Result<Self, String> {
        Self::try_start_with(data, plugins, |_| {})
    }

    /// The same, with more arguments or a richer environment.
    ///
    /// # Errors
    /// What it said on stderr.
    ///
    /// # Panics
    /// When it neither starts nor ends.
    pub fn try_start_with(data: &Path, plugins: &Path, configure: impl FnOnce(&mut Command)) -> Result<Self, String> {
        let log = tempfile::NamedTempFile::new().expect("a file for the log");
        let mut command = tidemill();
        command.args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]).args([
            Path::new("--data"),
            data,
            Path::new("--plugins"),
            plugins,
        ]);
        configure(&mut command);
        let mut process = command
            .stdout(Stdio::piped())
            .stderr(log.reopen().expect("the same file"))
            .spawn()
            .expect("the binary under test is built with the tests");
        let stdout = process.stdout.take().expect("stdout is piped");
        let line = BufReader::new(stdout).lines().map_while(Result::ok).find(|line| line.contains("://"));
        let Some(line) = line else {
            process.wait().expect("it has closed its stdout");
            return Err(std::fs::read_to_string(log.path()).unwrap_or_default());
        };
        let url = line.split_whitespace().find(|word| word.starts_with("http")).unwrap_or_default().to_owned();
        let server = Self { process, url, log };
        poll("the server to be ready", || server.try_get("/readyz").ok());
        Ok(server)
    }

    /// Where it listens, such as `http://127.0.0.1:41234`; with TLS it begins with `https://`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where it serves gRPC, as the log says: `HOST:PORT`.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn grpc(&self) -> String {
        let said = self.log().iter().find_map(|line| line.get("grpc")?.as_str().map(str::to_owned));
        let address = said.as_deref().and_then(|said| said.strip_prefix("Some(")?.strip_suffix(')').map(str::to_owned));
        address.unwrap_or_else(|| panic!("it serves no gRPC: {said:?}"))
    }

    /// What it has logged so far, line by line.
    ///
    /// # Panics
    /// When a line is no JSON.
    #[must_use]
    pub fn log(&self) -> Vec<Value> {
        let log = std::fs::read_to_string(self.log.path()).expect("its log can be read");
        let whole = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    /// The text at a path, whatever the status.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn try_text(&self, path: &str) -> Result<(u16, String), ureq::Error> {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.get(format!("{}{path}", self.url)).call()?;
        Ok((answer.status().as_u16(), answer.body_mut().read_to_string()?))
    }

    /// Asks it to end, and does not wait.
    ///
    /// # Panics
    /// When it cannot be asked.
    pub fn ask_to_end(&self) {
        let asked = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status();
        assert!(asked.is_ok_and(|status| status.success()), "SIGTERM can be sent");
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The JSON at a path.
    ///
    /// # Errors
    /// When it does not answer with success.
    pub fn try_get(&self, path: &str) -> Result<Value, ureq::Error> {
        // Whose certificate it is matters where that is tested.
        let tls = ureq::tls::TlsConfig::builder().disable_verification(true).build();
        let agent: ureq::Agent = ureq::Agent::config_builder().tls_config(tls).build().into();
        agent.get(format!("{}{path}", self.url)).call()?.body_mut().read_json()
    }

    /// The JSON at a path.
    ///
    /// # Panics
    /// When it does not answer with success.
    #[must_use]
    pub fn get(&self, path: &str) -> Value {
        self.try_get(path).unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// Posts JSON.
    ///
    /// # Errors
    /// When it does not answer with success.
    pub fn try_post(&self, path: &str, body: &Value) -> Result<Value, ureq::Error> {
        ureq::post(format!("{}{path}", self.url)).send_json(body)?.body_mut().read_json()
    }

    /// Waits until a plugin has settled everything up to the head.
    pub fn settle(&self, plugin: &str) {
        poll(&format!("plugin {plugin} to reach the head"), || {
            let head = self.try_get("/v1/events?limit=1").ok()?.get("head")?.as_u64()?;
            let info = self.try_get(&format!("/v1/plugins/{plugin}")).ok()?;
            (info.pointer("/status/checkpoint")?.as_u64()? >= head).then_some(())
        });
    }

    /// Ends it without a word (SIGKILL), while others may still be talking to it.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub fn kill_now(&self) {
        let killed = Command::new("kill").args(["-KILL", &self.process.id().to_string()]).status();
        assert!(killed.is_ok_and(|status| status.success()), "SIGKILL can be sent");
    }

    /// Asks it to end, and waits for it. Answers its exit code.
    ///
    /// # Panics
    /// When it does not end.
    pub fn terminate(mut self) -> Option<i32> {
        self.ask_to_end();
        poll("the server to end", || self.process.try_wait().expect("it can be waited for")).code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
