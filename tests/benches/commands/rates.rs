//! Commands a second over HTTP: on distinct aggregates, and all on one, beside plain appends that expect a version.
//!
//! All three take turns on one server. Each client has a connection, and waits for an answer before it sends again. An
//! append has one event, like what follows from a command, and names the version that its client knows of the stream.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tidemill_plugins::ACCOUNT;
use tidemill_tests::bench::{Latencies, Table, cpu_time, micros, ratio, thousands};
use tidemill_tests::{Server, install, poll};

use crate::TMP;
use crate::wire::Connection;

/// Clients of a turn.
const CLIENTS: [usize; 3] = [1, 8, 64];
/// Streams that each client goes round; all of them together stay in memory.
const STREAMS: usize = 8;
/// How often each is measured; what is between the others counts. An odd number.
const ROUNDS: usize = 5;

/// What the clients of a turn do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    Appends,
    Distinct,
    Hot,
}

/// What came of a turn.
#[derive(Debug, Default)]
struct Turn {
    answers: u64,
    latencies: Latencies,
    length: Duration,
    /// Processor time of the server for each answer.
    cpu: Duration,
}

impl Turn {
    fn rate(&self) -> f64 {
        self.answers as f64 / self.length.as_secs_f64()
    }
}

/// A turn of each load, one after the other: what a machine does beside weighs on all of them.
struct Round {
    appends: Turn,
    distinct: Turn,
    hot: Turn,
}

/// Prints a row for each number of clients.
pub(crate) fn measure(turn: Duration) -> anyhow::Result<()> {
    let (data, plugins) = (tempfile::TempDir::new_in(TMP)?, tempfile::TempDir::new_in(TMP)?);
    install(plugins.path(), "account", &ACCOUNT);
    let server = Server::start(data.path(), plugins.path());
    poll("the account to decide", || server.get("/v1/plugins/account").get("aggregate").cloned());
    let ids = AtomicU64::new(0);
    open(&server, &ids)?;
    let title =
        "Over HTTP, one event each, durable; ratios are to appends with an expected version, by as many clients";
    let heads = [
        "clients",
        "appends/s",
        "p50 µs",
        "cpu µs",
        "commands/s",
        "p50 µs",
        "p99 µs",
        "cpu µs",
        "ratio",
        "all on one/s",
        "p50 µs",
        "ratio",
    ];
    let table = Table::begin(title, &[], &heads);
    for clients in CLIENTS {
        let rounds = (0..ROUNDS).map(|_| {
            let turn = |load| take_turn(&server, load, clients, turn, &ids);
            let [appends, distinct, hot] = [turn(Load::Appends)?, turn(Load::Distinct)?, turn(Load::Hot)?];
            Ok(Round { appends, distinct, hot })
        });
        let rounds: Vec<_> = rounds.collect::<anyhow::Result<_>>()?;
        let middle = |turn: fn(&Round) -> &Turn| median(rounds.iter().map(turn), |turn| turn.rate());
        let (appends, distinct, hot) =
            (middle(|round| &round.appends)?, middle(|round| &round.distinct)?, middle(|round| &round.hot)?);
        let to_appends = |turn: fn(&Round) -> &Turn| {
            let ratios = rounds.iter().map(|round| turn(round).rate() / round.appends.rate());
            median(ratios, |ratio| *ratio).map(|median| ratio(median, 1.0))
        };
        let p50 = |turn: &Turn| micros(turn.latencies.quantile(0.5));
        table.row(&[
            clients.to_string(),
            thousands(appends.rate()),
            p50(appends),
            micros(appends.cpu),
            thousands(distinct.rate()),
            p50(distinct),
            micros(distinct.latencies.quantile(0.99)),
            micros(distinct.cpu),
            to_appends(|round| &round.distinct)?,
            thousands(hot.rate()),
            p50(hot),
            to_appends(|round| &round.hot)?,
        ]);
    }
    Ok(())
}

/// What is between the others.
fn median<T>(all: impl Iterator<Item = T>, number: impl Fn(&T) -> f64) -> anyhow::Result<T> {
    let mut all: Vec<_> = all.collect();
    all.sort_by(|one, other| number(one).total_cmp(&number(other)));
    let middle = all.len() / 2;
    all.into_iter().nth(middle).context("there is a round")
}

/// Opens every account that a client may command.
fn open(server: &Server, ids: &AtomicU64) -> anyhow::Result<()> {
    let mut connection = Connection::to(server.url())?;
    let most = CLIENTS.iter().max().copied().unwrap_or_default();
    let distinct = (0..most).flat_map(|client| (0..STREAMS).map(move |stream| format!("{client}-{stream}")));
    for account in distinct.chain(["hot".to_owned()]) {
        let id = ids.fetch_add(1, Ordering::Relaxed);
        let body = format!(r#"{{"id":"open-{id}","type":"Open","data":{{"owner":"ada"}}}}"#);
        let status = connection.post(&format!("/v1/commands/account/{account}"), &body)?;
        anyhow::ensure!(status == 201, "account {account} is not opened: {status}");
    }
    Ok(())
}

fn take_turn(server: &Server, load: Load, clients: usize, turn: Duration, ids: &AtomicU64) -> anyhow::Result<Turn> {
    let (begin, cpu) = (Instant::now(), cpu_time(server.id()));
    let (from, until) = (begin + turn / 3, begin + turn / 3 + turn);
    thread::scope(|scope| {
        let client = |client| scope.spawn(move || run(server, load, client, (from, until), ids));
        let running: Vec<_> = (0..clients).map(client).collect();
        let mut sum = Turn { length: turn, ..Turn::default() };
        let mut sent = 0;
        for client in running {
            let (latencies, requests) = client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
            sum.answers += latencies.count();
            sum.latencies.merge(&latencies);
            sent += requests;
        }
        sum.cpu = cpu_time(server.id()).saturating_sub(cpu) / sent.max(1);
        Ok(sum)
    })
}

/// One client: how long each answer took that counts, and how many requests there were in all.
fn run(
    server: &Server,
    load: Load,
    client: usize,
    (from, until): (Instant, Instant),
    ids: &AtomicU64,
) -> anyhow::Result<(Latencies, u32)> {
    let mut connection = Connection::to(server.url())?;
    let (mut latencies, mut requests) = (Latencies::default(), 0);
    // A stream of appends is nobody else's, and begins with this turn.
    let first = ids.fetch_add(1, Ordering::Relaxed);
    let mut versions = [0_u64; STREAMS];
    for stream in (0..STREAMS).cycle() {
        let begin = Instant::now();
        if begin >= until {
            break;
        }
        let version = versions.get_mut(stream).context("a version for each stream")?;
        let id = ids.fetch_add(1, Ordering::Relaxed);
        let (path, body) = request(load, (client, stream), (first, *version), id);
        let status = connection.post(&path, &body)?;
        if status != 201 {
            anyhow::bail!("{load:?}: {status}: {}", connection.answer()?);
        }
        *version += 1;
        requests += 1;
        if begin >= from {
            latencies.add(begin.elapsed());
        }
    }
    Ok((latencies, requests))
}

fn request(load: Load, (client, stream): (usize, usize), (first, version): (u64, u64), id: u64) -> (String, String) {
    let command = format!(r#"{{"id":"c-{id}","type":"Deposit","data":{{"cents":1}}}}"#);
    match load {
        Load::Distinct => (format!("/v1/commands/account/{client}-{stream}"), command),
        Load::Hot => ("/v1/commands/account/hot".to_owned(), command),
        Load::Appends => {
            let name = format!("plain-{first}-{stream}");
            let event = format!(r#"{{"type":"MoneyDeposited","stream":"{name}","data":{{"cents":1}}}}"#);
            let expected = format!(r#"{{"stream":"{name}","version":{version}}}"#);
            ("/v1/events".to_owned(), format!(r#"{{"events":[{event}],"expected":[{expected}]}}"#))
        }
    }
}
