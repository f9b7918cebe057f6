//! Arguments, what is printed, and appending to a real server.

mod config;
mod maintenance;
mod retention;
mod streams;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;

use clap::{CommandFactory as _, Parser as _};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use super::args::{Cli, Command, EventsCommand, SourceArgs};
use super::client::{Client, Server};
use super::error::{CliError, Exit};
use super::output::Output;
use super::waiting::WaitForArgs;
use super::{append, append_lines, dead_letters, events_read, plugins, state};
use crate::api::{ApiState, InProcess, NoPlugins, serve};
use crate::clock::ManualClock;
use crate::event::{EventType, NewEvent, Position, StreamName};
use crate::gate::Incoming;
use crate::store::memory::MemoryStore;
use crate::store::{
    AppendRequest, DeadLetter, DeadLetterChange, Progress, ReadRequest, StateChange, Store, StreamDeletion, UnitOfWork,
};

/// When everything was stored.
const STORED_US: u64 = 1_700_000_000_000_000;
/// When it is read.
const NOW_US: u64 = STORED_US + 90_500_000;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

fn store() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(Arc::new(ManualClock::at(STORED_US))))
}

fn event(id: u128, event_type: &str, data: &str) -> NewEvent {
    let event = NewEvent::json(EventType::new(event_type).unwrap(), data);
    NewEvent { id: uuid::Uuid::from_u128(id), ..event.on(StreamName::new("order-1").unwrap()) }
}

/// A store with two events, and a plugin with state and a dead letter.
fn filled() -> Arc<MemoryStore> {
    let store = store();
    let png = NewEvent { content_type: Some("image/png".into()), stream: None, ..event(2, "PhotoTaken", "\u{1b}[31m") };
    let events = vec![event(1, "OrderPlaced", "{\n \"total\": 12}"), png];
    store.append(AppendRequest::unconditional(events)).wait().unwrap();
    let letter = DeadLetter {
        position: Position(1),
        key: None,
        reason: "card\nrefused".into(),
        kind: "trap".into(),
        attempts: 5,
        faults: 0,
        due_us: None,
        first_us: 1_700_000_000_000_000,
        last_us: 1_700_000_001_000_000,
        component_digest: "abc".into(),
        stderr_tail: "panicked at\nline 1".into(),
        backtrace: String::new(),
        quiet: false,
    };
    let state = [("a", &b"{\"n\": 1}"[..]), ("b", b"\xff")];
    let work = UnitOfWork {
        owner: "billing".parse().unwrap(),
        partition: 0,
        progress: Progress { revision: 1, checkpoint: Position(1), ..Progress::default() },
        state: state.map(|(key, value)| StateChange { key: key.into(), value: Some(value.into()) }).into(),
        events: Vec::new(),
        dead_letters: vec![DeadLetterChange::Put(letter)],
    };
    store.commit(work).wait().unwrap();
    store
}

/// What a command that reads prints, over a store in this process.
fn printed(store: Arc<MemoryStore>, line: &str) -> Result<String, CliError> {
    let client = Client::Directory(InProcess::new(store, Arc::new(ManualClock::at(NOW_US))).unwrap());
    let mut bytes = Vec::new();
    let mut output = Output::plain(&mut bytes);
    match parse(line).unwrap().command {
        Command::Events(EventsCommand::Read(args)) => events_read::run(&args, &client, &mut output)?,
        Command::Types(command) => super::types::run(&command, &client, &mut output)?,
        Command::Streams(command) => super::streams::run(&command, &client, &mut output)?,
        Command::Plugins(command) => plugins::run(&command, &client, &mut output)?,
        Command::DeadLetters(command) => dead_letters::run(&command, &client, &mut output)?,
        Command::Retention(command) => super::retention::run(&command, &client, &mut output)?,
        Command::State(command) => state::run(&command, &client, &mut output)?,
        other => panic!("not a read: {other:?}"),
    }
    output.flush()?;
    drop(output);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[test]
fn the_arguments_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn commands_take_what_the_help_says() {
    for line in [
        "tidemill serve --data d --plugins p --listen 127.0.0.1:0 --log-format json",
        "tidemill serve --grpc-listen 127.0.0.1:0 --data d",
        "tidemill serve --grpc-listen --data d",
        "tidemill append --type T --stream s --data 1 --tag a --tag b --meta k=v=w --expect-version no_stream",
        "tidemill append --type T --stream s --expect-version 3 --id 0199a0a0-0000-7000-8000-000000000001",
        "tidemill append --json",
        "tidemill append --type T --wait-for a,b --wait-for c --timeout-ms 100",
        "tidemill state get p k --at-least 3 --timeout-ms 10",
        "tidemill streams ls --at-least 3",
        "tidemill events read --type A --type B --stream s --after 1 --before 9 --backwards -n 3 --json --data d",
        "tidemill append --type T --condition {\"fail_if_match\":[]}",
        "tidemill events read --since 2026-01-31T12:00:00Z --until 2026-02-01T00:00:00+01:00",
        "tidemill types ls --data d --json --at-least 3",
        "tidemill events tail -n 0 --category order --server localhost:1 --at-least 3 --timeout-ms 10",
        "tidemill --server http://h:1 plugins ls",
        "tidemill plugins ls --at-least 3",
        "tidemill plugins inspect p --data d --at-least 3",
        "tidemill dead-letters show p 3 --at-least 3",
        "tidemill plugins reload p",
        "tidemill plugins reload p --installed",
        "tidemill plugin test c.wasm f.toml",
        "tidemill plugin ls",
        "tidemill keys new a --scope read --config c.toml",
        "tidemill doctor --data d --config c.toml --grpc-listen",
        "tidemill plugins replay p --from 1 --to 9 --json",
        "tidemill plugins shadow p --component c.wasm --manifest m.toml --from 1 --to 9 --json",
        "tidemill plugins promote p --force --json",
        "tidemill plugins rebuild p --verify --from 3 --state-bytes 1000000000 --json",
        "tidemill plugins rebuild p --from 3 --wait --json",
        "tidemill plugins rebuild p --force",
        "tidemill plugins rebuild p --cancel",
        "tidemill plugins rollback p --json",
        "tidemill dead-letters retry p 1 2 3",
        "tidemill dead-letters retry p --position 1",
        "tidemill dead-letters retry p --key order-1",
        "tidemill dead-letters retry p --all",
        "tidemill dead-letters discard p 1 2",
        "tidemill dead-letters discard p --key order-1",
        "tidemill dead-letters discard p --all",
        "tidemill dead-letters ls p --key order-1 --data d",
        "tidemill plugins pause p",
        "tidemill plugins resume p --server localhost:1",
        "tidemill streams ls --prefix order- --after order-1 -n 3 --json",
        "tidemill streams show order-1 --data d",
        "tidemill streams delete order-1 --expected-version 3 --id 0199a0a0-0000-7000-8000-000000000001",
        "tidemill verify --server localhost:1 --json",
        "tidemill verify --data d --repair-indexes",
        "tidemill doctor --data d --json",
        "tidemill doctor --data d --plugins p --listen 127.0.0.1:0",
        "tidemill bench append --scratch --clients 1,8 --clients 64 --seconds 0.5 --batch 10 --unconditional --json",
        "tidemill bench append --import --events 10 --grpc http://h:1 --grpc h:2 --grpc-only --yes",
        "tidemill bench read --events 5 --disk d --server h:1",
        "tidemill bench deliver --clients 1,2 --events 5 --bytes 2",
        "tidemill top --once --sort memory",
        "tidemill state scan p prefix --after k -n 1",
        "tidemill demo --orders 10 --seed 1 --keep --json",
    ] {
        parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn usage_errors_end_with_2() {
    for line in [
        "tidemill",
        "tidemill events",
        "tidemill append --stream s",
        "tidemill append --type T --expect-version 1",
        "tidemill append --type T --stream s --expect-version never",
        "tidemill append --type T --data 1 --data-base64 MQ==",
        "tidemill append --type T --meta k",
        "tidemill append --type T --id 42",
        "tidemill append --condition {}",
        "tidemill streams delete s --expected-version never",
        "tidemill verify --repair-indexes",
        "tidemill events read --stream a --category b",
        "tidemill events tail -n 5 --after 1",
        "tidemill dead-letters retry p",
        "tidemill dead-letters retry p 1 --all",
        "tidemill dead-letters retry p --key k --all",
        "tidemill dead-letters discard p",
        "tidemill dead-letters discard p 1 --all",
        "tidemill serve --listen nowhere",
        "tidemill serve --grpc-listen nowhere",
        "tidemill plugins ls --server ftp://h",
        "tidemill plugins replay p",
        "tidemill plugins shadow p",
        "tidemill plugins rebuild p --verify --wait",
        "tidemill plugins rebuild p --verify --force",
        "tidemill plugins rebuild p --cancel --from 3",
        "tidemill plugins rebuild p --state-bytes 3",
        "tidemill plugins replay p --from first",
        "tidemill demo --orders 0",
    ] {
        assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
    }
}

#[test]
fn events_are_printed_as_rows_or_as_json() {
    let rows = "       1  2023-11-14T22:13:20.000000Z  OrderPlaced           order-1@1             {  \"total\": 12}\n       \
                2  2023-11-14T22:13:20.000000Z  PhotoTaken            -                     image/png in base64: G1szMW0=\n";
    assert_eq!(printed(filled(), "tidemill events read").unwrap(), rows);
    let json = printed(filled(), "tidemill events read --json -n 1").unwrap();
    assert_eq!(
        json,
        "{\"position\":1,\"id\":\"00000000-0000-0000-0000-000000000001\",\"type\":\"OrderPlaced\",\"stream\":\"order-1\",\
         \"version\":1,\"timestamp\":\"2023-11-14T22:13:20.000000Z\",\"tags\":[],\"data\":{  \"total\": 12},\
         \"content_type\":\"application/json\",\"metadata\":{},\"schema_version\":1}\n"
    );
    assert_eq!(printed(filled(), "tidemill events read --type Nothing").unwrap(), "");
}

#[test]
fn reading_follows_the_pages_to_the_end_or_the_limit() {
    let store = store();
    let events = (1..=2500).map(|id| event(id, "T", "0")).collect();
    store.append(AppendRequest::unconditional(events)).wait().unwrap();
    let lines = |line: &str| printed(store.clone(), line).unwrap().lines().count();
    assert_eq!(lines("tidemill events read --json"), 2500);
    assert_eq!(lines("tidemill events read -n 1001"), 1001);
    assert_eq!(lines("tidemill events read -n 0"), 0);
    let last = printed(store.clone(), "tidemill events read --backwards -n 2 --json").unwrap();
    assert!(last.starts_with("{\"position\":2500,") && last.contains("\n{\"position\":2499,"), "{last}");
}

#[test]
fn reading_by_time_is_passed_on() {
    assert_eq!(
        printed(filled(), "tidemill events read --since 2023-11-14T22:13:20Z --json").unwrap().lines().count(),
        2
    );
    assert_eq!(printed(filled(), "tidemill events read --until 2023-11-14T23:13:20+01:00").unwrap(), "");
    let CliError::Failed { exit, what, .. } = printed(filled(), "tidemill events read --since noon").unwrap_err()
    else {
        panic!("not quiet")
    };
    assert_eq!(exit, Exit::Usage);
    assert!(what.contains("parameter `since` is \"noon\"; give a time"), "{what}");
}

#[test]
fn plugins_are_printed_as_a_table() {
    assert_eq!(
        printed(filled(), "tidemill plugins ls").unwrap(),
        "PLUGIN   STATE          CHECKPOINT  LAG  LAG S  HANDLED  EMITTED  FAILURES  DEAD LETTERS  WAITING  US/EVENT  \
         FUEL/EVENT  MEMORY\n\
         billing  not installed           1    1   90.5        -        -         -             1        -         -  \
         \x20        -       -\n"
    );
    assert_eq!(
        printed(filled(), "tidemill plugins inspect billing").unwrap(),
        "checkpoint: 1\ndead_letters: 1\ninstalled: false\nlag_events: 1\nlag_seconds: 90.5\nname: billing\n\
         state_size: 2 keys, 11 bytes\n"
    );
    let error = printed(filled(), "tidemill plugins inspect bling").unwrap_err();
    let what = "no plugin is called bling; `tidemill plugins ls` lists them";
    assert_eq!(error, CliError::new(Exit::NotFound, what));
}

#[test]
fn dead_letters_are_printed_with_their_evidence() {
    assert_eq!(
        printed(filled(), "tidemill dead-letters ls billing").unwrap(),
        "POSITION  KEY  KIND  ATTEMPTS  FAULTS  DUE  LAST ATTEMPT                 REASON\n       \
         1  -    trap         5       0  -    2023-11-14T22:13:21.000000Z  card refused\n"
    );
    let shown = printed(filled(), "tidemill dead-letters show billing 1").unwrap();
    assert!(shown.starts_with("event 1, set aside by billing\nreason    card refused\nkind      trap\n"), "{shown}");
    assert!(shown.contains("\n    \"type\": \"OrderPlaced\",\n"), "{shown}");
    assert!(shown.ends_with("\n\nstderr and log\n  panicked at\n  line 1\n"), "{shown}");
    let CliError::Failed { exit, what, .. } = printed(filled(), "tidemill dead-letters retry billing 1").unwrap_err()
    else {
        panic!("not quiet")
    };
    assert_eq!(exit, Exit::Unavailable);
    assert!(what.contains("plugin billing is not running; start `tidemill serve`"), "{what}");
}

#[test]
fn state_is_printed_byte_for_byte_or_as_a_table() {
    assert_eq!(printed(filled(), "tidemill state get billing a").unwrap(), "{\"n\": 1}");
    assert_eq!(printed(filled(), "tidemill state get billing b").unwrap(), "\u{fffd}");
    let json = "{\"key\":\"a\",\"value\":{\"n\": 1}}\n";
    assert_eq!(printed(filled(), "tidemill state get billing a --json").unwrap(), json);
    assert_eq!(printed(filled(), "tidemill state scan billing --json -n 1").unwrap(), json);
    let table = "KEY  VALUE\na    {\"n\": 1}\nb    in base64: /w==\n";
    assert_eq!(printed(filled(), "tidemill state scan billing").unwrap(), table);
}

/// A server on a port of its own, with a thread of its own.
struct Running {
    address: SocketAddr,
    store: Arc<MemoryStore>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start() -> Self {
        let store = store();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let state = ApiState::new(store.clone(), Arc::new(NoPlugins));
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let shutdown = async move {
                let _ = stopped.await;
            };
            runtime.block_on(async { serve(Incoming::new(listener, None), state, shutdown).await });
        });
        Self { address, store, stop: Some(stop), thread: Some(thread) }
    }

    fn client(&self) -> Server {
        Server::new(self.address.to_string().parse().unwrap())
    }

    /// Appends NDJSON; what is printed, or the error.
    fn append(&self, input: &str) -> Result<String, CliError> {
        let mut bytes = Vec::new();
        let mut output = Output::plain(&mut bytes);
        append_lines::run(input.as_bytes(), &self.client(), &WaitForArgs::default(), false, &mut output)?;
        output.flush()?;
        drop(output);
        Ok(String::from_utf8(bytes).unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

#[test]
fn lines_are_appended_in_order_and_a_bad_one_is_named() {
    let server = Running::start();
    let lines =
        |from: usize, to: usize| (from..=to).map(|n| format!("{{\"type\":\"T\",\"data\":{n}}}\n")).collect::<String>();
    assert_eq!(server.append(&lines(1, 2500)).unwrap(), "2500 events stored at positions 1 to 2500\n");
    let page = server.store.read(&ReadRequest { limit: 3000, ..ReadRequest::default() }).unwrap();
    let data: Vec<_> = page.events.iter().map(|event| String::from_utf8_lossy(&event.data).into_owned()).collect();
    assert_eq!(data, (1..=2500).map(|n| n.to_string()).collect::<Vec<_>>());

    let error = server.append(&(lines(1, 1200) + "{\"type\":\"\"}\n" + &lines(1, 5))).unwrap_err();
    let what = "line 1201: event type is empty; give it 1 to 255 bytes";
    let hint = "the 1200 events before it are stored; mend the input and send it from there";
    assert_eq!(error, CliError::usage(what).hint(hint));
    assert_eq!(server.store.head(), Position(3700));
    assert_eq!(server.append(&lines(1, 1)).unwrap(), "1 event stored at position 3701\n");
    assert_eq!(server.append("\n").unwrap(), "no events given, none stored\n");
}

#[test]
fn an_input_that_is_stored_in_part_is_completed() {
    let server = Running::start();
    let lines: Vec<_> =
        (1..=900_u128).map(|id| format!("{{\"id\":\"{}\",\"type\":\"T\"}}\n", uuid::Uuid::from_u128(id))).collect();
    server.append(&lines[..333].concat()).unwrap();
    server.append(&lines.concat()).unwrap();
    assert_eq!(server.store.head(), Position(900));
    let ids: Vec<_> =
        server.store.read(&ReadRequest::default()).unwrap().events.iter().map(|e| e.id.as_u128()).collect();
    assert_eq!(ids, (1..=900).collect::<Vec<_>>(), "in order, each once");
}

#[test]
fn what_the_server_refuses_is_told_at_the_line_of_the_input() {
    let server = Running::start();
    let id = uuid::Uuid::from_u128(7);
    server.append(&format!("{{\"id\":\"{id}\",\"type\":\"A\"}}\n")).unwrap();
    let error = server.append(&format!("{{\"type\":\"A\"}}\n\n\n{{\"id\":\"{id}\",\"type\":\"B\"}}\n")).unwrap_err();
    let CliError::Failed { exit, what, hint } = error else { panic!("not quiet") };
    assert_eq!(exit, Exit::Conflict);
    assert!(what.starts_with("line 4: ") && what.contains("is stored at position 1 with other content"), "{what}");
    assert_eq!(hint.as_deref(), Some("no event was stored"));
}

#[test]
fn one_event_is_appended_by_flags() {
    let server = Running::start();
    let run = |arguments: &[&str]| {
        let cli = Cli::try_parse_from(["tidemill", "append"].iter().chain(arguments)).unwrap();
        let Command::Append(args) = cli.command else { panic!("not an append") };
        let mut bytes = Vec::new();
        let mut output = Output::plain(&mut bytes);
        append::run(&args, &server.client(), &mut output)?;
        output.flush()?;
        drop(output);
        Ok::<_, CliError>(String::from_utf8(bytes).unwrap())
    };
    let flags = ["--type", "T", "--stream", "s-1", "--data", "{\"a\": 1.0}", "--tag", "x", "--meta", "k=v"];
    assert_eq!(run(&[&flags[..], &["--expect-version", "no_stream"]].concat()).unwrap(), "stored at position 1\n");
    let stored = server.store.read(&ReadRequest::default()).unwrap().events.remove(0);
    assert_eq!((stored.data.as_slice(), stored.tags[0].as_str()), (&b"{\"a\": 1.0}"[..], "x"));
    assert_eq!(stored.metadata["k"], "v");
    let json = run(&["--type", "P", "--data-base64", "/w==", "--content-type", "image/png", "--json"]).unwrap();
    assert!(json.starts_with("{\"first_position\":2,\"last_position\":2,\"events\":[{"), "{json}");
    let CliError::Failed { exit, .. } = run(&["--type", "T", "--stream", "s-1", "--expect-version", "5"]).unwrap_err()
    else {
        panic!("not quiet")
    };
    assert_eq!(exit, Exit::Conflict);
    let condition = |after: u64| format!(r#"{{"fail_if_match":[{{"tags":["x"]}}],"after":{after}}}"#);
    assert_eq!(run(&["--type", "T", "--condition", &condition(1)]).unwrap(), "stored at position 3\n");
    let CliError::Failed { exit, what, .. } = run(&["--type", "T", "--condition", &condition(0)]).unwrap_err() else {
        panic!("not quiet")
    };
    assert!(exit == Exit::Conflict && what.contains("the event at position 1"), "{what}");
    for bad in [["--type", "T", "--data", "hello"], ["--type", "T", "--condition", "{"]] {
        let error = run(&bad).unwrap_err();
        assert!(matches!(error, CliError::Failed { exit: Exit::Usage, hint: Some(_), .. }), "{error:?}");
    }
}

#[test]
fn a_server_that_is_not_there_is_explained() {
    // A port that was let go may be given to another test; this one is nobody's.
    let address = "127.0.0.1:1";
    let client = Client::Server(Server::new(address.parse().unwrap()));
    let Command::Plugins(command) = parse("tidemill plugins ls").unwrap().command else { panic!("plugins") };
    assert!(matches!(command.source(), SourceArgs { data: None, json: false }));
    let error = plugins::run(&command, &client, &mut Output::plain(Vec::new())).unwrap_err();
    let CliError::Failed { exit, what, hint } = error else { panic!("not quiet") };
    assert_eq!(exit, Exit::Unavailable);
    assert!(what.starts_with(&format!("no server answers at http://{address} (")), "{what}");
    assert!(hint.unwrap().contains("tidemill serve"));
}
