//! What a plugin may do outside the store: HTTP by grant, secrets that it does not see, and what is refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tidemill::clock::ManualClock;
use tidemill::delivery::{Effects, EventBatch, Fault, HandleError, Handled, Handler, Permit};
use tidemill::event::{EventType, NewEvent, PluginName, Position, RecordedEvent, Version};
use tidemill::runtime::{
    Denials, Engine, EngineOptions, Grants, HttpAccess, InstanceOptions, Limits, LoadOptions, SecretHeader, Trust,
};
use tidemill::store::memory::MemoryStore;
use tidemill_tests::{Server, guests, poll, replace};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(EngineOptions::default()).unwrap());

/// A small web server, whose answer follows from the path.
struct Web {
    address: SocketAddr,
    /// Heads of the requests that came.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Web {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::default();
        let web = Self { address, seen: Arc::clone(&seen) };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let seen = Arc::clone(&seen);
                // A client that goes away in the middle ends its own connection only.
                std::thread::spawn(move || drop(serve(&stream, address, &seen)));
            }
        });
        web
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(mut stream: &TcpStream, own: SocketAddr, seen: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let lines = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let head: Vec<_> = lines.collect();
    seen.lock().unwrap().push(head.join("\n").to_lowercase());
    let path = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let ok = "HTTP/1.1 200 OK\r\n";
    match path {
        "/huge" => {
            write!(stream, "{ok}\r\n")?;
            loop {
                stream.write_all(&[b'x'; 64 << 10])?;
            }
        }
        "/loris" => {
            write!(stream, "{ok}content-length: 1000000\r\n\r\n")?;
            let (_never, slow) = std::sync::mpsc::sync_channel::<()>(0);
            loop {
                stream.write_all(b"x")?;
                let _ = slow.recv_timeout(Duration::from_millis(20));
            }
        }
        "/silent" => {
            // Until the client hangs up.
            BufReader::new(stream).lines().map_while(Result::ok).for_each(drop);
            Ok(())
        }
        "/flood" => {
            write!(stream, "{ok}")?;
            loop {
                write!(stream, "x-flood: {}\r\n", "y".repeat(1000))?;
            }
        }
        "/out" => write!(
            stream,
            "HTTP/1.1 302 Found\r\nlocation: http://localhost:{}/in\r\ncontent-length: 0\r\n\r\n",
            own.port()
        ),
        _ => write!(stream, "{ok}content-length: 5\r\n\r\nhello"),
    }
}

/// A guest that is granted HTTP.
struct Client {
    handler: Box<dyn Handler>,
    effects: Option<Effects>,
    denials: Denials,
}

impl Client {
    fn new(component: &[u8], http: HttpAccess, limits: Limits, config: &[(&str, &str)]) -> Self {
        Self::of(&ENGINE, component, http, limits, config)
    }

    fn of(engine: &Engine, component: &[u8], http: HttpAccess, limits: Limits, config: &[(&str, &str)]) -> Self {
        let plugin = PluginName::new("client").unwrap();
        let loaded =
            engine.load_with(component, &LoadOptions { limits, http: true, ..LoadOptions::default() }).unwrap();
        assert!(!loaded.replayable(), "what it does outside cannot be taken back");
        let denials = Denials::default();
        let handler = loaded.subscriber(InstanceOptions {
            config: config.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
            grants: Grants { http, ..Grants::default() },
            denials: denials.clone(),
            ..InstanceOptions::new(plugin.clone(), limits)
        });
        let store = Arc::new(MemoryStore::new(Arc::new(ManualClock::at(0))));
        Self { handler, effects: Some(Effects::new(plugin, store, Permit::default())), denials }
    }

    fn call(&mut self, position: u64, event_type: &str) -> Handled {
        let event = NewEvent::json(EventType::new(event_type).unwrap(), "{}");
        let batch = EventBatch::new(vec![RecordedEvent::record(event, Position(position), Version(0), position)]);
        let mut effects = self.effects.take().unwrap();
        effects.begin_call(batch.clone());
        let Handled { mut effects, outcome, evidence } = self.handler.handle(batch, effects);
        if outcome.is_err() {
            effects.discard_call();
        }
        let unused = effects.fresh();
        self.effects = Some(effects);
        Handled { effects: unused, outcome, evidence }
    }

    /// What the guest says of its request.
    fn told(&mut self) -> String {
        assert_eq!(self.call(1, "Ordered").outcome, Ok(()));
        let told = self.effects.as_mut().unwrap().state_get("http/1").unwrap().unwrap();
        String::from_utf8(told).unwrap()
    }
}

fn limits() -> Limits {
    Limits { batch_time_ms: 600_000, http_time_ms: 300_000, ..Limits::default() }
}

fn access(granted: &[&str], private: &[&str]) -> HttpAccess {
    HttpAccess {
        granted: granted.iter().map(|text| text.parse().unwrap()).collect(),
        private: private.iter().map(|text| text.parse().unwrap()).collect(),
        ..HttpAccess::default()
    }
}

/// What a guest says that gets `url` with these grants.
fn told(url: &str, http: HttpAccess, limits: Limits) -> String {
    Client::new(guests::HTTP_GET, http, limits, &[("url", url)]).told()
}

#[test]
fn what_is_granted_is_reached_and_nothing_else() {
    let web = Web::start();
    let (here, url) = (web.url("/v1"), web.url("/v1/x"));
    assert_eq!(told(&url, access(&[&here], &["localhost"]), limits()), "200 5");
    let mut denied =
        Client::new(guests::HTTP_GET, access(&["https://elsewhere.example.com"], &[]), limits(), &[("url", &url)]);
    assert!(denied.told().contains("HttpRequestDenied"));
    assert_eq!(denied.denials.count(), 1);
    assert!(told(&web.url("/v10"), access(&[&here], &["localhost"]), limits()).contains("HttpRequestDenied"));
    let asked_less = HttpAccess { requested: Some(Vec::new()), ..access(&[&here], &["localhost"]) };
    assert!(told(&url, asked_less, limits()).contains("HttpRequestDenied"), "granted, not requested");
    assert_eq!(web.seen().len(), 1, "nothing else came");
}

#[test]
fn addresses_inside_are_refused_by_any_name() {
    let web = Web::start();
    let port = web.address.port();
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        let url = format!("http://{host}:{port}");
        let mut client = Client::new(guests::HTTP_GET, access(&[&url], &["10.0.0.0/8"]), limits(), &[("url", &url)]);
        let told = client.told();
        assert!(told.contains("DestinationIpProhibited"), "{host}: {told}");
        assert_eq!(client.denials.count(), 1);
    }
    assert!(web.seen().is_empty());
}

#[test]
fn a_redirect_is_the_guests_to_follow_and_checked_anew() {
    let web = Web::start();
    let client = |granted: &[&str], follow: &str| {
        let config = [("url", web.url("/out")), ("follow", follow.to_owned())];
        let config: Vec<_> = config.iter().map(|(key, value)| (*key, value.as_str())).collect();
        Client::new(guests::HTTP_GET, access(granted, &["localhost"]), limits(), &config).told()
    };
    assert_eq!(client(&[&web.url("/")], "false"), "302 0");
    assert!(client(&[&web.url("/")], "true").contains("HttpRequestDenied"), "localhost is another host");
    let both = format!("http://localhost:{}", web.address.port());
    assert_eq!(client(&[&web.url("/"), &both], "true"), "200 5");
}

/// A web server over TLS: a certificate for each name, from an authority of its own.
struct SecureWeb {
    address: SocketAddr,
    /// The authority, as PEM.
    authority: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl SecureWeb {
    fn start(names: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let own = KeyPair::generate().unwrap();
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&own, &issuer).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(own.serialize_der()).into())
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let web = Self { address, authority, seen: Arc::clone(&seen) };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                // A client that does not believe the certificate hangs up.
                let _ = answer(StreamOwned::new(connection, stream), address.port(), &seen);
            }
        });
        web
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }
}

fn answer(
    mut stream: StreamOwned<ServerConnection, TcpStream>,
    port: u16,
    seen: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let lines = BufReader::new(&mut stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let head: Vec<_> = lines.collect();
    // Who does not believe the certificate sends no request.
    let Some(first) = head.first() else { return Ok(()) };
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    seen.lock().unwrap().push(head.join("\n").to_lowercase());
    match path.strip_prefix("/to/") {
        Some(host) => {
            write!(stream, "HTTP/1.1 302 Found\r\nlocation: https://{host}:{port}/in\r\ncontent-length: 0\r\n\r\n")?
        }
        None => write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")?,
    }
    stream.flush()
}

#[test]
fn a_server_over_tls_must_prove_its_name_by_an_authority_that_is_believed_and_so_must_whom_it_redirects_to() {
    let web = SecureWeb::start(&["localhost"]);
    let believing = |trust| Engine::new(EngineOptions { trust, ..EngineOptions::default() }).unwrap();
    let (own, public) = (believing(Trust::with(web.authority.as_bytes()).unwrap()), believing(Trust::default()));
    let told = |engine: &Engine, granted: &[&str], private: &[&str], config: &[(&str, &str)]| {
        Client::of(engine, guests::HTTP_GET, access(granted, private), limits(), config).told()
    };
    let (here, there) = (web.url("/"), format!("https://127.0.0.1:{}/", web.address.port()));
    let inside = &["localhost", "127.0.0.0/8"];
    assert_eq!(told(&own, &[&here], inside, &[("url", &here)]), "200 5");
    let unknown = told(&public, &[&here], inside, &[("url", &here)]);
    assert!(unknown.contains("TlsCertificateError"), "an authority that nobody named: {unknown}");
    let other = told(&own, &[&there], inside, &[("url", &there)]);
    assert!(other.contains("TlsCertificateError"), "its certificate is for another name: {other}");
    let plain = format!("http://localhost:{}/", web.address.port());
    let refused = told(&own, &[&here], inside, &[("url", &plain)]);
    assert!(refused.contains("HttpRequestDenied"), "the scheme is granted, too: {refused}");
    assert!(told(&own, &[&here], &[], &[("url", &here)]).contains("DestinationIpProhibited"));
    assert_eq!(web.seen.lock().unwrap().len(), 1, "nobody else got through");

    // A redirect is checked like any other request: by grants, then by address, then by certificate.
    let follow = |granted: &[&str], host: &str| {
        let url = web.url(&format!("/to/{host}"));
        told(&own, granted, inside, &[("url", &url), ("follow", "true")])
    };
    assert_eq!(follow(&[&here], "localhost"), "200 5");
    assert!(follow(&[&here], "127.0.0.1").contains("HttpRequestDenied"), "another host is another grant");
    assert!(follow(&[&here, &there], "127.0.0.1").contains("TlsCertificateError"));
    let seen = web.seen.lock().unwrap();
    assert_eq!(seen.iter().filter(|head| head.starts_with("get /in ")).count(), 1, "{seen:?}");
}

#[test]
fn a_server_cannot_hurt_the_host() {
    let web = Web::start();
    let get = |path: &str, limits: Limits| told(&web.url(path), access(&[&web.url("/")], &["localhost"]), limits);
    let small = Limits { http_response_bytes: 100_000, ..limits() };
    let huge = get("/huge", small);
    assert!(huge.contains("body size exceeds"), "{huge}");
    assert!(get("/flood", limits()).contains("HttpResponseHeaderSectionSize"));
    let short = Limits { http_time_ms: 300, ..limits() };
    let loris = get("/loris", Limits { http_time_ms: 3_000, ..limits() });
    assert!(loris.contains("after ") && loris.contains("timeout"), "{loris}");
    assert!(get("/silent", short).contains("HttpResponseTimeout"));
    assert_eq!(get("/", limits()), "200 5");
}

#[test]
fn requests_of_a_batch_are_counted() {
    let web = Web::start();
    let few = Limits { http_requests_per_batch: 3, ..limits() };
    let config = [("url", web.url("/")), ("times", "4".to_owned())];
    let config: Vec<_> = config.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let mut client = Client::new(guests::HTTP_GET, access(&[&web.url("/")], &["localhost"]), few, &config);
    assert!(client.told().contains("ConnectionLimitReached"));
    assert_eq!((web.seen().len(), client.denials.count()), (3, 1));
}

#[test]
fn a_wait_in_the_host_ends_with_the_batch_time() {
    // Enough for what waits for nothing, however busy the machine is.
    let limits = Limits { batch_time_ms: 2_000, ..Limits::default() };
    let mut client = Client::new(guests::HTTP_STUCK, access(&["https://a.example.com"], &[]), limits, &[]);
    for position in [1, 2] {
        let handled = client.call(position, "Poison");
        assert!(
            matches!(handled.outcome, Err(HandleError::Fault { fault: Fault::Deadline, .. })),
            "{:?}",
            handled.outcome
        );
    }
    assert_eq!(client.call(3, "Good").outcome, Ok(()), "the next call is as new");
    let web = Web::start();
    let config = [("url", web.url("/silent"))];
    let config: Vec<_> = config.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let mut client = Client::new(guests::HTTP_GET, access(&[&web.url("/")], &["localhost"]), limits, &config);
    // Which of the two comes first, the exchange's time or the batch's, is not told: both end at the same moment.
    let outcome = client.call(1, "A").outcome;
    let ended = matches!(outcome, Ok(()) | Err(HandleError::Fault { fault: Fault::Deadline, .. }));
    assert!(ended, "{outcome:?}");
}

#[test]
fn a_secret_is_in_the_request_and_not_in_the_guest() {
    let web = Web::start();
    let at = web.url("/").parse().unwrap();
    let headers = vec![SecretHeader::new(at, "authorization", "Bearer s3cret").unwrap()];
    let http = HttpAccess { headers, ..access(&[&web.url("/")], &["localhost"]) };
    assert_eq!(told(&web.url("/x"), http, limits()), "200 5");
    let seen = web.seen();
    assert!(seen[0].contains("authorization: bearer s3cret"), "{seen:?}");
    assert!(!seen[0].contains("the guest's own"), "{seen:?}");
}

#[test]
fn a_component_is_loaded_when_all_that_it_asks_for_is_granted() {
    let (data, plugins) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    replace(&plugins.path().join("asks.wasm"), guests::ASKS);
    let server = Server::start(data.path(), plugins.path());
    let info = || -> Value { server.try_get("/v1/plugins/asks").unwrap_or_default() };
    let problem = |part: &str| {
        poll(part, || {
            let reason = info()["problem"]["reason"].as_str()?.to_owned();
            reason.contains(part).then_some(reason)
        })
    };
    let said = problem("asks for more than it is granted");
    for line in [
        "asks.toml, ",
        "in [grants]: append = ['Asked']",
        "in [grants]: http = ['https://api.example.com/v1/']",
        "in [config]: currency = ...",
        "in [grants.secrets]: API_KEY = {",
    ] {
        assert!(said.contains(line), "{line} is not in: {said}");
    }
    let manifest = "[grants]\nappend = [\"Asked\"]\nhttp = [\"https://api.example.com\"]\n[config]\ncurrency = \"EUR\"\n\
                    [grants.secrets]\n\
                    API_KEY = { file = \"key\", host = \"https://api.example.com\", header = \"x-key\" }\n";
    replace(&plugins.path().join("asks.toml"), manifest.as_bytes());
    let said = problem("secret API_KEY");
    assert!(said.contains("key: ") && said.contains("[grants] secrets"), "{said}");
    fs::write(plugins.path().join("key"), "s3cret\n").unwrap();
    replace(&plugins.path().join("asks.toml"), format!("{manifest}# again\n").as_bytes());
    poll("the plugin to run", || info()["generation"].as_u64());
    server.try_post("/v1/events", &json!({ "events": [{ "type": "A" }] })).unwrap();
    server.settle("asks");
    let shown = info();
    assert_eq!(shown["grants"]["secrets"], json!(["API_KEY"]));
    assert!(!shown.to_string().contains("s3cret"), "{shown}");
    // A version that asks for what is not granted does not run; the one that does loses what is granted no more.
    replace(&plugins.path().join("asks.toml"), manifest.replace("[\"Asked\"]", "[]").as_bytes());
    assert!(problem("asks for more").contains("in [grants]: append = ['Asked']"));
    let shown = info();
    assert_eq!((&shown["generation"], &shown["grants"]["append"]), (&json!(1), &json!([])), "{shown}");
}
