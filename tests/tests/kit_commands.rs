//! `tidemill plugins test` of components that decide commands, or hold them against rules, by the real binary.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tidemill::kit::Kit;
use tidemill_plugins::ACCOUNT;
use tidemill_tests::{guests, tidemill};

/// A folder with a component that decides, and a fixture.
struct Folder(TempDir);

impl Folder {
    fn of(component: &[u8], manifest: &str, fixture: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::write(folder.path("plugin.wasm"), component).unwrap();
        fs::write(folder.path("plugin.toml"), manifest).unwrap();
        fs::write(folder.path("fixture.yaml"), fixture).unwrap();
        folder
    }

    fn account(fixture: &str) -> Self {
        Self::of(ACCOUNT.component, ACCOUNT.manifest, fixture)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Exit code, and what was said.
    fn test(&self, fixtures: &Path, options: &[&str]) -> (Option<i32>, String) {
        let mut command = tidemill();
        command.args(["plugins", "test"]).arg(self.path("plugin.wasm")).arg(fixtures).args(options);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }

    fn own(&self, options: &[&str]) -> (Option<i32>, String) {
        self.test(&self.path("fixture.yaml"), options)
    }
}

#[test]
fn an_account_passes_its_fixtures_also_from_snapshots_and_from_events() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("plugins/account/fixtures");
    let folder = Folder::account("");
    for options in [&[][..], &["--twice"], &["--crash"]] {
        let (exit, said) = folder.test(&fixtures, options);
        assert_eq!(exit, Some(0), "{options:?}: {said}");
        assert_eq!(said.lines().filter(|line| line.starts_with("ok ")).count(), 4, "{options:?}: {said}");
    }
}

#[test]
fn what_is_decided_otherwise_is_shown() {
    let folder = Folder::account(
        "when: [{ command: Open, data: { owner: ada } }, { command: Withdraw, data: { cents: 1 } }]\n\
         then:\n  outcomes: [{ events: [] }, { rejection: NotOpen }]\n  state: { owner: bob }\n",
    );
    let (exit, said) = folder.own(&[]);
    assert_eq!(exit, Some(1), "{said}");
    for words in ["outcome 0", "AccountOpened", "outcome 1", "InsufficientFunds", "only 0 cents", "state \"owner\""] {
        assert!(said.contains(words), "{words} in: {said}");
    }
}

#[test]
fn blessing_writes_the_outcomes_down() {
    let folder = Folder::account("when: [{ command: Open, data: { owner: ada } }, { command: Close, id: again }]\n");
    assert_eq!(folder.own(&[]).0, Some(2), "it expects nothing");
    assert_eq!(folder.own(&["--bless"]).0, Some(0));
    let blessed = fs::read_to_string(folder.path("fixture.yaml")).unwrap();
    assert!(blessed.contains("AccountClosed") && blessed.contains("closed: true"), "{blessed}");
    assert_eq!(folder.own(&[]).0, Some(0), "{blessed}");
}

#[test]
fn what_is_no_fixture_of_commands_is_refused_with_the_reason() {
    for (fixture, words) in [
        ("when: [{ type: Open }]\nthen: { outcomes: [{ events: [] }] }\n", "command 0 of `when`: `command` is missing"),
        ("when: [{ command: Open, dta: 1 }]\nthen: { outcomes: [{ events: [] }] }\n", "`dta`"),
        ("when: [{ command: Open }]\nthen: { outcomes: [{}] }\n", "outcome 0 of `then`: say one of"),
        ("when: [{ command: Open }]\nthen: { outcomes: [{ rejection: A, events: [] }] }\n", "say one of"),
        ("when: [{ command: Open }]\nthen: { outcomes: [{ rejecton: A }] }\n", "did you mean `rejection`?"),
        ("given: { state: { a: 1 } }\nwhen: [{ command: Open }]\nthen: { state: {} }\n", "say `given.events`"),
    ] {
        let (exit, said) = Folder::account(fixture).own(&[]);
        assert!(exit == Some(2) && said.contains(words), "{exit:?} {words} in: {said}");
    }
}

#[test]
fn faults_and_grants_are_outcomes_too() {
    let manifest =
        "[aggregate]\ncategory = \"number\"\n[limits]\nbatch_time = \"1s\"\n[grants]\nappend = [\"Added\"]\n";
    let fixture = "when: [{ command: Add }, { command: Trap, id: Trap }, { command: Spin }, { command: Denied }, { command: Add }]\n\
                   then:\n  outcomes:\n    - events: [{ type: Added, data: 1 }]\n    - { error: trap, reason: [it does not like Trap] }\n    \
                   - { error: deadline }\n    - { error: denied, reason: [Stolen] }\n    - events: [{ type: Added, data: 1 }]\n";
    let folder = Folder::of(guests::AGGREGATE_CASES, manifest, fixture);
    let (exit, said) = folder.own(&[]);
    assert_eq!(exit, Some(0), "{said}");
}

#[test]
fn what_a_snapshot_does_not_hold_is_found_out() {
    // Its snapshots are none any more after a `Broken`.
    let manifest = "[aggregate]\ncategory = \"number\"\n[grants]\nappend = [\"Added\", \"Broken\"]\n";
    let fixture = "when: [{ command: Add }, { command: Break }, { command: Add }]\nthen: { outcomes: [] }\n";
    let folder = Folder::of(guests::AGGREGATE_CASES, manifest, fixture);
    assert_eq!(folder.own(&["--bless"]).0, Some(0));
    assert_eq!(folder.own(&["--crash"]).0, Some(0));
    let (exit, said) = folder.own(&["--twice"]);
    assert!(exit == Some(1) && said.contains("its snapshot does not load"), "{said}");
}

#[test]
fn a_decision_that_changes_the_state_is_found_out() {
    let manifest = "[aggregate]\ncategory = \"number\"\n[grants]\nappend = [\"Added\"]\n";
    let fixture = "when: [{ command: Add }, { command: Sly }]\nthen: { outcomes: [] }\n";
    let folder = Folder::of(guests::AGGREGATE_CASES, manifest, fixture);
    assert_eq!(folder.own(&["--bless"]).0, Some(0));
    let (exit, said) = folder.own(&["--twice"]);
    assert!(exit == Some(1) && said.contains("outcome 1") && said.contains("deciding changes its state"), "{said}");
}

#[test]
fn a_state_that_cannot_be_had_and_faults_are_found_out_though_only_the_state_is_expected() {
    let manifest = "[aggregate]\ncategory = \"number\"\n[grants]\nappend = [\"Added\", \"Broken\"]\n";
    let of = |given: &str, when: &str| {
        let fixture = format!("given: {{ events: [{given}] }}\nwhen: [{when}]\nthen: {{ state: {{}} }}\n");
        Folder::of(guests::AGGREGATE_CASES, manifest, &fixture).own(&[])
    };
    let (exit, said) = of("", "{ command: Trap, id: Trap }");
    assert!(exit == Some(1) && said.contains("outcome 0") && said.contains("it does not like Trap"), "{said}");
    let (exit, said) = of("{ type: Strange, data: 1 }", "{ command: Add }");
    assert!(exit == Some(1) && said.contains("state, which cannot be had: "), "{said}");
    assert!(said.contains("Strange is not known"), "{said}");
}

#[test]
fn what_the_last_command_decided_is_taken_in_whatever_is_expected() {
    let manifest = "[aggregate]\ncategory = \"number\"\n[grants]\nappend = [\"Stolen\"]\n";
    let fixture = "when: [{ command: Denied }]\nthen: { outcomes: [{ events: [{ type: Stolen, data: 1 }] }] }\n";
    let (exit, said) = Folder::of(guests::AGGREGATE_CASES, manifest, fixture).own(&[]);
    assert!(exit == Some(1) && said.contains("state, which cannot be had: ") && said.contains("Stolen"), "{said}");
}

/// Commands at and above a limit, one that is for nobody, and one on which the validator ends.
const LIMITED: &str = "\
config: { cents_max: 100 }
when:
  - { aggregate: account, command: Withdraw, data: { cents: 100 } }
  - { aggregate: account, key: '7', command: Withdraw, data: { cents: 101 } }
  - { aggregate: account, command: Withdraw, data: { do: trap } }
then:
  outcomes:
    - errors: []
    - errors: [{ pointer: /cents, code: too-large, message: [above 100] }]
    - { error: trap, reason: [no way to check this] }
";

#[test]
fn a_validator_is_asked_about_each_command() {
    let manifest = "commands = [\"account:*\"]\n[config]\ncents_max = 5\n";
    let folder = Folder::of(guests::VALIDATOR, manifest, LIMITED);
    for options in [&[][..], &["--twice"], &["--crash"]] {
        let (exit, said) = folder.own(options);
        assert_eq!(exit, Some(0), "{options:?}: {said}");
    }
    Kit::open(folder.path("plugin.wasm"), folder.path("plugin.toml"))
        .unwrap()
        .check(folder.path("fixture.yaml"))
        .unwrap();
    // Without settings of its own, those of the manifest hold.
    fs::write(folder.path("fixture.yaml"), LIMITED.replace("cents_max: 100", "other: 1")).unwrap();
    let (exit, said) = folder.own(&[]);
    assert!(exit == Some(1) && said.contains("outcome 0") && said.contains("100 is above 5"), "{said}");
    assert_eq!(folder.own(&["--bless"]).0, Some(0));
    assert!(fs::read_to_string(folder.path("fixture.yaml")).unwrap().contains("pointer: /cents"));
    assert_eq!(folder.own(&[]).0, Some(0));
}

#[test]
fn what_is_no_fixture_of_a_validator_is_refused_with_the_reason() {
    let of = |fixture: &str| Folder::of(guests::VALIDATOR, "", fixture).own(&[]);
    let then = "then: { outcomes: [{ errors: [] }] }\n";
    for (when, words) in [
        ("[{ command: A }]", "command 0 of `when`: `aggregate` is missing"),
        ("[{ aggregate: account }]", "command 0 of `when`: `command` is missing"),
        ("[{ aggregate: 7, command: A }]", "`aggregate` is 7"),
        ("[{ aggregate: account, command: A, dta: 1 }]", "`dta`"),
    ] {
        let (exit, said) = of(&format!("when: {when}\n{then}"));
        assert!(exit == Some(2) && said.contains(words), "{words} in: {said}");
    }
    let when = "when: [{ aggregate: account, command: A }]\n";
    let (exit, said) = of(&format!("given: {{ events: [{{ type: A }}] }}\n{when}{then}"));
    assert!(exit == Some(2) && said.contains("`given` is not of a validator"), "{said}");
    let (exit, said) = of(&format!("{when}then: {{ state: {{}} }}\n"));
    assert!(exit == Some(2) && said.contains("`then.state` is not of a validator"), "{said}");
    let (exit, said) = of(&format!("{when}then: {{ outcomes: [{{ errors: [], rejection: A }}] }}\n"));
    assert!(exit == Some(2) && said.contains("say one of"), "{said}");
}
