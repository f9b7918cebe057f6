//! A server within its limits and behind TLS, as its operator and bad clients meet it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tempfile::TempDir;
use tidemill_tests::authority::{Authority, Files};
use tidemill_tests::told::{complains, err, fails};
use tidemill_tests::{Server, poll, tidemill};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Longest that something may take that must come.
const DEADLINE: Duration = Duration::from_secs(60);

fn run(arguments: &[&str], key: Option<&str>) -> Output {
    let mut command = tidemill();
    command.args(arguments);
    if let Some(key) = key {
        command.env("TIDEMILL_KEY", key);
    }
    command.output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A server with a data directory of its own.
fn start(configure: impl FnOnce(&mut Command)) -> (Server, TempDir) {
    let data = tempfile::tempdir().unwrap();
    let server = Server::try_start_with(data.path(), &data.path().join("plugins"), configure).unwrap();
    (server, data)
}

fn with_tls(command: &mut Command, files: &Files) {
    command.arg("--tls-cert").arg(files.cert()).arg("--tls-key").arg(files.key());
}

fn connect(server: &Server) -> TcpStream {
    let connection = TcpStream::connect(server.url().split("//").nth(1).unwrap()).unwrap();
    connection.set_read_timeout(Some(DEADLINE)).unwrap();
    connection
}

/// Waits until the server has closed a connection, on which it says nothing.
fn closed(mut connection: TcpStream) {
    match connection.read(&mut [0; 1]) {
        Ok(0) => {}
        Ok(_) => panic!("it was answered"),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
    }
}

#[test]
fn handshakes_that_nobody_makes_give_way_to_others() {
    let ours = Authority::new("ours");
    let files = Files::of(ours.issue(false));
    let (server, _data) = start(|command| {
        with_tls(command, &files);
        command.args(["--max-handshakes", "3", "--handshake-time", "3600"]);
    });
    let mut silent: Vec<_> = (0..6).map(|_| connect(&server)).collect();
    silent[0].write_all(&[0x16, 3, 1]).unwrap();
    for given_up in silent.drain(..3) {
        closed(given_up);
    }
    let read = run(&["--server", server.url(), "--tls-ca", &ours.ca(), "events", "read"], None);
    assert!(read.status.success(), "the port is open to others: {}", err(&read));
}

#[test]
fn connections_on_which_nobody_speaks_are_closed() {
    let ours = Authority::new("ours");
    let files = Files::of(ours.issue(false));
    let (tls, _tls_data) = start(|command| {
        with_tls(command, &files);
        command.args(["--handshake-time", "1"]);
    });
    let (plain, _data) = start(|command| _ = command.args(["--header-time", "1"]));
    let mut begun = connect(&plain);
    // Where that comes late, it is closed already.
    let _ = begun.write_all(b"GET /livez HTTP/1.1\r\n");
    for silent in [connect(&tls), connect(&plain), begun] {
        closed(silent);
    }
}

#[test]
fn limits_are_settings() {
    let (server, data) = start(|command| {
        command.args(["--max-body-bytes", "2048", "--body-time", "1", "--lines-time", "1", "--max-subscribers", "1"]);
    });
    let post =
        |body: &str| ureq::post(format!("{}/v1/events", server.url())).content_type("application/json").send(body);
    let large = format!("{{\"events\":[{{\"type\":\"A\",\"data\":\"{}\"}}]}}", "x".repeat(3000));
    // A body that does not arrive within that second is told so instead.
    poll("what is too large to be refused", || matches!(post(&large), Err(ureq::Error::StatusCode(413))).then_some(()));
    poll("what is not to be taken", || post("{\"events\":[{\"type\":\"A\"}]}").ok());
    let subscribe = || {
        let mut connection = connect(&server);
        connection.write_all(b"GET /v1/events/subscribe HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        head(connection)
    };
    let (first, _open) = subscribe();
    assert!(first.starts_with("HTTP/1.1 200 "), "{first}");
    let (second, _) = subscribe();
    assert!(second.starts_with("HTTP/1.1 429 ") && second.contains("\r\nretry-after: 1\r\n"), "{second}");
    let begun = |kind: &str| {
        let mut connection = connect(&server);
        let sent = format!(
            "POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: 99\r\n\r\n"
        );
        connection.write_all(sent.as_bytes()).unwrap();
        head(connection).0
    };
    assert!(begun("application/json").starts_with("HTTP/1.1 408 "));
    assert!(begun("application/x-ndjson").starts_with("HTTP/1.1 503 "));
    let toml = data.path().join("tidemill.toml");
    fs::write(&toml, "max_requests = 7\nheader_time = 5\n").unwrap();
    let shown = run(&["config", "show", "--json", "--data", data.path().to_str().unwrap()], None);
    let lines: Vec<Value> = out(&shown).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = |key: &str| lines.iter().find(|line| line["setting"] == key).unwrap();
    assert_eq!((&line("max_requests")["value"], &line("max_requests")["from"]), (&json!(7), &json!("file")));
    assert_eq!((&line("max_handshakes")["value"], &line("header_time")["unit"]), (&json!(1024), &json!("SECONDS")));
    fs::write(&toml, "max_requests = 0\n").unwrap();
    fails(
        &run(&["config", "show", "--data", data.path().to_str().unwrap()], None),
        2,
        &["max_requests", "1..=1000000"],
    );
}

/// The value of a metric, by its name and labels.
fn metric(server: &Server, line: &str) -> Option<u64> {
    let (_, text) = server.try_text("/metrics").ok()?;
    text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
}

#[test]
fn a_client_that_does_not_read_is_given_up_and_gives_its_place_back() {
    let (server, _data) = start(|command| _ = command.args(["--write-time", "5", "--max-requests", "1"]));
    let data = "x".repeat(900_000);
    let post = || {
        ureq::post(format!("{}/v1/events", server.url()))
            .send_json(json!({ "events": [{ "type": "A", "data": data }] }))
    };
    // More than both sides of a connection buffer.
    for _ in 0..16 {
        poll("an append", || post().ok());
    }
    let ask = "GET /v1/events?limit=1000 HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let slow: Vec<_> = (0..2)
        .map(|_| {
            let mut slow = connect(&server);
            // It asks for page after page, and takes none.
            slow.write_all(ask.repeat(8).as_bytes()).unwrap();
            slow
        })
        .collect();
    poll("somebody to be told to come back", || match server.try_text("/v1/streams") {
        Ok((429, _)) => Some(()),
        _ => None,
    });
    assert!(server.try_get("/livez").is_ok(), "a server that is busy is alive");
    poll("the place to be free", || (server.try_text("/v1/streams").ok()?.0 == 200).then_some(()));
    drop(slow);
}

#[test]
fn one_connection_too_many_is_refused_and_the_operator_is_told() {
    let (server, _data) = start(|command| _ = command.args(["--max-connections", "3", "--header-time", "3600"]));
    // Of a connection that asked before, the place may be taken still: then fewer of these have one.
    let open: Vec<_> = (0..8).map(|_| connect(&server)).collect();
    let refuses = || server.log().iter().any(|line| line.to_string().contains("a connection was refused"));
    poll("the log to tell", || refuses().then_some(()));
    // Before one that is open gives its place to one that has not been looked at yet.
    poll("all but three to be closed", || (open.iter().filter(|open| is_closed(open)).count() >= 5).then_some(()));
    drop(open);
    let refused = "tidemill_connections_refused_total{face=\"http\"}";
    poll("the metric to tell", || metric(&server, refused).filter(|refused| *refused >= 5));
    let told = server.log().iter().filter(|line| line.to_string().contains("a connection was refused")).count();
    assert!(told < 5, "not for each of them: {told}");
    let open = poll("how many are open", || metric(&server, "tidemill_connections{face=\"http\"}"));
    assert!((1..=3).contains(&open), "{open}");
}

/// Whether the server closed a connection on which it never says anything.
fn is_closed(mut connection: &TcpStream) -> bool {
    connection.set_nonblocking(true).unwrap();
    !matches!(connection.read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

/// The head of an answer, and the connection.
fn head(connection: TcpStream) -> (String, BufReader<TcpStream>) {
    let (mut reader, mut head) = (BufReader::new(connection), String::new());
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
    }
    (head, reader)
}

#[test]
fn a_benchmark_speaks_tls_and_presents_its_key_and_requests_over_grpc_are_counted() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let files = Files::of(ours.issue(false));
    let (server, data) = start(|command| {
        with_tls(command, &files);
        command.args(["--grpc-listen", "127.0.0.1:0"]);
    });
    let made = run(&["keys", "new", "op", "--scope", "admin", "--data", data.path().to_str().unwrap()], None);
    let key = out(&made).trim().to_owned();
    let ca = ours.ca();
    let at = ["--server", server.url(), "--tls-ca", &ca];
    poll("keys to be asked for", || {
        (run(&[&at[..], &["events", "read"]].concat(), None).status.code() == Some(6)).then_some(())
    });
    let grpc = format!("https://{}", server.grpc());
    let bench = |more: &[&str], key: Option<&str>| {
        let bench = ["bench", "append", "--yes", "--clients", "1", "--seconds", "0.1", "--json"];
        run(&[&at[..], &bench, more].concat(), key)
    };
    let both = bench(&["--grpc", &grpc], Some(&key));
    assert!(both.status.success(), "{}", err(&both));
    let protocols: Vec<Value> = out(&both).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let protocols: Vec<_> = protocols.iter().map(|row| row["protocol"].as_str().unwrap()).collect();
    assert_eq!(protocols, ["http", "grpc"]);
    for more in [&[][..], &["--grpc-only", "--grpc", &grpc]] {
        complains(&bench(more, None), 6, &["a key is needed"]);
    }
    // The name is another one, so it may be another server.
    let elsewhere = grpc.replace("127.0.0.1", "localhost");
    complains(&bench(&["--grpc-only", "--grpc", &elsewhere], Some(&key)), 6, &["a key is needed", "--server alone"]);
    let distrusted = ["--server", server.url(), "--tls-ca", &other.ca(), "bench", "read"];
    complains(&run(&distrusted, Some(&key)), 1, &["no secure connection", "UnknownIssuer"]);
    complains(&bench(&["--grpc-only", "--grpc", &grpc.replace("https", "http")], Some(&key)), 5, &["https://"]);
    let metrics = || {
        let tls = ureq::tls::TlsConfig::builder().disable_verification(true).build();
        let agent: ureq::Agent = ureq::Agent::config_builder().tls_config(tls).build().into();
        let asked = agent.get(format!("{}/metrics", server.url())).header("authorization", format!("Bearer {key}"));
        asked.call().unwrap().body_mut().read_to_string().unwrap()
    };
    let number = |line: &str| {
        let text = metrics();
        let found = text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse::<u64>().ok());
        found.unwrap_or_else(|| panic!("no {line} in {text}"))
    };
    let appends = || number("tidemill_append_seconds_count");
    let before = appends();
    assert!(bench(&["--grpc-only", "--grpc", &grpc], Some(&key)).status.success());
    assert!(appends() > before, "appends over gRPC are among all");
    assert!(number("tidemill_grpc_requests_total{method=\"Append\",code=\"OK\"}") > 0);
    assert!(number("tidemill_grpc_requests_total{method=\"Head\",code=\"UNAUTHENTICATED\"}") > 0);
    assert!(number("tidemill_grpc_request_seconds_count{method=\"Append\"}") > 0);
    poll("none to be open", || (number("tidemill_grpc_open_requests") == 0).then_some(()));
}

/// An OTLP receiver within TLS: the paths that were asked for.
fn receiver((cert, key): (String, String)) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, came) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = Arc::new(builder.with_single_cert(chain, key).unwrap());
    let kept = Arc::clone(&came);
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let (config, kept) = (Arc::clone(&config), Arc::clone(&kept));
            std::thread::spawn(move || {
                let stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
                answer(&mut BufReader::new(stream), &kept)
            });
        }
    });
    (address, came)
}

/// Answers one request after another; ends with the connection, or when it is not trusted.
fn answer(stream: &mut BufReader<impl Read + Write>, came: &Mutex<Vec<String>>) -> Option<()> {
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            (stream.read_line(&mut head).ok()? > 0).then_some(())?;
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().unwrap())
        });
        stream.read_exact(&mut vec![0; length.unwrap_or(0)]).ok()?;
        came.lock().unwrap().push(head.split(' ').nth(1)?.to_owned());
        stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()?;
    }
}

#[test]
fn an_otlp_receiver_within_tls_is_sent_to_when_its_authority_is_trusted() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let (address, came) = receiver(ours.issue(false));
    let endpoint = format!("https://localhost:{}", address.port());
    let start = |ca: Option<&str>| {
        start(|command| {
            command.args(["--otlp-endpoint", &endpoint, "--otlp-interval", "1"]).env("OTEL_BSP_SCHEDULE_DELAY", "50");
            command.args(ca.into_iter().flat_map(|ca| ["--otlp-ca", ca]));
        })
    };
    for ca in [Some(other.ca()), None] {
        let (server, _data) = start(ca.as_deref());
        poll("the failure to be told", || {
            let said = |line: &Value| {
                let text = line.to_string();
                text.contains("the OTLP receiver takes nothing") && text.contains("UnknownIssuer")
            };
            server.log().iter().any(said).then_some(())
        });
        assert!(came.lock().unwrap().is_empty());
    }
    let (server, _data) = start(Some(&ours.ca()));
    server.try_post("/v1/events", &json!({ "events": [{ "type": "A" }] })).unwrap();
    for path in ["/v1/metrics", "/v1/traces"] {
        poll(path, || came.lock().unwrap().iter().any(|came| came == path).then_some(()));
    }
    let data = tempfile::tempdir().unwrap();
    let refused = tidemill()
        .args(["serve", "--listen", "127.0.0.1:0", "--otlp-endpoint", &endpoint, "--otlp-ca", "/nowhere.pem", "--data"])
        .arg(data.path())
        .output();
    fails(&refused.unwrap(), 2, &["--otlp-ca /nowhere.pem cannot be read"]);
}

/// Every file below a directory: its name, its bytes, when it was changed, and whose it is.
fn as_it_is(directory: &Path) -> Vec<(String, Vec<u8>, SystemTime, u32)> {
    use std::os::unix::fs::MetadataExt as _;
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let (path, metadata) = (entry.path(), entry.metadata().unwrap());
        if metadata.is_dir() {
            found.extend(as_it_is(&path));
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        found.push((path.display().to_string(), bytes, metadata.modified().unwrap(), metadata.uid()));
    }
    found.sort();
    found
}

#[test]
fn a_data_directory_is_as_it_was_after_the_doctor_and_a_server_that_has_it_is_told_of() {
    let (server, data) = start(|_| {});
    for n in 0..20 {
        server.try_post("/v1/events", &json!({ "events": [{ "type": "A", "data": n }] })).unwrap();
    }
    let doctor = |more: &[&str]| {
        run(&[&["doctor", "--listen", "127.0.0.1:0", "--data", data.path().to_str().unwrap()], more].concat(), None)
    };
    let in_use = doctor(&[]);
    complains(&in_use, 5, &["--server"]);
    let said = out(&in_use);
    assert!(said.contains("unusual: a running server has ") && said.contains("are free under"), "{said}");
    // So it is found as a crash leaves it: opening it would mend something.
    server.kill_now();
    drop(server);
    for lock in [true, false] {
        if !lock {
            fs::remove_file(data.path().join("lock")).unwrap();
        }
        let before = as_it_is(data.path());
        let sound = doctor(&[]);
        assert!(sound.status.success(), "{}{}", out(&sound), err(&sound));
        assert!(
            out(&sound).contains("the log opens") && out(&sound).contains("head           20\n"),
            "{}",
            out(&sound)
        );
        assert_eq!(as_it_is(data.path()), before, "with a lock file: {lock}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = format!("listen = \"{}\"\nplugins = \"other\"\n", taken.local_addr().unwrap());
    fs::write(data.path().join("tidemill.toml"), settings).unwrap();
    let told = run(&["doctor", "--data", data.path().to_str().unwrap()], None);
    let said = out(&told);
    for words in ["settings are read from", "something listens on 127.0.0.1:", "/other"] {
        assert!(said.contains(words), "{words} in {said}{}", err(&told));
    }
    fs::write(data.path().join("tidemill.toml"), "lisen = 1\n").unwrap();
    let told = doctor(&[]);
    assert_eq!(told.status.code(), Some(1), "{}", err(&told));
    assert!(out(&told).contains("wrong:   the settings are not understood: ") && out(&told).contains("\"listen\""));
}

#[test]
fn keys_are_where_the_settings_of_the_server_say() {
    let data = tempfile::tempdir().unwrap();
    let at = data.path().to_str().unwrap();
    fs::write(data.path().join("tidemill.toml"), "keys = \"elsewhere.toml\"\n").unwrap();
    let made = run(&["keys", "new", "a", "--scope", "read", "--data", at], None);
    assert!(made.status.success() && err(&made).contains("elsewhere.toml"), "{}", err(&made));
    assert!(data.path().join("elsewhere.toml").is_file() && !data.path().join("keys.toml").exists());
    let apart = tempfile::tempdir().unwrap();
    let file = apart.path().join("t.toml");
    fs::write(&file, format!("data = \"{at}\"\nkeys = \"{at}/elsewhere.toml\"\n")).unwrap();
    let listed = run(&["keys", "ls", "--json", "--config", file.to_str().unwrap()], None);
    assert!(out(&listed).contains("\"name\":\"a\""), "{}", err(&listed));
    assert!(run(&["keys", "rm", "a", "--config", file.to_str().unwrap()], None).status.success());
    let own = data.path().join("own.toml");
    assert!(
        run(&["keys", "new", "b", "--scope", "read", "--data", at, "--keys", own.to_str().unwrap()], None)
            .status
            .success()
    );
    assert!(own.is_file(), "a flag counts before the file");
    fs::write(data.path().join("tidemill.toml"), "kyes = 1\n").unwrap();
    fails(&run(&["keys", "ls", "--data", at], None), 2, &["unknown key \"kyes\"", "did you mean \"keys\"?"]);
}
