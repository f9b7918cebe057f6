//! How fast events come in and go out over HTTP, and what those who wait cost.
//!
//! Run by `cargo bench -p tidemill-tests --bench http`. The server and its clients are one process and talk
//! over the loopback: what the clients do is part of every figure. Every event that is counted is on stable
//! storage.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tidemill::api::{ApiState, NoPlugins, serve};
use tidemill::clock::SystemClock;
use tidemill::event::{EventType, NewEvent};
use tidemill::gate::Incoming;
use tidemill::store::embedded::{EmbeddedStore, OpenOptions};
use tidemill::store::{AppendRequest, Store};
use tidemill_tests::bench::Figures;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Beside the build, as the system's temporary directory may be memory.
const TMP: &str = env!("CARGO_TARGET_TMPDIR");
const EVENTS: usize = 500_000;
const DATA_BYTES: usize = 256;
const STREAMS: usize = 10_000;
const IDLE_CLIENTS: usize = 5_000;
const LIVE_CLIENTS: usize = 500;
const LIVE_EVENTS: usize = 20;

fn main() -> std::io::Result<()> {
    let directory = tempfile::TempDir::new_in(TMP)?;
    let options = OpenOptions::new(directory.path());
    let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(&options, Arc::new(SystemClock)).expect("a store"));
    let runtime = Runtime::new()?;
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    let address = listener.local_addr()?;
    let state = ApiState::new(Arc::clone(&store), Arc::new(NoPlugins));
    runtime.spawn(async { serve(Incoming::new(listener, None), state, std::future::pending::<()>()).await });

    println!("{EVENTS} events of {DATA_BYTES} bytes over {STREAMS} streams, a tag each\n");
    for results in ["refused", "all"] {
        let (before, took) = (Figures::now().cpu, import(address, results)?);
        print(&format!("import as lines, results={results}"), EVENTS, took, before);
    }
    let stored = usize::try_from(store.head().0).expect("a count");
    for _ in 0..2 {
        let (before, took) = (Figures::now().cpu, catch_up(address, stored)?);
        print("one subscriber catching up", stored, took, before);
    }
    let mut lags = live(address, &*store)?;
    lags.sort();
    let at = |share: usize| lags.get(lags.len() * share / 100).map_or(0.0, |lag| lag.as_secs_f64() * 1e3);
    println!(
        "{LIVE_CLIENTS} live subscribers: an event reaches one after {:.1} ms (median), {:.1} ms (99 %)",
        at(50),
        at(99)
    );
    let before = Figures::now().resident_bytes;
    let idle: Vec<_> = (0..IDLE_CLIENTS).map(|_| subscribe(address, "?type=Rare")).collect::<Result<_, _>>()?;
    let each = Figures::now().resident_bytes.saturating_sub(before) / IDLE_CLIENTS as u64 / 1024;
    println!("{} idle subscribers: {each} KiB each, both ends of the connection", idle.len());
    Ok(())
}

/// Prints a rate, and what an event cost the processor since `before`, clients included.
fn print(what: &str, events: usize, took: Duration, before: Duration) {
    let cost = Figures::now().cpu.saturating_sub(before).as_secs_f64() * 1e6 / events as f64;
    println!("{what:<33} {:>9.0} events/s, {cost:.2} us of processor time each", events as f64 / took.as_secs_f64());
}

/// Sends all events as one body; answers the time until the sum of it comes.
fn import(address: SocketAddr, results: &str) -> std::io::Result<Duration> {
    let data = "x".repeat(DATA_BYTES - 2);
    let mut body = String::new();
    for n in 0..EVENTS {
        let stream = n * 7919 % STREAMS;
        let _ = writeln!(body, r#"{{"type":"Imported","stream":"s-{stream}","tags":["t:{stream}"],"data":"{data}"}}"#);
    }
    let begin = Instant::now();
    let mut connection = TcpStream::connect(address)?;
    write!(
        connection,
        "POST /v1/events?results={results} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    )?;
    let mut sender = connection.try_clone()?;
    let sending = thread::spawn(move || sender.write_all(body.as_bytes()));
    let sum = BufReader::new(connection).lines().map_while(Result::ok).find(|line| line.contains("\"stored\":"));
    let took = begin.elapsed();
    let sum = sum.unwrap_or_default();
    assert!(sum.contains(&format!("\"stored\":{EVENTS}")), "all of them are stored: {sum}");
    sending.join().expect("the sender ends")?;
    Ok(took)
}

fn subscribe(address: SocketAddr, query: &str) -> std::io::Result<TcpStream> {
    let mut connection = TcpStream::connect(address)?;
    write!(connection, "GET /v1/events/subscribe{query} HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
    // The header comes at once.
    let mut head = [0; 12];
    connection.read_exact(&mut head)?;
    assert_eq!(&head, b"HTTP/1.1 200");
    Ok(connection)
}

/// Counts events as they come: each ends with an empty line.
fn catch_up(address: SocketAddr, events: usize) -> std::io::Result<Duration> {
    let begin = Instant::now();
    let mut connection = subscribe(address, "")?;
    let (mut buffer, mut seen, mut last) = (vec![0; 256 << 10], 0, 0);
    while seen < events {
        let read = connection.read(&mut buffer)?;
        for byte in buffer.iter().take(read).copied() {
            seen += usize::from(byte == b'\n' && last == b'\n');
            last = byte;
        }
    }
    Ok(begin.elapsed())
}

/// Appends events while many listen; answers how long each took to reach each.
fn live(address: SocketAddr, store: &dyn Store) -> std::io::Result<Vec<Duration>> {
    let begin = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..LIVE_CLIENTS {
        let reader = BufReader::new(subscribe(address, "?after=head")?);
        clients.push(thread::spawn(move || {
            let events = reader.lines().map_while(Result::ok).filter(|line| line.starts_with("id: "));
            events.take(LIVE_EVENTS).map(|_| begin.elapsed()).collect::<Vec<_>>()
        }));
    }
    let mut sent = Vec::new();
    for _ in 0..LIVE_EVENTS {
        thread::sleep(Duration::from_millis(200));
        sent.push(begin.elapsed());
        let event = NewEvent::json(EventType::new("Live").expect("a type"), "1");
        store.append(AppendRequest::unconditional(vec![event])).wait().expect("an append");
    }
    let came = clients.into_iter().flat_map(|client| client.join().expect("a client ends"));
    Ok(came.zip(sent.into_iter().cycle()).map(|(came, sent)| came.saturating_sub(sent)).collect())
}
