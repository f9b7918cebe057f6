//! Rehearsals over a registry, with components that are texts.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::clock::SystemClock;
use crate::delivery::{Effects, EventBatch, Evidence, Handled, Handler};
use crate::event::{EventType, NewEvent, Position};
use crate::plugin::{Loaded, RegistryOptions};
use crate::runtime::{Description, InstanceOptions, LoadError, LoadOptions, Role};
use crate::store::AppendRequest;
use crate::store::memory::MemoryStore;

/// A component is a text: it adds up how long the text's first word is, for each event.
struct Words;

struct Word(String);

impl Loader for Words {
    fn load(&self, component: &[u8], _: &LoadOptions) -> Result<Arc<dyn Loaded>, LoadError> {
        let text = String::from_utf8_lossy(component).into_owned();
        if text.contains("broken") {
            return Err(LoadError::NotWasm { found: text });
        }
        Ok(Arc::new(Word(text)))
    }
}

impl Loaded for Word {
    fn roles(&self) -> &[Role] {
        if self.0.contains("idle") { &[] } else { &[Role::Subscriber] }
    }

    fn description(&self) -> Option<&Description> {
        None
    }

    fn replayable(&self) -> bool {
        !self.0.contains("outside")
    }

    fn subscriber(&self, _: InstanceOptions) -> Box<dyn Handler> {
        Box::new(Word(self.0.clone()))
    }
}

impl Handler for Word {
    fn handle(&mut self, batch: EventBatch, mut effects: Effects) -> Handled {
        let word = self.0.split(' ').next().unwrap_or_default().len() as u64;
        for _ in batch.iter() {
            let sum = effects.state_get("sum").unwrap().map_or(0, |bytes| u64::from(bytes[0]));
            effects.state_set("sum", vec![u8::try_from(sum + word).unwrap()]).unwrap();
        }
        Handled { effects, outcome: Ok(()), evidence: Evidence::default() }
    }
}

struct Fixture {
    directory: tempfile::TempDir,
    rehearsals: Rehearsals,
}

fn name() -> PluginName {
    PluginName::new("it").unwrap()
}

fn put(path: &Path, bytes: &str) {
    fs::write(path.with_extension("tmp"), bytes).unwrap();
    fs::rename(path.with_extension("tmp"), path).unwrap();
}

impl Fixture {
    /// A plugin `it` of a component, bare or in a folder, that has handled five events.
    async fn of(component: &str, folder: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let plugins = directory.path().join("plugins");
        fs::create_dir_all(plugins.join("it")).unwrap();
        let path = if folder { plugins.join("it/x.wasm") } else { plugins.join("it.wasm") };
        if folder {
            put(&plugins.join("it/plugin.toml"), "component = \"x.wasm\"");
        }
        put(&path, component);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::clone(&clock)));
        let events = (0..5).map(|_| NewEvent::json(EventType::new("E").unwrap(), "1")).collect();
        store.append(AppendRequest::unconditional(events)).await.unwrap();
        let loader: Arc<dyn Loader> = Arc::new(Words);
        let (debounce, poll) = (Duration::from_millis(5), Duration::from_millis(50));
        let options =
            RegistryOptions::new(plugins.clone(), Arc::clone(&store), Arc::clone(&clock), Arc::clone(&loader));
        let archive = Some(directory.path().join("components"));
        let registry = Arc::new(Registry::start(RegistryOptions { archive, debounce, poll, ..options }));
        registry.ready().await;
        let settled = registry.dispatcher(&name()).unwrap();
        settled.watch().wait_for(|status| status.checkpoint == Position(5)).await.unwrap();
        let candidates = directory.path().join("candidates");
        let rehearsals = Rehearsals::new(RehearsalsOptions { registry, store, clock, loader, candidates, plugins });
        Self { directory, rehearsals }
    }

    async fn shadow(&self, component: &str, manifest: Option<&str>) -> Result<CandidateReport, RehearsalRefused> {
        let proposal = Proposal { component: component.into(), manifest: manifest.map(str::to_owned) };
        self.rehearsals.shadow(&name(), proposal, Asked::default())?.outcome().await
    }

    /// Every file below the plugins directory.
    fn files(&self) -> BTreeMap<String, String> {
        let plugins = self.directory.path().join("plugins");
        let folders = [plugins.clone(), plugins.join("it")];
        let entries =
            folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
        let files = entries.filter(|path| path.is_file());
        files
            .map(|path| (path.file_name().unwrap().to_string_lossy().into(), fs::read_to_string(path).unwrap()))
            .collect()
    }
}

#[tokio::test]
async fn a_candidate_takes_the_place_of_a_bare_file_or_of_one_in_a_folder() {
    for folder in [false, true] {
        let fixture = Fixture::of("abc v1", folder).await;
        let manifest = "[delivery]\nmax_attempts = 2";
        let report = fixture.shadow("xyz v2", Some(manifest)).await.unwrap();
        assert!(report.shadow.clean && report.shadow.events == 5, "{report:?}");
        assert_eq!(fixture.rehearsals.candidate(&name()).unwrap(), Some(report.clone()));
        let promoted = fixture.rehearsals.promote(&name(), false).await;
        let files = fixture.files();
        let (component, toml) = if folder { ("x.wasm", "plugin.toml") } else { ("it.wasm", "it.toml") };
        assert_eq!((files[component].as_str(), files[toml].as_str(), files.len()), ("xyz v2", manifest, 2));
        assert_eq!(promoted.unwrap().digest, report.shadow.candidate_digest);
        assert_eq!(fixture.rehearsals.candidate(&name()).unwrap(), None);
    }
}

#[tokio::test]
async fn what_differs_is_kept_but_not_promoted_unless_forced() {
    let fixture = Fixture::of("abc", false).await;
    let report = fixture.shadow("abcd", None).await.unwrap();
    assert_eq!((report.shadow.clean, report.shadow.state.count), (false, 1));
    let before = fixture.files();
    let refused = fixture.rehearsals.promote(&name(), false).await.unwrap_err();
    assert!(matches!(refused, RehearsalRefused::NotClean { state: 1, .. }), "{refused}");
    assert_eq!(fixture.files(), before);
    fixture.rehearsals.promote(&name(), true).await.unwrap();
    let refused = fixture.rehearsals.promote(&name(), true).await.unwrap_err();
    assert!(matches!(refused, RehearsalRefused::NoCandidate { .. }), "{refused}");
}

#[tokio::test]
async fn candidates_that_do_not_fit_are_refused_and_nothing_is_kept() {
    let fixture = Fixture::of("abc", true).await;
    let mut said = Vec::new();
    for (component, manifest) in [
        ("broken", None),
        ("idle", None),
        ("abc", Some("[delivery]\nmax_atempts = 2")),
        ("abc", Some("component = \"other.wasm\"")),
        ("abc outside", None),
        ("abc", Some("[grants.secrets]\nKEY = { env = \"HOME\", config = true }")),
    ] {
        said.push(crate::error::with_sources(&fixture.shadow(component, manifest).await.unwrap_err()));
    }
    assert!(said[0].starts_with("the candidate cannot be loaded: not WebAssembly"), "{}", said[0]);
    assert!(said[1].contains("plays the roles []") && said[1].contains("[\"subscriber\"]"), "{}", said[1]);
    assert!(said[2].starts_with("plugin.toml:2: unknown key \"max_atempts\""), "{}", said[2]);
    assert!(said[3].contains("names component \"other.wasm\"") && said[3].contains("x.wasm"), "{}", said[3]);
    assert!(said[4].starts_with("the candidate can send HTTP requests"), "{}", said[4]);
    assert!(said[5].contains("does not get secret KEY as the installed one does"), "{}", said[5]);
    assert_eq!(fixture.rehearsals.candidate(&name()).unwrap(), None);
    let nobody = PluginName::new("..").unwrap();
    assert!(matches!(fixture.rehearsals.promote(&nobody, true).await, Err(RehearsalRefused::NotInstalled { .. })));
    assert_eq!(fixture.rehearsals.candidate(&nobody).unwrap(), None);
}

#[tokio::test]
async fn a_candidate_that_was_compared_with_something_else_is_shadowed_again() {
    let fixture = Fixture::of("abc", false).await;
    fixture.shadow("abc v2", None).await.unwrap();
    put(&fixture.directory.path().join("plugins/it.wasm"), "abc v3");
    let looked = async {
        while fixture.rehearsals.installed(&name()).unwrap().digest() != digest_of(b"abc v3") {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), looked).await.expect("the third version is installed");
    let refused = fixture.rehearsals.promote(&name(), true).await.unwrap_err();
    assert!(matches!(refused, RehearsalRefused::OtherLive { .. }), "{refused}");
    assert_eq!(fixture.files()["it.wasm"], "abc v3");
}

#[tokio::test]
async fn a_candidate_that_was_compared_under_another_manifest_is_shadowed_again() {
    let fixture = Fixture::of("abc", false).await;
    fixture.shadow("abc v2", None).await.unwrap();
    put(&fixture.directory.path().join("plugins/it.toml"), "[delivery]\nmax_attempts = 3");
    let looked = async {
        while fixture.rehearsals.installed(&name()).unwrap().generation() < 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), looked).await.expect("the other manifest is installed");
    let refused = fixture.rehearsals.promote(&name(), true).await.unwrap_err();
    assert!(matches!(refused, RehearsalRefused::OtherManifest { .. }), "{refused}");
    assert_eq!(fixture.files()["it.wasm"], "abc");
}

#[tokio::test]
async fn a_candidate_gets_no_manifest_that_it_was_not_compared_under() {
    let fixture = Fixture::of("abc", false).await;
    let manifest = "[delivery]\nmax_attempts = 2";
    fixture.shadow("abc v2", Some(manifest)).await.unwrap();
    fixture.rehearsals.promote(&name(), false).await.unwrap();
    fixture.rehearsals.registry.roll_back(&name()).await.unwrap();
    // What runs again does so under its own manifest, and the file is that of the other.
    fixture.shadow("abc v3", None).await.unwrap();
    let before = fixture.files();
    let refused = fixture.rehearsals.promote(&name(), true).await.unwrap_err();
    assert!(matches!(refused, RehearsalRefused::OtherFile { .. }), "{refused}");
    assert!(refused.to_string().contains("it.toml says something else"), "{refused}");
    assert_eq!((&before["it.toml"], fixture.files()), (&manifest.to_owned(), before.clone()));
    let manifest = "[delivery]\nmax_attempts = 3";
    let report = fixture.shadow("abc v3", Some(manifest)).await.unwrap();
    let promoted = fixture.rehearsals.promote(&name(), false).await.unwrap();
    assert_eq!(promoted.digest, report.shadow.candidate_digest);
    assert_eq!(fixture.rehearsals.installed(&name()).unwrap().manifest().policy.max_attempts, 3);
    let files = fixture.files();
    assert_eq!((files["it.wasm"].as_str(), files["it.toml"].as_str()), ("abc v3", manifest));
}

#[tokio::test]
async fn a_candidate_that_was_rolled_back_is_promoted_though_its_files_are_in_place() {
    let fixture = Fixture::of("abc", false).await;
    fixture.shadow("abc v2", None).await.unwrap();
    let promoted = fixture.rehearsals.promote(&name(), false).await.unwrap();
    fixture.rehearsals.registry.roll_back(&name()).await.unwrap();
    assert_eq!(fixture.rehearsals.installed(&name()).unwrap().digest(), promoted.previous_digest);
    fixture.shadow("abc v2", None).await.unwrap();
    let again = fixture.rehearsals.promote(&name(), false).await.unwrap();
    assert_eq!((again.digest.as_str(), again.previous_digest), (promoted.digest.as_str(), promoted.previous_digest));
    assert_eq!(fixture.rehearsals.installed(&name()).unwrap().digest(), promoted.digest);
}

#[tokio::test]
async fn a_candidate_that_was_rolled_back_comes_to_run_though_nobody_waits_for_it() {
    let fixture = Fixture::of("abc", false).await;
    fixture.shadow("abc v2", None).await.unwrap();
    let promoted = fixture.rehearsals.promote(&name(), false).await.unwrap();
    fixture.rehearsals.registry.roll_back(&name()).await.unwrap();
    fixture.shadow("abc v2", None).await.unwrap();
    let refused = fixture.rehearsals.promote_within(&name(), false, Duration::ZERO).await.unwrap_err();
    assert!(matches!(refused, RehearsalRefused::NotYet { .. }), "{refused}");
    let runs = async {
        while fixture.rehearsals.installed(&name()).unwrap().digest() != promoted.digest {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), runs).await.expect("the candidate runs");
}

#[tokio::test]
async fn one_promotion_of_a_plugin_runs_at_a_time() {
    let fixture = Fixture::of("abc", true).await;
    fixture.shadow("abc v2", Some("[delivery]\nmax_attempts = 2")).await.unwrap();
    let plugin = name();
    let promote = || fixture.rehearsals.promote(&plugin, false);
    let (one, other) = tokio::join!(promote(), promote());
    let promoted = one.unwrap();
    assert_eq!((promoted.from, promoted.to, promoted.events), (Position(1), Position(5), 5));
    assert!(matches!(other.unwrap_err(), RehearsalRefused::Promoting { .. }));
    let refused = promote().await.unwrap_err();
    assert!(matches!(refused, RehearsalRefused::NoCandidate { .. }), "the turn is given back: {refused}");
}

#[tokio::test]
async fn what_reaches_outside_is_not_rehearsed() {
    let fixture = Fixture::of("abc outside", false).await;
    let refused = |error: RehearsalRefused| {
        assert!(error.to_string().contains("it.wasm can send HTTP requests"), "{error}");
    };
    refused(fixture.rehearsals.replay(&name(), Asked::default()).unwrap_err());
    refused(fixture.rehearsals.verify_state(&name(), Asked::default()).unwrap_err());
    refused(fixture.shadow("abc", None).await.unwrap_err());
}
