//! Keys and TLS, as an operator and a client of the real binary meet them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use tempfile::TempDir;
use tidemill_tests::authority::{Authority, Files};
use tidemill_tests::told::{err, fails};
use tidemill_tests::{Server, poll, tidemill};

/// Runs a command to its end.
fn run(arguments: &[&str], key: Option<&str>) -> Output {
    let mut command = tidemill();
    command.args(arguments);
    if let Some(key) = key {
        command.env("TIDEMILL_KEY", key);
    }
    command.output().unwrap()
}

/// A server with a data directory of its own.
struct Setting {
    server: Server,
    data: TempDir,
}

impl Setting {
    fn start(configure: impl FnOnce(&mut Command)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let server = Server::try_start_with(data.path(), &data.path().join("plugins"), configure).unwrap();
        Self { server, data }
    }

    /// Makes a key; answers it.
    fn new_key(&self, arguments: &[&str]) -> String {
        let data = self.data.path().to_str().unwrap();
        let output = run(&[&["keys", "new", "--data", data], arguments].concat(), None);
        assert!(output.status.success(), "{}", err(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn ask(&self, arguments: &[&str], key: Option<&str>) -> Output {
        run(&[&["--server", self.server.url()], arguments].concat(), key)
    }

    fn append(&self, stream: &str, key: Option<&str>) -> Output {
        self.ask(&["append", "--type", "OrderPlaced", "--stream", stream, "--data", "1"], key)
    }
}

/// A `tidemill events tail` that is heard line by line.
struct Tail {
    process: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Tail {
    fn start(arguments: &[&str], key: Option<&str>) -> Self {
        let mut command = tidemill();
        command.args(arguments).args(["events", "tail", "--json"]);
        if let Some(key) = key {
            command.env("TIDEMILL_KEY", key);
        }
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    fn next(&mut self) -> String {
        self.lines.next().expect("a line").unwrap()
    }

    /// How it ends by itself, and what it says.
    fn end(mut self) -> (Option<i32>, String) {
        let code = poll("the tail to end", || self.process.try_wait().unwrap()).code();
        let mut said = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (code, said)
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_key_opens_what_it_is_for_from_the_moment_it_is_made_until_it_is_taken_back() {
    let setting = Setting::start(|_| {});
    assert!(setting.append("order-1", None).status.success(), "without keys everybody on this machine is let in");
    let said = setting
        .server
        .log()
        .iter()
        .any(|line| line["message"].as_str().unwrap_or_default().contains("no key is asked for"));
    assert!(said, "and that is said");
    let shop = setting.new_key(&["shop", "--scope", "read", "--scope", "append", "--stream", "order-"]);
    let operator = setting.new_key(&["operator", "--scope", "admin"]);
    let read = || setting.ask(&["events", "read"], None);
    poll("keys to be asked for", || (read().status.code() == Some(6)).then_some(()));
    poll("the second key", || setting.ask(&["plugins", "ls"], Some(&operator)).status.success().then_some(()));
    fails(&read(), 6, &["a key is needed", "TIDEMILL_KEY"]);
    fails(&setting.ask(&["events", "read"], Some("wrong")), 6, &["not one of this server's"]);
    assert!(setting.append("order-1", Some(&shop)).status.success());
    fails(&setting.append("payment-1", Some(&shop)), 6, &["only for streams order-*", "payment-1"]);
    fails(&setting.ask(&["plugins", "ls"], Some(&shop)), 6, &["key shop has no scope `admin`"]);
    assert!(setting.append("payment-1", Some(&operator)).status.success());
    let seen = setting.ask(&["events", "read", "--json"], Some(&shop));
    assert_eq!(String::from_utf8(seen.stdout).unwrap().lines().count(), 2, "not the payment");

    let mut tail = Tail::start(&["--server", setting.server.url()], Some(&shop));
    assert!(tail.next().contains("order-1") && tail.next().contains("order-1"));
    let data = setting.data.path().to_str().unwrap();
    let listed = run(&["keys", "ls", "--data", data], None);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("shop") && listed.contains("order-*") && listed.contains("operator"), "{listed}");
    assert!(run(&["keys", "rm", "shop", "--data", data], None).status.success());
    let (code, said) = tail.end();
    assert!(code == Some(6) && said.contains("not one of this server's"), "{code:?}: {said}");
    fails(&setting.append("order-1", Some(&shop)), 6, &["not one of this server's"]);
    fails(&run(&["keys", "rm", "shop", "--data", data], None), 3, &["there is no key shop"]);
    fails(&run(&["keys", "new", "operator", "--scope", "read", "--data", data], None), 4, &["a key operator already"]);
    fails(&run(&["keys", "new", "x", "--scope", "write", "--data", data], None), 2, &["read, append or admin"]);
    let log = format!("{:?}", setting.server.log());
    let kept = fs::read_to_string(setting.data.path().join("keys.toml")).unwrap();
    for secret in [&shop, &operator, "wrong"] {
        assert!(!log.contains(&format!("Bearer {secret}")) && !kept.contains(secret), "it stands nowhere");
    }
    assert!(!log.contains(&shop) && log.contains("a request was denied"), "{log}");
}

#[test]
fn other_machines_are_let_in_only_with_keys_or_on_purpose() {
    let data = tempfile::tempdir().unwrap();
    let plugins = data.path().join("plugins");
    let listen = ["--listen", "0.0.0.0:0", "--grpc-listen", "127.0.0.1:0"];
    let start = |arguments: &[&str]| {
        let mut command = tidemill();
        command.args(["serve", "--log-format", "json"]).args(arguments).arg("--data").arg(data.path());
        command.arg("--plugins").arg(&plugins).output().unwrap()
    };
    fails(&start(&listen), 2, &["--listen 0.0.0.0:0", "tidemill keys new", "--insecure-listen"]);
    let grpc = ["--listen", "127.0.0.1:0", "--grpc-listen", "[::]:0"];
    fails(&start(&grpc), 2, &["--grpc-listen [::]:0"]);
    assert!(!data.path().join("keys.toml").exists());
    let said = |server: &Server, words: &str| {
        server.log().iter().any(|line| line["message"].as_str().unwrap_or_default().contains(words))
    };
    let wide = |more: &[&str]| {
        let mut command = tidemill();
        command.args(["serve", "--listen", "0.0.0.0:0", "--data"]).arg(data.path()).args(more);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut insecure = wide(&["--insecure-listen"]);
    let mut line = String::new();
    BufReader::new(insecure.stdout.take().unwrap()).read_line(&mut line).unwrap();
    insecure.kill().unwrap();
    insecure.wait().unwrap();
    assert!(line.starts_with("http://0.0.0.0:"), "{line}");
    let file = data.path().join("elsewhere.toml");
    let with_keys = ["--keys", file.to_str().unwrap()];
    let server = Server::try_start_with(data.path(), &plugins, |command| _ = command.args(with_keys)).unwrap();
    fails(&run(&["--server", server.url(), "events", "read"], None), 6, &["a key is needed"]);
    assert!(said(&server, "keys are asked for"));
    drop(server);
    fs::write(&file, "[[key]]\nname = \"a\"\n").unwrap();
    fails(&start(&[&["--listen", "127.0.0.1:0"][..], &with_keys].concat()), 2, &["elsewhere.toml", "missing field"]);
}

/// A server with a certificate.
fn serve(files: &Files) -> Setting {
    Setting::start(|command| {
        command.arg("--tls-cert").arg(files.cert()).arg("--tls-key").arg(files.key());
    })
}

#[test]
fn a_certificate_is_trusted_by_its_authority_alone() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let setting = serve(&Files::of(ours.issue(false)));
    let url = setting.server.url().to_owned();
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let read = |url: &str, ca: &str| run(&["--server", url, "--tls-ca", ca, "events", "read"], None);
    let good = read(&url, &ours.ca());
    assert!(good.status.success(), "{}", err(&good));
    let by_name = read(&url.replace("127.0.0.1", "localhost"), &ours.ca());
    assert!(by_name.status.success(), "{}", err(&by_name));
    fails(&read(&url, &other.ca()), 1, &["no secure connection", "UnknownIssuer", "--tls-ca"]);
    fails(&run(&["--server", &url, "events", "read"], None), 1, &["no secure connection", "UnknownIssuer"]);
    fails(&read(&url.replace("https", "http"), &ours.ca()), 2, &["a port that speaks TLS; use https://"]);
    fails(&read(&url, "/nowhere.pem"), 2, &["--tls-ca /nowhere.pem cannot be read"]);
    let expired = serve(&Files::of(ours.issue(true)));
    fails(&read(expired.server.url(), &ours.ca()), 1, &["no secure connection", "expired"]);
    let plain = Setting::start(|_| {});
    fails(&read(&plain.server.url().replace("http", "https"), &ours.ca()), 1, &["no secure connection", "http://"]);
}

#[test]
fn a_slow_handshake_holds_up_nobody() {
    let ours = Authority::new("ours");
    let setting = serve(&Files::of(ours.issue(false)));
    let address = setting.server.url().strip_prefix("https://").unwrap().to_owned();
    let _silent: Vec<_> = (0..8).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let mut halfway = TcpStream::connect(&address).unwrap();
    halfway.write_all(&[0x16, 3, 1]).unwrap();
    let ca = ours.ca();
    let read = setting.ask(&["--tls-ca", &ca, "events", "read"], None);
    assert!(read.status.success(), "{}", err(&read));
}

#[test]
fn a_replaced_certificate_holds_for_connections_to_come_and_drops_none() {
    let (ours, next) = (Authority::new("ours"), Authority::new("next"));
    let files = Files::of(ours.issue(false));
    let setting = serve(&files);
    let (old_ca, new_ca) = (ours.ca(), next.ca());
    let append = |ca: &str| setting.ask(&["--tls-ca", ca, "append", "--type", "A", "--data", "1"], None);
    assert!(append(&old_ca).status.success());
    let mut tail = Tail::start(&["--server", setting.server.url(), "--tls-ca", &old_ca], None);
    assert!(tail.next().contains("\"position\":1"));
    // Half of a change is told and changes nothing.
    let (cert, key) = next.issue(false);
    fs::write(files.cert(), &cert).unwrap();
    poll("the mismatch to be told", || {
        let log = setting.server.log();
        log.iter().any(|line| line["error"].as_str().unwrap_or_default().contains("is not the key of")).then_some(())
    });
    assert!(append(&old_ca).status.success(), "the certificate read before goes on");
    files.replace((cert, key));
    poll("the certificate to be taken up", || append(&new_ca).status.success().then_some(()));
    fails(&append(&old_ca), 1, &["UnknownIssuer"]);
    assert!(tail.next().contains("\"position\":2") && tail.next().contains("\"position\":3"));
    // The same on demand.
    let hang_up = || Command::new("kill").args(["-HUP", &setting.server.id().to_string()]).status().unwrap();
    let read =
        |server: &Server| server.log().iter().filter(|line| line["message"] == "the certificate was read").count();
    let before = read(&setting.server);
    assert!(hang_up().success());
    poll("the files to be read again", || (read(&setting.server) > before).then_some(()));
    assert!(append(&new_ca).status.success());
}

#[test]
fn files_that_will_not_do_are_named_with_the_line() {
    let ours = Authority::new("ours");
    let (cert, key) = ours.issue(false);
    let (_, other_key) = ours.issue(false);
    let data = tempfile::tempdir().unwrap();
    let start = |cert: &Path, key: &Path| {
        let mut command = tidemill();
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data.path());
        command.arg("--tls-cert").arg(cert).arg("--tls-key").arg(key).output().unwrap()
    };
    let files = Files::of((cert.clone(), key.clone()));
    let (cert_file, key_file) = (files.cert(), files.key());
    fails(&start(&key_file, &cert_file), 2, &["--tls-cert", "line 1", "a private key, not a certificate"]);
    fails(&start(&cert_file, &cert_file), 2, &["--tls-key", "line 1", "a certificate, not a private key"]);
    fails(&start(Path::new("/nowhere.pem"), &key_file), 5, &["--tls-cert /nowhere.pem cannot be read", "No such file"]);
    for (written, words) in [
        (("hello".to_owned(), key.clone()), &["line 1", "-----BEGIN CERTIFICATE-----"][..]),
        ((cert.replacen("-----END", "----END", 1), key.clone()), &["line", "is not base64"]),
        ((format!("text\n{}", cert.split("-----END").next().unwrap()), key.clone()), &["line 2", "has no END"]),
        ((cert.clone(), key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")), &["the key is encrypted"]),
        ((cert.clone(), other_key), &["is not the key of the first certificate"]),
        (("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(), key), &["not a certificate"]),
    ] {
        files.replace(written);
        fails(&start(&cert_file, &key_file), 2, words);
    }
    let data = tempfile::tempdir().unwrap();
    let alone = tidemill().args(["serve", "--tls-cert", "x", "--data"]).arg(data.path()).output().unwrap();
    fails(&alone, 2, &["--tls-key"]);
}
