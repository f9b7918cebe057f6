//! A reader's shell: does what a page says, in a folder of its own.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::{Exchange, Page, Sample, differs};
use crate::server::binary;
use crate::{poll, projects};

/// Where a server listens unless told otherwise, as pages say it.
const ADDRESS: &str = "127.0.0.1:7117";
/// How long what is asked may take to become what the page shows. Generous: it is only reached by a failure.
const DEADLINE: Duration = Duration::from_secs(300);
/// How long a command may run: there are pages that wait for something by `until`. Generous, as builds are among them.
const COMMAND_DEADLINE: Duration = Duration::from_secs(600);
/// Commands that change nothing. They are asked again until the answer is as shown: who reads takes longer than a
/// plugin to load.
const ASKS: &[&str] = &[
    "events",
    "state",
    "streams ls",
    "streams show",
    "plugins ls",
    "plugins inspect",
    "dead-letters ls",
    "doctor",
    "retention ls",
];

/// A shell that remembers its folder and its variables. Its server ends with it.
#[derive(Debug)]
pub struct Session {
    place: PathBuf,
    address: String,
    server: Option<Child>,
    transcript: File,
    faults: Vec<String>,
}

impl Session {
    /// Begins one, in a folder of the build that belongs to `name`. What an earlier run left there goes.
    ///
    /// # Panics
    /// When the folder cannot be made.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let place = projects::below_target("projects").join(format!("book-{name}"));
        let _ = fs::remove_dir_all(&place);
        let (home, bin) = (place.join("home"), place.join("bin"));
        for folder in [&home, &bin] {
            fs::create_dir_all(folder).expect("a folder below target/");
        }
        symlink(binary(), bin.join("tidemill")).expect("a link in it");
        let transcript = File::create(place.join("transcript.txt")).expect("a file in it");
        fs::write(place.join("folder"), home.display().to_string()).expect("a file in it");
        fs::write(place.join("variables"), "").expect("a file in it");
        Self { place, address: own_address(), server: None, transcript, faults: Vec::new() }
    }

    /// Does what a page says.
    ///
    /// # Panics
    /// When something else comes of it, with all that did.
    pub fn follow(mut self, page: &Page) {
        for shown in &page.samples {
            let at = format!("{}:{}", page.file.display(), shown.line);
            match &shown.sample {
                Sample::Console(exchanges) => exchanges.iter().for_each(|exchange| self.exchange(exchange, &at)),
                Sample::File { path, text, append } => self.write(path, text, *append),
                Sample::Install(_) | Sample::Manifest(_) | Sample::Text => {}
                Sample::Unmarked { mark, .. } => self.faults.push(format!("{at}: nobody knows the mark {mark:?}")),
            }
        }
        assert!(self.faults.is_empty(), "\n{}", self.faults.join("\n"));
    }

    fn write(&mut self, path: &str, text: &str, append: bool) {
        let file = self.folder().join(path);
        fs::create_dir_all(file.parent().expect("it is in a folder")).expect("a folder of the page");
        let before = if append { fs::read_to_string(&file).expect("a file that is there") } else { String::new() };
        let text = text.replace(ADDRESS, &self.address);
        fs::write(&file, before + &text).expect("a file of the page");
    }

    fn exchange(&mut self, exchange: &Exchange, at: &str) {
        let command = exchange.command.replace(ADDRESS, &self.address);
        if let Some(served) = command.strip_suffix(" &") {
            return self.serve(served);
        }
        if command == "kill %1" {
            return self.end_server();
        }
        let fails = exchange.shown.iter().any(|line| line.starts_with("error"));
        let begin = Instant::now();
        loop {
            let (succeeded, came) = self.run(&command);
            let result = match succeeded != fails {
                true => differs(&exchange.shown, &came),
                false if fails => Err(format!("it succeeds, but the page shows an error; it said:\n{came}")),
                false => Err(format!("it failed:\n{came}")),
            };
            let Err(fault) = result else { break };
            if !is_asking(&command) || begin.elapsed() > DEADLINE || !self.faults.is_empty() {
                self.faults.push(format!("{at}: $ {}\n{fault}", exchange.command));
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs a command; answers whether it succeeded, and what it printed.
    fn run(&mut self, command: &str) -> (bool, String) {
        let output = self.place.join("output");
        let file = File::create(&output).expect("a file of the session");
        let same = file.try_clone().expect("the same file");
        let after = "status=$?\nexport -p >\"$session/variables\"\npwd >\"$session/folder\"\nexit $status";
        let mut process =
            self.shell(&format!("{command}\n{after}")).stdout(file).stderr(same).spawn().expect("there is a shell");
        let status = ended(&mut process);
        let came = String::from_utf8_lossy(&fs::read(&output).expect("a file of the session")).into_owned();
        let came = came.replace(&self.address, ADDRESS);
        // For who writes a page.
        let _ = writeln!(self.transcript, "$ {command}\n{came}[{status}]");
        self.share_cargo();
        (status.success(), came)
    }

    /// A shell that goes on where the last one ended.
    fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        let session = self.place.display();
        let before =
            format!("session='{session}'\n. \"$session/variables\"\ncd \"$(cat \"$session/folder\")\"\nset -a");
        command.args(["-c", &format!("{before}\n{script}")]).stdin(Stdio::null());
        projects::prepare(&mut command, &self.place.join("bin"));
        let configuration = self.place.join("configuration");
        command.env("TIDEMILL_LISTEN", &self.address).env("TIDEMILL_SERVER", format!("http://{}", self.address));
        command.env("XDG_CONFIG_HOME", configuration).env("RUST_BACKTRACE", "0");
        command
    }

    fn folder(&self) -> PathBuf {
        fs::read_to_string(self.place.join("folder")).expect("a file of the session").trim_end().into()
    }

    /// Starts a server, and waits until it is ready: a reader sees that it is.
    fn serve(&mut self, command: &str) {
        self.end_server();
        let said = self.place.join("server.txt");
        let file = File::create(&said).expect("a file of the session");
        let same = file.try_clone().expect("the same file");
        let mut process =
            self.shell(&format!("exec {command}")).stdout(file).stderr(same).spawn().expect("there is a shell");
        let ready = format!("http://{}/readyz", self.address);
        poll(&format!("`{command}` to be ready"), || {
            let ended = process.try_wait().expect("it can be waited for");
            assert!(ended.is_none(), "`{command}` ended: {}", fs::read_to_string(&said).unwrap_or_default());
            ureq::get(&ready).call().ok()
        });
        self.server = Some(process);
    }

    fn end_server(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        let asked = Command::new("kill").args(["-TERM", &server.id().to_string()]).status();
        assert!(asked.is_ok_and(|status| status.success()), "SIGTERM can be sent");
        poll("the server to end", || server.try_wait().expect("it can be waited for"));
    }

    /// Has a new project of Rust begin with what is compiled already, and with versions that are here.
    fn share_cargo(&self) {
        let folder = self.folder();
        let (lock, target) = (folder.join("Cargo.lock"), folder.join("target"));
        if !folder.join("Cargo.toml").is_file() || lock.is_file() {
            return;
        }
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        fs::copy(workspace.join("Cargo.lock"), lock).expect("the workspace has a lock file");
        let shared = projects::below_target("projects").join("book-cargo");
        fs::create_dir_all(&shared).expect("a folder below target/");
        symlink(shared, target).expect("a link in the project");
    }
}

/// An address for a server that comes, ends and comes again. Its port is below those that the system gives to whoever asks
/// for any, so that no other test is given it meanwhile.
fn own_address() -> String {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    poll("a free port", || {
        let port = 10_000 + (std::process::id() + TRIED.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let address = format!("127.0.0.1:{port}");
        TcpListener::bind(&address).is_ok().then_some(address)
    })
}

/// Waits for a command; one that does not end is killed, and has failed.
fn ended(process: &mut Child) -> ExitStatus {
    let begin = Instant::now();
    loop {
        if let Some(status) = process.try_wait().expect("it can be waited for") {
            return status;
        }
        if begin.elapsed() > COMMAND_DEADLINE {
            process.kill().expect("it can be killed");
            return process.wait().expect("it can be waited for");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether a command changes nothing. Variables for it may stand before it.
fn is_asking(command: &str) -> bool {
    let begins = |(at, _): &(usize, &str)| {
        !command.get(..*at).is_some_and(|before| before.contains(' ') && !before.contains('='))
    };
    let program = command.match_indices("tidemill ").find(begins).and_then(|(at, _)| command.get(at..));
    program
        .unwrap_or_default()
        .strip_prefix("tidemill ")
        .is_some_and(|rest| ASKS.iter().any(|ask| rest.starts_with(ask)))
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            // It may have ended already.
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}
