//! Queries of projections, asked of a real server: what they answer and when, what they cannot do, and what they cost
//! nobody else.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;
use tidemill_plugins::{COUNTER, DASHBOARD, Example, ORDER_TOTALS};
use tidemill_tests::{Server, another_version, guests, install, openmetrics, poll, replace, tidemill};

/// A plugin that answers queries of every kind, with enough time for each on a machine that is busy.
const MANIFEST: &str =
    "[limits]\nbatch_time = \"1m\"\nquery_time = \"1m\"\nmemory = \"16MiB\"\n[config]\nversion = \"one\"\n";
/// The same, with little time for a query: for those that never end.
const HURRIED: &str = "[limits]\nbatch_time = \"1m\"\nquery_time = \"3s\"\nmemory = \"16MiB\"\n";
/// How long a query waits for a position that must come.
const LONG: &str = "timeout_ms=60000";

struct Setting {
    server: Server,
    plugins: TempDir,
    _data: TempDir,
}

/// An answer to a query.
#[derive(Debug)]
struct Asked {
    status: u16,
    content_type: String,
    checkpoint: Option<u64>,
    body: Vec<u8>,
}

impl Asked {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Status, kind and detail of a problem.
    fn problem(&self) -> (u16, String, String) {
        let problem = self.json();
        let text = |field: &str| problem[field].as_str().unwrap_or_default().to_owned();
        (self.status, text("type").trim_start_matches("urn:tidemill:problem:").to_owned(), text("detail"))
    }
}

fn queries(manifest: &'static str) -> Example {
    Example { component: guests::QUERIES, manifest, ..COUNTER }
}

impl Setting {
    fn start(prepare: impl FnOnce(&Path)) -> Self {
        let (data, plugins) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        prepare(plugins.path());
        let server = Server::start(data.path(), plugins.path());
        Self { server, plugins, _data: data }
    }

    /// A server with the plugin `asked`.
    fn queried() -> Self {
        Self::start(|plugins| install(plugins, "asked", &queries(MANIFEST)))
    }

    fn ask(&self, path: &str) -> Asked {
        self.send(path, None)
    }

    fn send(&self, path: &str, body: Option<&Value>) -> Asked {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let url = format!("{}/v1/plugins/{path}", self.server.url());
        let mut answer = match body {
            Some(body) => agent.post(url).send_json(body).unwrap(),
            None => agent.get(url).call().unwrap(),
        };
        let text = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (content_type, checkpoint) = (text("content-type").unwrap(), text("tidemill-checkpoint"));
        Asked {
            status: answer.status().as_u16(),
            content_type,
            checkpoint: checkpoint.map(|checkpoint| checkpoint.parse().unwrap()),
            body: answer.body_mut().with_config().limit(64 << 20).read_to_vec().unwrap(),
        }
    }

    /// Appends so many events; answers the position of the last.
    fn append(&self, count: usize) -> u64 {
        let events = vec![json!({ "type": "Ticked", "data": {} }); count];
        let appended = self.server.try_post("/v1/events", &json!({ "events": events })).unwrap();
        appended["last_position"].as_u64().unwrap()
    }

    fn info(&self, plugin: &str) -> Value {
        self.server.get(&format!("/v1/plugins/{plugin}"))
    }

    fn generation(&self, plugin: &str, generation: u64) {
        poll(&format!("generation {generation} of {plugin}"), || {
            (self.info(plugin)["generation"].as_u64()? >= generation).then_some(())
        });
    }
}

#[test]
fn promise_9_a_query_sees_what_was_appended_before() {
    let setting = Setting::queried();
    for round in 1..=20_u64 {
        let last = setting.append(3);
        let asked = setting.ask(&format!("asked/query/count?at_least={last}&{LONG}"));
        assert_eq!(asked.json(), json!({ "count": 3 * round, "checkpoint": last }));
        assert_eq!((asked.status, asked.checkpoint), (200, Some(last)));
        assert_eq!(asked.content_type, "application/json");
    }
    let (status, kind, detail) = setting.ask("asked/query/count?at_least=61&timeout_ms=50").problem();
    assert_eq!((status, kind.as_str()), (503, "timed-out"), "{detail}");
}

#[test]
fn what_a_plugin_says_is_what_is_told() {
    let setting = Setting::queried();
    let pairs = setting.ask("asked/query/echo/all?b=1&a=x%20y&b=&%C3%A4=%26");
    assert_eq!(pairs.json(), json!([["b", "1"], ["a", "x y"], ["b", ""], ["ä", "&"]]));
    let body = json!({ "parameters": { "at_least": ["7", true], "n": 1.50, "long": "x".repeat(60_000) } });
    let pairs = setting.send("asked/query/echo/all", Some(&body)).json();
    assert_eq!((&pairs[0], &pairs[1]), (&json!(["at_least", "7"]), &json!(["at_least", "true"])));
    assert_eq!((pairs[2][1].as_str().unwrap().len(), &pairs[3][1]), (60_000, &json!("1.5")));
    let text = setting.ask("asked/query/text");
    assert_eq!((text.content_type.as_str(), text.body.as_slice()), ("text/html; charset=utf-8", &b"<b>hi</b>"[..]));
    assert_eq!(setting.ask("asked/query/bytes").content_type, "application/octet-stream");
    for (query, status, kind, words) in [
        ("asked/query/nothing", 404, "unknown-query", "plugin asked has no query `nothing`"),
        ("asked/query/invalid", 400, "invalid-query", "parameter `n` is missing"),
        ("asked/query/failed", 502, "query-failed", "it is Sunday"),
        ("asked/query/later", 502, "query-failed", "of a later contract"),
        ("asked/query/bad-json", 503, "query-fault", "its answer is no JSON document"),
        ("asked/query/bad-type", 503, "query-fault", "content type"),
        ("nobody/query/count", 404, "not-found", "no plugin is called nobody"),
        ("asked/query/count?at_least=x", 400, "invalid-request", "at_least"),
    ] {
        let (found, slug, detail) = setting.ask(query).problem();
        assert_eq!((found, slug.as_str()), (status, kind), "{query}: {detail}");
        assert!(detail.contains(words), "{query}: {detail}");
    }
    let many: Vec<_> = (0..300).map(|number| number.to_string()).collect();
    let (status, _, detail) =
        setting.send("asked/query/echo/all", Some(&json!({ "parameters": { "n": many } }))).problem();
    assert!(status == 400 && detail.contains("300 parameters"), "{status} {detail}");
}

#[test]
fn a_query_changes_nothing() {
    let setting = Setting::queried();
    let last = setting.append(2);
    for query in ["set", "delete", "append"] {
        let (status, kind, detail) = setting.ask(&format!("asked/query/{query}?at_least={last}&{LONG}")).problem();
        assert_eq!((status, kind.as_str()), (502, "query-failed"), "{detail}");
        assert!(detail.contains("denied: ") && detail.contains("a query reads, and changes nothing"), "{detail}");
    }
    assert_eq!(setting.ask("asked/query/count").json()["count"], 2);
    assert_eq!(setting.server.get("/v1/events?limit=10")["head"], last);
    assert_eq!(setting.info("asked")["denied"], 3);
}

#[test]
fn promise_7_a_query_that_never_ends_holds_up_nobody() {
    let setting = Setting::start(|plugins| install(plugins, "asked", &queries(HURRIED)));
    let (handled, ended) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let spin = || {
            let mut problems = Vec::new();
            // No more than these, so that what goes wrong meanwhile is told.
            while problems.is_empty() || (!handled.load(Ordering::Relaxed) && problems.len() < 100) {
                problems.push(setting.ask(&format!("asked/query/spin?{LONG}")).problem());
                ended.fetch_add(1, Ordering::Relaxed);
            }
            problems
        };
        let spins: Vec<_> = (0..4).map(|_| scope.spawn(spin)).collect();
        // The plugin handles and commits all the while: not only when one query has ended and the next has not begun.
        let mut rounds = 0;
        poll("events to be handled while queries spin", || {
            let before = ended.load(Ordering::Relaxed);
            let last = setting.append(1);
            let count = setting.server.get(&format!("/v1/plugins/asked/state/count?at_least={last}&{LONG}"));
            assert!(count["value"].is_u64(), "{count}");
            rounds += u64::from(before > 0 && ended.load(Ordering::Relaxed) == before);
            (rounds > 3).then_some(())
        });
        handled.store(true, Ordering::Relaxed);
        for (status, kind, detail) in spins.into_iter().flat_map(|spin| spin.join().unwrap()) {
            assert_eq!((status, kind.as_str()), (504, "query-fault"), "{detail}");
            assert!(detail.contains("(deadline): it ran longer than 3000 ms; raise `[limits] query_time`"), "{detail}");
        }
    });
    assert_eq!(setting.info("asked")["dead_letters"], 0);
}

#[test]
fn promise_7_a_query_that_faults_costs_that_query() {
    let setting = Setting::queried();
    setting.append(1);
    setting.server.settle("asked");
    assert_eq!([1, 2].map(|_| setting.ask("asked/query/asked").json()), [1, 2], "an instance answers many");
    let trap = setting.ask("asked/query/trap");
    let (status, kind, detail) = trap.problem();
    assert_eq!((status, kind.as_str()), (503, "query-fault"));
    assert!(detail.contains("query `trap` of plugin asked ended without an answer (trap): panicked at"), "{detail}");
    let evidence = trap.json();
    assert!(evidence["stderr_tail"].as_str().unwrap().contains("about to trap"), "{evidence}");
    assert!(evidence["backtrace"].as_str().unwrap().contains("query"), "{evidence}");
    assert_eq!(setting.ask("asked/query/asked").json(), 1, "it answers on a new one");
    let (status, _, detail) = setting.ask("asked/query/grow").problem();
    assert!(status == 503 && detail.contains("(out_of_memory): out of memory: it asked for"), "{status} {detail}");
    for bytes in [(1 << 20) + 1, 12 << 20] {
        let (status, _, detail) = setting.ask(&format!("asked/query/bytes?n={bytes}")).problem();
        assert!(status == 503 && detail.contains("raise `[limits] query_answer`"), "{status} {detail}");
    }
    assert_eq!(setting.ask(&format!("asked/query/bytes?n={}", 1 << 20)).body.len(), 1 << 20);
    let info = setting.info("asked");
    assert_eq!((&info["status"]["state"], &info["dead_letters"]), (&json!("running"), &json!(0)));
    assert_eq!(info["status"]["counters"]["faults"]["trap"], 0, "{info}");
    let families = openmetrics::parse(&setting.server.try_text("/metrics").unwrap().1).unwrap();
    let samples = &families["tidemill_plugin_queries"].samples;
    let count = |result: &str| Some(samples.iter().find(|(_, labels, _)| labels["result"] == result)?.2);
    assert_eq!(["ok", "trap", "out_of_memory", "bad_reply"].map(count), [4.0, 1.0, 1.0, 2.0].map(Some));
}

#[test]
fn a_query_sees_one_moment_whatever_is_committed_meanwhile() {
    let setting = Setting::queried();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                setting.append(5);
            }
        });
        let (mut seen, mut different) = (Vec::<u64>::new(), 0_u64);
        poll("the state to move while it is asked for", || {
            let numbers = setting.ask("asked/query/twice?rounds=2000000").json();
            assert!(numbers[0] == numbers[1] && numbers[1] == numbers[2], "{numbers}");
            let now = numbers[0].as_u64().unwrap();
            different += u64::from(seen.last().is_some_and(|last| *last < now));
            assert!(seen.last().is_none_or(|last| *last <= now), "{seen:?} then {now}");
            seen.push(now);
            (seen.len() >= 60 && different > 3).then_some(())
        });
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
    });
}

#[test]
fn promise_8_queries_go_on_while_a_plugin_is_replaced() {
    let setting = Setting::queried();
    let last = setting.append(10);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = || {
            let mut versions = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let asked = setting.ask("asked/query/version");
                assert_eq!(asked.status, 200, "{:?}", asked.problem());
                versions.push(asked.json().as_str().unwrap().to_owned());
                let asked = setting.ask(&format!("asked/query/count?at_least={last}&{LONG}"));
                assert_eq!((asked.status, &asked.json()["count"]), (200, &json!(10)));
            }
            versions
        };
        let readers: Vec<_> = (0..3).map(|_| scope.spawn(reader)).collect();
        let folder = setting.plugins.path().join("asked");
        for number in 2..6_u8 {
            replace(&folder.join("plugin.wasm"), &another_version(guests::QUERIES, number));
            replace(&folder.join("plugin.toml"), MANIFEST.replace("one", &number.to_string()).as_bytes());
            poll("the next version to answer", || {
                (setting.ask("asked/query/version").json() == json!(number.to_string())).then_some(())
            });
        }
        stop.store(true, Ordering::Relaxed);
        for versions in readers.into_iter().map(|reader| reader.join().unwrap()) {
            let order = |version: &String| if version == "one" { 1 } else { version.parse().unwrap() };
            let numbers: Vec<u8> = versions.iter().map(order).collect();
            assert!(numbers.is_sorted(), "once a version has answered, none before does: {numbers:?}");
        }
    });
    assert_eq!(setting.ask("asked/query/version").json(), "5");
}

#[test]
fn queries_go_to_the_state_that_is_live_after_a_rebuild() {
    let setting = Setting::queried();
    let last = setting.append(300);
    setting.server.settle("asked");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let asked = setting.ask(&format!("asked/query/count?at_least={last}&{LONG}"));
                assert_eq!((asked.status, &asked.json()["count"]), (200, &json!(300)));
            }
        });
        for round in 1..=3 {
            setting.server.try_post("/v1/plugins/asked/rebuild?wait=true", &json!({})).unwrap();
            assert_eq!(setting.info("asked")["status"]["state_generation"], round);
        }
        stop.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    let last = setting.append(1);
    assert_eq!(setting.ask(&format!("asked/query/count?at_least={last}&{LONG}")).json()["count"], 301);
}

#[test]
fn the_role_is_told_and_what_lacks_it_is_explained() {
    let setting = Setting::start(|plugins| {
        install(plugins, "counter", &COUNTER);
        install(plugins, "dashboard", &DASHBOARD);
    });
    setting.generation("dashboard", 1);
    assert_eq!(setting.info("dashboard")["roles"], json!(["subscriber", "projection"]));
    assert_eq!(setting.info("dashboard")["description"]["queries"], json!(["summary", "top", "revenue"]));
    let (status, kind, detail) = setting.ask("counter/query/count").problem();
    assert_eq!((status, kind.as_str()), (409, "no-projection"));
    assert!(detail.contains("exports no tidemill:plugin/projection"), "{detail}");
    let (_, _, detail) = setting.ask("dashboard/query/sumary").problem();
    assert_eq!(detail, "plugin dashboard: unknown query `sumary`; did you mean `summary`?");
    let (_, _, detail) = setting.ask("dashboard/query/totals").problem();
    assert!(detail.contains("known are `summary`, `top`, `revenue`"), "{detail}");
    let component = setting.plugins.path().join("dashboard/plugin.wasm");
    let checked = tidemill().args(["plugins", "check", "--json"]).arg(component).output().unwrap();
    let checked: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(checked["roles"], json!(["subscriber", "projection"]), "{checked}");
}

#[test]
fn the_command_line_asks() {
    let setting = Setting::start(|plugins| {
        install(plugins, "dashboard", &DASHBOARD);
        install(plugins, "order-totals", &ORDER_TOTALS);
    });
    let lines = json!([{ "sku": "tea", "quantity": 2 }, { "sku": "oil", "quantity": 3 }]);
    let placed = json!({ "order": "1", "customer": "ada", "total_cents": 900, "lines": lines });
    let confirmed = json!({ "order": "1", "amount_cents": 900 });
    let events = json!([{ "type": "OrderPlaced", "data": placed }, { "type": "OrderConfirmed", "data": confirmed }]);
    let appended = setting.server.try_post("/v1/events", &json!({ "events": events })).unwrap();
    let last = appended["last_position"].to_string();
    let ask = |arguments: &[&str]| {
        let asked = tidemill().args(["--server", setting.server.url(), "query"]).args(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (asked.status.code().unwrap(), text(asked.stdout), text(asked.stderr))
    };
    let seen = ["--at-least", &last, "--timeout-ms", "60000"];
    let (code, answer, _) = ask(&[&["dashboard", "top", "limit=1"][..], &seen].concat());
    assert_eq!((code, answer.as_str()), (0, "[{\"sku\":\"oil\",\"units\":3}]\n"));
    let (code, answer, _) = ask(&[&["order-totals", "customer", "customer=ada", "--json"][..], &seen].concat());
    let customer = json!({ "customer": "ada", "orders": 1, "cents": 900, "vip": false, "standing": ["1"] });
    let expected =
        json!({ "checkpoint": last.parse::<u64>().unwrap(), "content_type": "application/json", "answer": customer });
    assert_eq!((code, serde_json::from_str::<Value>(&answer).unwrap()), (0, expected));
    for (arguments, exit, words) in [
        (&["dashboard", "sumary"][..], 3, "did you mean `summary`?"),
        (&["dashbord", "summary"], 3, "did you mean `dashboard`?"),
        (&["dashboard", "top", "limit=99"], 2, "give 1 to 10"),
        (&["dashboard", "top", "limit"], 2, "NAME=VALUE"),
        (&["dashboard", "summary", "at_least=1"], 2, "unknown parameter `at_least`"),
    ] {
        let (code, _, said) = ask(arguments);
        assert!(code == exit && said.contains(words), "{arguments:?}: {code} {said}");
    }
}
