//! Settings, profiles, colour, suggestions and exit codes, through the binary.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use tidemill_plugins::GIT_HISTORY;
use tidemill_tests::{Server, install, poll, tidemill};

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts an exit code and words on stderr.
fn ends(output: &Output, code: i32, words: &[&str]) {
    let text = err(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(words.iter().all(|word| text.contains(word)), "{words:?} in: {text}");
}

fn run(arguments: &[&str]) -> Output {
    tidemill().args(arguments).output().unwrap()
}

/// What `config show` says of each setting.
fn shown(configure: impl FnOnce(&mut Command)) -> Vec<Value> {
    let mut command = tidemill();
    command.args(["config", "show", "--json"]);
    configure(&mut command);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", err(&output));
    out(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn setting<'a>(lines: &'a [Value], key: &str) -> &'a Value {
    lines.iter().find(|line| line["setting"] == key).unwrap()
}

fn write(folder: &Path, text: &str) {
    std::fs::write(folder.join("tidemill.toml"), text).unwrap();
}

fn directories() -> (TempDir, TempDir) {
    (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap())
}

#[test]
fn every_value_tells_where_it_comes_from() {
    let data = tempfile::tempdir().unwrap();
    write(data.path(), "drain_time = 30\notlp_interval = 7\nlog = \"debug\"\n");
    let lines = shown(|command| {
        command.arg("--data").arg(data.path()).args(["--listen", "127.0.0.1:0"]);
        command.env("TIDEMILL_DRAIN_TIME", "20").env("TIDEMILL_RETENTION", "order=1d;trace=2d");
    });
    let (drain, otlp) = (setting(&lines, "drain_time"), setting(&lines, "otlp_interval"));
    assert_eq!(
        (&drain["value"], &drain["from"], &drain["name"]),
        (&20.into(), &"variable".into(), &"TIDEMILL_DRAIN_TIME".into())
    );
    assert_eq!((&otlp["value"], &otlp["from"], &otlp["line"]), (&7.into(), &"file".into(), &2.into()));
    assert_eq!(Path::new(otlp["file"].as_str().unwrap()), data.path().join("tidemill.toml"));
    assert_eq!(setting(&lines, "listen")["name"], "--listen");
    assert_eq!(setting(&lines, "log_format")["from"], "default");
    assert_eq!(setting(&lines, "retention")["value"], serde_json::json!(["order=1d", "trace=2d"]));
    assert_eq!((&setting(&lines, "log")["reloaded"], &drain["reloaded"]), (&true.into(), &false.into()));
    let slip = tidemill().args(["config", "show"]).env("TIDEMILL_LISEN", "x").output().unwrap();
    ends(&slip, 0, &["nobody reads TIDEMILL_LISEN; did you mean TIDEMILL_LISTEN?"]);
    let table = tidemill().args(["config", "show", "--data"]).arg(data.path()).output().unwrap();
    assert!(
        out(&table).lines().any(|line| line.starts_with("drain_time ") && line.contains("tidemill.toml:1")),
        "{}",
        out(&table)
    );
}

#[test]
fn a_file_that_is_not_understood_is_refused_with_its_line() {
    let data = tempfile::tempdir().unwrap();
    write(data.path(), "# settings\ndrain_tmie = 3\n");
    for command in [["serve"].as_slice(), &["config", "show"]] {
        let output = tidemill().args(command).arg("--data").arg(data.path()).output().unwrap();
        ends(&output, 2, &["tidemill.toml:2: unknown key \"drain_tmie\"; did you mean \"drain_time\"?"]);
        assert!(output.stdout.is_empty());
    }
    ends(&run(&["config", "show", "--config", "/nowhere/t.toml"]), 3, &["/nowhere/t.toml", "--config"]);
}

/// Sends SIGHUP.
fn hang_up(server: &Server) {
    let asked = Command::new("kill").args(["-HUP", &server.id().to_string()]).status();
    assert!(asked.is_ok_and(|status| status.success()), "SIGHUP can be sent");
}

/// Waits for a line of the log that says this, of this setting if one is named.
fn wait_for(server: &Server, message: &str, key: Option<&str>) -> Value {
    poll(message, || {
        let is_it = |line: &Value| {
            let said = line["message"].as_str().is_some_and(|text| text.contains(message));
            said && key.is_none_or(|key| line["setting"] == key)
        };
        server.log().into_iter().find(is_it)
    })
}

#[test]
fn a_hang_up_reads_the_file_again() {
    let (data, plugins) = directories();
    write(data.path(), "drain_time = 30\n");
    let server = Server::start(data.path(), plugins.path());
    assert!(!server.log().iter().any(|line| line["level"] == "DEBUG"));

    write(data.path(), "drain_time = 31\nlog = \"debug\"\n[retention]\norder = \"1d\"\n");
    hang_up(&server);
    let restart = wait_for(&server, "this needs a restart", Some("drain_time"));
    assert_eq!((&restart["running"], &restart["wanted"]), (&"30".into(), &"31".into()), "{restart}");
    assert_eq!(wait_for(&server, "reload: changed", Some("log"))["to"], "debug");
    wait_for(&server, "reload: changed", Some("retention"));
    let policy = poll("the policy", || {
        let answer = server.try_get("/v1/retention").ok()?;
        answer["retention"].as_array()?.first().cloned()
    });
    assert_eq!((&policy["category"], &policy["policy"]), (&"order".into(), &"1d".into()), "{policy}");
    poll("a line of debugging", || server.log().into_iter().find(|line| line["level"] == "DEBUG"));

    write(data.path(), "log = 1\n");
    hang_up(&server);
    let error = wait_for(&server, "nothing has changed", None);
    assert!(error["error"].as_str().unwrap().contains("tidemill.toml:1: log is the number 1"), "{error}");
    assert_eq!(server.try_text("/livez").unwrap().0, 200);
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn a_profile_names_the_server() {
    let (data, plugins) = directories();
    let server = Server::start(data.path(), plugins.path());
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".config/tidemill");
    let with = |arguments: &[&str]| tidemill().env("HOME", home.path()).args(arguments).output().unwrap();
    ends(&with(&["--profile", "pond", "plugins", "ls"]), 3, &["profiles.toml", "[prod]"]);
    std::fs::create_dir_all(&folder).unwrap();
    let text = format!("[pond]\nserver = \"{}\"\n[gone]\nserver = \"http://127.0.0.1:1\"\n", server.url());
    std::fs::write(folder.join("profiles.toml"), text).unwrap();
    assert!(with(&["--profile", "pond", "plugins", "ls"]).status.success());
    assert!(with(&["events", "read", "--profile", "pond"]).status.success(), "wherever it stands");
    ends(&with(&["--profile", "gone", "plugins", "ls"]), 5, &["127.0.0.1:1"]);
    assert!(with(&["--profile", "gone", "--server", server.url(), "plugins", "ls"]).status.success(), "a flag counts");
    ends(&with(&["--profile", "pnod", "plugins", "ls"]), 3, &["did you mean `pond`?"]);
    let mut command = tidemill();
    command.env("XDG_CONFIG_HOME", home.path().join(".config")).env("TIDEMILL_PROFILE", "pond");
    assert!(command.args(["plugins", "ls"]).output().unwrap().status.success());
}

#[test]
fn what_is_not_there_is_answered_with_what_is() {
    let (data, plugins) = directories();
    install(plugins.path(), "git-history", &GIT_HISTORY);
    let server = Server::start(data.path(), plugins.path());
    let run = |arguments: &[&str]| tidemill().args(["--server", server.url()]).args(arguments).output().unwrap();
    assert!(run(&["append", "--type", "OrderPlaced", "--stream", "order-1"]).status.success());
    for command in
        [["plugins", "inspect"].as_slice(), &["plugins", "pause"], &["state", "scan"], &["dead-letters", "ls"]]
    {
        let arguments: Vec<_> = command.iter().copied().chain(["git-histroy"]).collect();
        ends(&run(&arguments), 3, &["git-histroy", "did you mean `git-history`?"]);
    }
    ends(&run(&["streams", "show", "ordr-1"]), 3, &["ordr-1", "did you mean `order-1`?"]);
    ends(
        &run(&["events", "read", "--type", "OrderPlacd"]),
        0,
        &["no event has type `OrderPlacd`; did you mean `OrderPlaced`?"],
    );
    let found = run(&["events", "read", "--type", "OrderPlaced"]);
    assert!(err(&found).is_empty() && out(&found).contains("order-1"), "{}", err(&found));
    ends(&run(&["plugn", "ls"]), 2, &["plugin"]);
    assert!(run(&["plugin", "ls"]).status.success(), "another name of the same");
    ends(&run(&["plugins", "inspct"]), 2, &["inspect"]);
    ends(&run(&["plugins", "inspect", "nobody-like-it"]), 3, &["nobody-like-it"]);
}

/// A server that answers every request with one status.
fn answering(status: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let _ = connection.read(&mut [0; 4096]);
            let _ = write!(connection, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    url
}

#[test]
fn each_exit_code_is_what_the_help_says() {
    let help = out(&run(&["--help"]));
    let documented =
        "Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 conflict, 5 unavailable or time-out, 6 denied";
    assert!(help.contains(documented), "{help}");
    let against = |status: &'static str, arguments: &[&str]| {
        tidemill().args(["--server", &answering(status)]).args(arguments).output().unwrap()
    };
    assert_eq!(run(&["--version"]).status.code(), Some(0));
    ends(&run(&["man", "--dir", "/proc/none"]), 1, &["/proc/none"]);
    ends(&against("500 Internal Server Error", &["plugins", "ls"]), 1, &["500"]);
    ends(&run(&["serve", "--listen", "nowhere"]), 2, &["--listen"]);
    ends(&run(&["events", "read", "--data", "/nowhere/at/all"]), 3, &["/nowhere/at/all"]);
    ends(&against("409 Conflict", &["plugins", "ls"]), 4, &["409"]);
    ends(&run(&["--server", "http://127.0.0.1:1", "plugins", "ls"]), 5, &["127.0.0.1:1"]);
    ends(&against("403 Forbidden", &["plugins", "ls"]), 6, &["403"]);
}

#[test]
fn colour_is_for_terminals_unless_it_is_asked_for() {
    let (data, plugins) = directories();
    let server = Server::start(data.path(), plugins.path());
    let list = |arguments: &[&str], no_color: Option<&str>| {
        let mut command = tidemill();
        command.args(["--server", server.url(), "plugins", "ls"]).args(arguments);
        if let Some(value) = no_color {
            command.env("NO_COLOR", value);
        }
        out(&command.output().unwrap())
    };
    let is_coloured = |text: &str| text.contains('\u{1b}');
    assert!(!is_coloured(&list(&[], None)), "not into a pipe");
    assert!(is_coloured(&list(&["--color", "always"], None)));
    assert!(is_coloured(&list(&["--color=always"], Some("1"))), "a flag counts before a variable");
    assert!(!is_coloured(&list(&["--color", "never"], None)));
    assert!(is_coloured(&out(&run(&["--help", "--color=always"]))) && !is_coloured(&out(&run(&["--help"]))));
    assert!(is_coloured(&err(&run(&["--color=always", "events", "read", "--data", "/nowhere"]))));
    ends(&run(&["--color", "sometimes", "plugins", "ls"]), 2, &["always"]);
}
