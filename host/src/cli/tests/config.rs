//! Settings: which value counts, where it comes from, and what the schema says of the file.

use std::ffi::OsString;
use std::path::Path;

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::*;
use crate::cli::config::settings_schema;
use crate::cli::layers;
use crate::config::{CONFIG_NAME, Effective, Layers, LoadError, Origin, Reload, ServeOptions, Setting};
use crate::document::schema_check::faults;

/// A data directory with this file of settings in it.
fn directory(text: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(CONFIG_NAME), text).unwrap();
    directory
}

fn arguments(data: &Path, line: &str) -> Vec<OsString> {
    let words = ["tidemill", "serve", "--data"].into_iter().map(OsString::from);
    words.chain([data.into()]).chain(line.split_whitespace().map(OsString::from)).collect()
}

fn load(data: &Path, line: &str) -> Result<(ServeOptions, Layers), String> {
    match layers::parse(&arguments(data, line)) {
        Ok((Cli { command: Command::Serve(args), .. }, Some(layers))) => Ok((args.options, layers)),
        Ok(_) => panic!("not a server's arguments"),
        Err(LoadError::Config(error)) => Err(error.to_string()),
        Err(LoadError::Arguments(error)) => panic!("{error}"),
    }
}

fn effective<'a>(layers: &'a Layers, key: &str) -> &'a Effective {
    layers.settings.iter().find(|effective| effective.setting.key() == key).unwrap()
}

/// What is wrong with a file, without its folder.
fn refused(text: &str) -> String {
    let directory = directory(text);
    let error = load(directory.path(), "").unwrap_err();
    error.replace(&format!("{}/", directory.path().display()), "")
}

fn schema() -> Json {
    serde_json::from_str(&settings_schema()).unwrap()
}

#[test]
fn a_flag_counts_before_the_file_and_the_file_before_the_default() {
    let directory = directory(
        "listen = \"127.0.0.1:4000\"\ngrpc_listen = \"127.0.0.1:4001\"\ndrain_time = 30\nplugins = \"p\"\n\
         log_format = \"json\"\nlog = \"debug\"\n[retention]\norder = \"30d,5events\"\n\"trace\" = \"7d\"\n",
    );
    let file = directory.path().join(CONFIG_NAME);
    let (options, layers) = load(directory.path(), "--listen 127.0.0.1:5000").unwrap();
    assert_eq!(options.listen.port(), 5000);
    assert_eq!((options.grpc_listen.map(|address| address.port()), options.drain_time), (Some(4001), 30));
    assert_eq!(options.plugins.as_deref(), Some(&*directory.path().join("p")), "from the file's folder");
    assert_eq!(options.retention, ["order=30d,5events", "trace=7d"].map(|policy| policy.parse().unwrap()));
    assert_eq!(layers.file.as_ref(), Some(&file));
    for (key, value, origin) in [
        ("listen", json!("127.0.0.1:5000"), Origin::Flag { name: "--listen".into() }),
        ("drain_time", json!(30), Origin::File { file: file.clone(), line: 3 }),
        ("log", json!("debug"), Origin::File { file: file.clone(), line: 6 }),
        ("log_format", json!("json"), Origin::File { file, line: 5 }),
        ("otlp_interval", json!(60), Origin::Default),
        ("otlp_endpoint", Json::Null, Origin::Default),
    ] {
        let effective = effective(&layers, key);
        assert_eq!((effective.json(), &effective.origin), (value, &origin), "{key}");
    }
    let given = load(directory.path(), "--retention order=1d").unwrap().0.retention;
    assert_eq!(given, ["order=1d".parse().unwrap()], "a flag's list stands in place of the file's");
}

#[test]
fn without_a_file_everything_is_as_the_flags_say() {
    let empty = tempfile::tempdir().unwrap();
    let (options, layers) = load(empty.path(), "").unwrap();
    assert_eq!((layers.file, options.drain_time), (None, 10));
    let missing = load(empty.path(), "--config /nowhere/t.toml").unwrap_err();
    assert_eq!(missing, "there is no file /nowhere/t.toml; --config (TIDEMILL_CONFIG) names it");
}

#[test]
fn a_file_elsewhere_names_the_data_directory() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("other.toml");
    std::fs::write(&file, "data = \"pond\"\n").unwrap();
    let words = ["tidemill", "serve", "--config"].map(OsString::from);
    let words: Vec<_> = words.into_iter().chain([file.clone().into()]).collect();
    let (cli, layers) = layers::parse(&words).unwrap();
    let Command::Serve(args) = cli.command else { panic!("serve") };
    assert_eq!(args.options.data, directory.path().join("pond"));
    assert_eq!(effective(&layers.unwrap(), "data").origin, Origin::File { file, line: 1 });
}

#[test]
fn errors_say_where_what_and_what_to_do() {
    for (text, start) in [
        ("\nlisen = \"x\"", "tidemill.toml:2: unknown key \"lisen\"; did you mean \"listen\"? known here: data, "),
        ("drain-time = 3", "tidemill.toml:1: unknown key \"drain-time\"; did you mean \"drain_time\"? known here: "),
        ("profile = \"x\"", "tidemill.toml:1: unknown key \"profile\"; "),
        ("listen = 1\n", "tidemill.toml:1: listen is the number 1; allowed is a text"),
        (
            "listen = \"nowhere\"\n",
            "tidemill.toml:1: listen is the text \"nowhere\"; allowed is ADDR (invalid socket address syntax)",
        ),
        (
            "drain_time = 301\n",
            "tidemill.toml:1: drain_time is the number 301; allowed is SECONDS (301 is not in 0..=300)",
        ),
        ("drain_time = \"3\"\n", "tidemill.toml:1: drain_time is the text \"3\"; allowed is a whole number"),
        ("log_format = \"xml\"\n", "tidemill.toml:1: log_format is the text \"xml\"; allowed is one of pretty, json"),
        (
            "log = \"tidemill=loud\"\n",
            "tidemill.toml:1: log is the text \"tidemill=loud\"; allowed is LEVEL (log level ",
        ),
        ("retention = [\"order=1d\"]\n", "tidemill.toml:1: retention is an array; allowed is a table"),
        ("[retention]\norder = \"1y\"\n", "tidemill.toml:1: retention is a table; allowed is CATEGORY=BOUNDS ("),
        ("data = \"x\"\n", "tidemill.toml:1: data is the text \"x\"; allowed is nothing here: this file was found in "),
        ("listen = \n", "tidemill.toml:1: this is not TOML: "),
    ] {
        let said = refused(text);
        assert!(said.starts_with(start), "{start:?} does not begin: {said}");
    }
}

#[test]
fn the_schema_of_settings_is_written_down() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tidemill.schema.json");
    let schema = settings_schema() + "\n";
    if std::env::var_os("TIDEMILL_WRITE_DOCS").is_some() {
        std::fs::write(path, &schema).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == schema,
        "host/docs/tidemill.schema.json is out of date: run this test with TIDEMILL_WRITE_DOCS=1"
    );
}

#[test]
fn the_schema_takes_what_the_reader_takes() {
    let schema = schema();
    for text in [
        "listen = \"127.0.0.1:0\"\nlog = \"debug\"\n[retention]\norder = \"1d\"\n",
        "lisen = \"x\"",
        "drain_time = 300",
        "drain_time = 301",
        "drain_time = \"3\"",
        "otlp_interval = 0",
        "otlp_interval = 3600",
        "log_format = \"xml\"",
        "retention = [\"order=1d\"]",
        "config = \"x\"",
    ] {
        let table: toml::Table = text.parse().unwrap();
        let faults = faults(&schema, &serde_json::to_value(table).unwrap());
        let directory = directory(text);
        let read = load(directory.path(), "");
        assert_eq!(read.is_ok(), faults.is_empty(), "{text}: {:?} {faults:?}", read.err());
    }
}

#[test]
fn every_setting_can_stand_in_the_file() {
    let cli = Cli::command();
    let settings = Setting::all(cli.find_subcommand("serve").unwrap());
    let schema = schema();
    assert_eq!(schema["properties"].as_object().unwrap().len(), settings.len());
    for setting in &settings {
        assert!(setting.variable().is_some_and(|name| name.starts_with("TIDEMILL_") || name.starts_with("OTEL_")));
        assert!(!setting.help().is_empty(), "{}", setting.key());
        if let Some(default) = schema["properties"][setting.key()].get("default").filter(|_| setting.key() != "data") {
            let directory = directory(&format!("{} = {default}", setting.key()));
            load(directory.path(), "").unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

#[test]
fn what_is_read_again_is_told_apart_from_what_needs_a_restart() {
    let directory = directory("drain_time = 5\n");
    let parsed = layers::parse(&arguments(directory.path(), "")).unwrap();
    let Command::Serve(args) = parsed.0.command else { panic!("serve") };
    let mut reload: Reload = args.options.reload.unwrap();
    let file = directory.path().join(CONFIG_NAME);
    assert!(reload.again().unwrap().1.is_empty(), "nothing has changed");
    std::fs::write(&file, "drain_time = 6\nlog = \"debug\"\n[retention]\norder = \"1d\"\n").unwrap();
    let (reread, changes) = reload.again().unwrap();
    assert_eq!((reread.log.as_str(), reread.options.retention.len()), ("debug", 1));
    let told = |changes: &[crate::config::Change]| {
        let told = changes
            .iter()
            .map(|change| format!("{}: {} to {} {}", change.key, change.from, change.to, change.is_reloaded));
        told.collect::<Vec<_>>()
    };
    let restart = "drain_time: 5 to 6 false".to_owned();
    let mut all = told(&changes);
    all.sort();
    assert_eq!(all.join("\n"), format!("{restart}\nlog: info to debug true\nretention: - to order=1d true"));
    assert_eq!(told(&reload.again().unwrap().1), [restart], "until it runs");
    std::fs::write(&file, "drain_time = 6\nlog = \"tidemill=loud\"").unwrap();
    assert!(reload.again().unwrap_err().contains("log is the text \"tidemill=loud\""));
}

#[test]
fn secrets_in_addresses_are_not_shown() {
    let directory = directory("otlp_endpoint = \"http://user:word@localhost:4318/v1?a=b@c\"\n");
    let (options, layers) = load(directory.path(), "").unwrap();
    assert!(options.otlp_endpoint.unwrap().contains("user:word"));
    let endpoint = effective(&layers, "otlp_endpoint");
    assert_eq!(endpoint.shown(), "http://(secret)@localhost:4318/v1?a=b@c");
    assert_eq!(endpoint.json(), "http://(secret)@localhost:4318/v1?a=b@c");
}

/// Every command that does something, with its words.
fn leaves(command: &clap::Command, words: &str, found: &mut Vec<(String, String)>) {
    if command.is_hide_set() || command.get_name() == "help" {
        return;
    }
    if command.has_subcommands() {
        command.get_subcommands().for_each(|below| leaves(below, &format!("{words} {}", below.get_name()), found));
    } else {
        found.push((words.to_owned(), command.get_after_help().map(ToString::to_string).unwrap_or_default()));
    }
}

#[test]
fn every_command_has_an_example_that_it_understands() {
    let mut found = Vec::new();
    leaves(&Cli::command(), "tidemill", &mut found);
    assert!(found.len() > 30, "{found:?}");
    for (words, help) in found {
        let examples: Vec<_> = help.lines().filter(|line| line.trim_start().starts_with(&words)).collect();
        assert!(!examples.is_empty(), "`{words} --help` shows no example of it");
        for example in examples {
            // Up to the explanation, or what a shell would take over.
            let line = example.trim().split("  ").next().unwrap_or_default();
            let line = line.split([' ']).take_while(|word| !["|", ">", "<", "&&", "#"].contains(word));
            let line: Vec<_> = line.map(|word| word.trim_matches('\'')).collect();
            let quoted = example.matches(['\'', '"']).count() > 0;
            if !quoted {
                Cli::try_parse_from(&line).unwrap_or_else(|error| panic!("{example}: {error}"));
            }
        }
    }
}

#[test]
fn every_shell_gets_its_completions_and_every_command_its_page() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let Command::Completions(args) = parse(&format!("tidemill completions {shell}")).unwrap().command else {
            panic!("completions")
        };
        let mut bytes = Vec::new();
        let mut output = Output::plain(&mut bytes);
        crate::cli::completions::completions(&args, &mut output).unwrap();
        output.flush().unwrap();
        drop(output);
        let script = String::from_utf8(bytes).unwrap();
        assert!(script.contains("dead-letters") && script.contains("grpc-listen"), "{shell}");
    }
    let pages = tempfile::tempdir().unwrap();
    let Command::Man(args) = parse(&format!("tidemill man --dir {}", pages.path().display())).unwrap().command else {
        panic!("man")
    };
    crate::cli::completions::man(&args, &mut Output::plain(Vec::new())).unwrap();
    for (page, words) in
        [("tidemill.1", "dead\\-letters"), ("tidemill-plugins-ls.1", "json"), ("tidemill-serve.1", "drain\\-time")]
    {
        let text = std::fs::read_to_string(pages.path().join(page)).unwrap();
        assert!(text.starts_with(".ie") && text.contains(".SH NAME") && text.contains(words), "{page}: {text}");
    }
    assert!(!pages.path().join("tidemill-compile-component.1").exists());
}
