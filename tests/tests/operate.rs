//! A running server while its operator replaces, breaks and removes plugins under load.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;
use tidemill_plugins::{COUNTER, Example, SHOP};
use tidemill_tests::{Server, another_version, guests, install, poll, replace, tidemill};

struct Setting {
    server: Server,
    plugins: TempDir,
    _data: TempDir,
}

impl Setting {
    /// A server whose plugins directory holds what `prepare` puts there.
    fn start(prepare: impl FnOnce(&Path)) -> Self {
        let (data, plugins) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        prepare(plugins.path());
        Self { server: Server::start(data.path(), plugins.path()), plugins, _data: data }
    }

    fn append(&self, event_type: &str, count: usize) {
        let event = json!({ "type": event_type, "data": { "n": 1 } });
        let events = vec![event; count];
        self.server.try_post("/v1/events", &json!({ "events": events })).unwrap();
    }

    fn info(&self, plugin: &str) -> Value {
        self.server.try_get(&format!("/v1/plugins/{plugin}")).unwrap_or_default()
    }

    fn count(&self, plugin: &str, event_type: &str) -> Option<u64> {
        self.server.try_get(&format!("/v1/plugins/{plugin}/state/{event_type}")).ok()?["value"].as_u64()
    }

    fn wait_for_generation(&self, plugin: &str, generation: u64) {
        poll(&format!("generation {generation} of {plugin}"), || {
            (self.info(plugin)["generation"].as_u64()? >= generation).then_some(())
        });
    }

    fn wait_for_problem(&self, plugin: &str) -> String {
        poll(&format!("a problem of {plugin}"), || Some(self.info(plugin)["problem"]["reason"].as_str()?.to_owned()))
    }
}

#[test]
fn promise_8_reload_loses_nothing_and_repeats_nothing() {
    let setting = Setting::start(|plugins| install(plugins, "counter", &COUNTER));
    setting.wait_for_generation("counter", 1);
    let file = setting.plugins.path().join("counter/plugin.wasm");
    let stop = AtomicBool::new(false);
    let appended = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut appended = 0;
            while !stop.load(Ordering::Relaxed) {
                setting.append("Ticked", 10);
                appended += 10;
            }
            appended
        });
        for version in 1..=5 {
            replace(&file, &another_version(COUNTER.component, version));
            setting.wait_for_generation("counter", u64::from(version) + 1);
        }
        replace(&file, b"garbage");
        let problem = setting.wait_for_problem("counter");
        assert!(problem.contains("component"), "{problem}");
        assert_eq!(setting.info("counter")["generation"], 6, "the old version runs on");
        replace(&file, COUNTER.component);
        setting.wait_for_generation("counter", 7);
        assert_eq!(setting.info("counter")["problem"], Value::Null, "mended");
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    setting.server.settle("counter");
    assert_eq!(setting.count("counter", "Ticked"), Some(appended));
}

#[test]
fn a_removed_plugin_stops_and_goes_on_where_it_was_when_it_comes_back() {
    let setting = Setting::start(|plugins| install(plugins, "counter", &COUNTER));
    setting.append("Ticked", 10);
    setting.wait_for_generation("counter", 1);
    setting.server.settle("counter");
    fs::remove_dir_all(setting.plugins.path().join("counter")).unwrap();
    poll("the plugin to be gone", || setting.info("counter")["generation"].is_null().then_some(()));
    setting.append("Ticked", 5);
    assert_eq!(setting.count("counter", "Ticked"), Some(10), "its state is kept, and nobody counts");
    install(setting.plugins.path(), "counter", &COUNTER);
    setting.wait_for_generation("counter", 1);
    setting.server.settle("counter");
    assert_eq!(setting.count("counter", "Ticked"), Some(15));
}

#[test]
fn a_plugin_may_be_a_bare_file() {
    let setting = Setting::start(|_| {});
    setting.append("Ticked", 3);
    replace(&setting.plugins.path().join("bare.wasm"), COUNTER.component);
    setting.wait_for_generation("bare", 1);
    setting.server.settle("bare");
    assert_eq!(setting.count("bare", "Ticked"), Some(3));
}

#[test]
fn broken_plugins_are_told_and_stop_nobody() {
    let manifest = "[subscribe]\ntypes = [\"Ticked\"]\n";
    let core_module = wat::parse_str("(module)").unwrap();
    let truncated = &COUNTER.component[..COUNTER.component.len() / 2];
    let broken: [(&str, &[u8], &str, &[&str]); 7] = [
        ("garbage", b"not wasm at all", manifest, &["component"]),
        ("empty", b"", manifest, &["empty"]),
        ("core", &core_module, manifest, &["core module", "component"]),
        ("truncated", truncated, manifest, &["component"]),
        ("wants-more", guests::UNKNOWN_IMPORT, manifest, &["tidemill:plugin/"]),
        ("no-role", guests::NO_EXPORTS, manifest, &["subscriber"]),
        ("typo", COUNTER.component, "[subscribe]\ntipes = []\n", &["tipes", "types"]),
    ];
    let setting = Setting::start(|plugins| {
        install(plugins, "counter", &COUNTER);
        for (name, component, manifest, _) in broken {
            install(plugins, name, &Example { name: "", component: Box::leak(component.into()), manifest });
        }
        install(plugins, "twice", &COUNTER);
        replace(&plugins.join("twice.wasm"), COUNTER.component);
    });
    for (name, _, _, words) in broken {
        let problem = setting.wait_for_problem(name);
        assert!(words.iter().all(|word| problem.contains(word)), "{name}: {problem}");
        assert!(setting.info(name)["generation"].is_null(), "{name} does not run");
    }
    assert!(setting.wait_for_problem("twice").contains("twice.wasm"));
    setting.append("Ticked", 7);
    setting.wait_for_generation("counter", 1);
    setting.server.settle("counter");
    assert_eq!(setting.count("counter", "Ticked"), Some(7));
}

#[test]
fn promise_7_a_guest_cannot_hurt_the_host_nor_another_plugin() {
    // Only who has to reach the deadline has a short one.
    const SHORT: &str = "[delivery]\nmax_faults = 1\n[limits]\nbatch_time = \"2s\"\nmemory = \"8MiB\"\n";
    const LONG: &str = "[delivery]\nmax_faults = 1\n[limits]\nbatch_time = \"5m\"\nmemory = \"8MiB\"\n";
    let guests = [
        ("spins", guests::SPIN, SHORT, "deadline"),
        ("grows", guests::GROW, LONG, "out_of_memory"),
        ("traps", guests::TRAP, LONG, "trap"),
    ];
    let setting = Setting::start(|plugins| {
        install(plugins, "counter", &COUNTER);
        for (name, component, manifest, _) in guests {
            install(plugins, name, &Example { name, component, manifest });
        }
    });
    setting.append("Ticked", 3);
    setting.append("Poison", 1);
    for (name, _, _, kind) in guests {
        let letters = poll(&format!("a dead letter of {name}"), || {
            let page = setting.server.try_get(&format!("/v1/plugins/{name}/dead-letters")).ok()?;
            let letters = page["dead_letters"].as_array()?.clone();
            (!letters.is_empty()).then_some(letters)
        });
        assert_eq!(letters[0]["kind"], kind, "{name}: {letters:?}");
    }
    setting.server.settle("counter");
    assert_eq!(setting.count("counter", "Poison"), Some(1));
    setting.append("Ticked", 1);
    assert_eq!(setting.server.terminate(), Some(0), "and the server ends in order");
}

#[test]
fn a_failing_event_is_isolated_from_its_batch() {
    let setting = Setting::start(|_| {});
    setting.append("Ticked", 10);
    setting.append("Poison", 1);
    setting.append("Ticked", 10);
    let manifest = "[delivery]\nbatch_events_max = 100\n";
    let batches = Example { name: "", component: guests::BATCHES, manifest };
    install(setting.plugins.path(), "batches", &batches);
    setting.wait_for_generation("batches", 1);
    setting.server.settle("batches");
    let state = setting.server.get("/v1/plugins/batches/state?prefix=batch/");
    let calls: Vec<_> =
        state["entries"].as_array().unwrap().iter().map(|entry| (&entry["key"], &entry["value"])).collect();
    assert_eq!(calls, [(&json!("batch/1"), &json!(10)), (&json!("batch/12"), &json!(10))], "the prefix, and the rest");
    let letters = setting.server.get("/v1/plugins/batches/dead-letters");
    assert_eq!(letters["dead_letters"][0]["position"], 11);
    assert_eq!(setting.count("batches", "count"), Some(20));
}

#[test]
fn a_plugin_is_reloaded_by_command_and_loses_and_repeats_nothing() {
    let setting = Setting::start(|plugins| install(plugins, "counter", &COUNTER));
    setting.wait_for_generation("counter", 1);
    let run = |arguments: &[&str]| {
        let output = tidemill().args(["--server", setting.server.url()]).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for round in 2..5 {
        setting.append("Ticked", 10);
        assert_eq!(run(&["plugins", "reload", "counter"]), (Some(0), "plugin counter: reloaded\n".to_owned()));
        assert_eq!(setting.info("counter")["generation"], round);
    }
    setting.server.settle("counter");
    assert_eq!(setting.count("counter", "Ticked"), Some(30));
    replace(&setting.plugins.path().join("counter/plugin.wasm"), b"garbage");
    let (code, said) = run(&["plugins", "reload", "counter"]);
    assert!(code == Some(4) && said.contains("what ran before goes on") && said.contains("component"), "{said}");
    assert_eq!(setting.info("counter")["generation"], 4);
    let (code, said) = run(&["plugins", "reload", "countr"]);
    assert!(code == Some(3) && said.contains("did you mean `counter`?"), "{said}");
}

#[test]
fn a_broken_manifest_leaves_the_running_version_alone() {
    let setting = Setting::start(|plugins| SHOP.iter().for_each(|example| install(plugins, example.name, example)));
    setting.wait_for_generation("payment", 1);
    let manifest = setting.plugins.path().join("payment/plugin.toml");
    replace(&manifest, b"[delivery]\nmax_atempts = 3\n");
    let problem = setting.wait_for_problem("payment");
    assert!(problem.contains("max_atempts") && problem.contains("max_attempts"), "{problem}");
    assert_eq!(setting.info("payment")["generation"], 1);
    assert_eq!(setting.info("orders")["problem"], Value::Null);
}

#[test]
#[cfg(target_os = "linux")]
fn a_server_may_open_as_many_files_as_the_system_allows_it() {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};

    let data = tempfile::tempdir().unwrap();
    let mut server = Command::new("sh")
        .args(["-c", "ulimit -Sn 256 && exec \"$@\"", "sh"])
        .arg(tidemill().get_program())
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(data.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let files: Vec<_> = files.split_whitespace().take(2).collect();
    assert!(files[0] == files[1] && files[0] != "256", "soft and hard: {files:?}");
}
