use super::*;
use crate::delivery::Permit;
use crate::plugin::SecretSource;

fn parse(text: &str) -> Result<Manifest, ManifestError> {
    Manifest::parse("plugin.toml", text)
}

fn error(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

#[test]
fn the_default_file_says_what_the_defaults_are() {
    assert_eq!(parse(DEFAULT_MANIFEST).unwrap(), Manifest::default());
    assert_eq!(parse("").unwrap(), Manifest::default());
    // A value that reads as the default must stand there, not be left out.
    let file: toml::Table = DEFAULT_MANIFEST.parse().unwrap();
    for (table, known) in [("delivery", &keys::DELIVERY), ("limits", &keys::LIMITS), ("grants", &keys::GRANTS)] {
        // `delivery.key` and `limits.fuel` have no default.
        for key in known.keys.iter().filter(|key| !["key", "fuel"].contains(key)) {
            assert!(file[table].get(*key).is_some(), "[{table}] {key} is not in default.toml");
        }
    }
    for key in keys::BACKOFF.keys {
        assert!(file["delivery"]["backoff"].get(*key).is_some(), "{key} is not in default.toml");
    }
}

fn is_assignment(line: &str) -> bool {
    line.split_once(" = ").is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
}

#[test]
fn the_default_file_shows_every_key() {
    let uncommented: String = DEFAULT_MANIFEST
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|rest| is_assignment(rest)).unwrap_or(line))
        .flat_map(|line| [line, "\n"])
        .collect();
    let manifest = parse(&uncommented).unwrap();
    assert_eq!(manifest.component.as_deref(), Some("plugin.wasm"));
    assert!(manifest.subscribe.types.is_some() && manifest.subscribe.streams.is_some());
    assert!(manifest.subscribe.tags.is_some());
    assert!(manifest.policy.key.is_some() && manifest.limits.fuel.is_some());
    assert_eq!(manifest.config["currency"], "EUR");
}

#[test]
fn everything_said_is_read() {
    let manifest = parse(
        r#"
        component = "p.wasm"
        [subscribe]
        types = ["OrderPlaced"]
        tags = ["a:b"]
        streams = []
        start = "end"
        [delivery]
        key = "tag:order:"
        key_missing = "alone"
        partitions = 4
        max_faults = 2
        parked_events_max = 7
        batch_events_max = 0x10
        max_attempts = 3
        backoff = { initial = "1s", max = "2m", jitter = false }
        on_exhausted = "halt"
        [limits]
        memory = "1MiB"
        batch_time = "250ms"
        query_time = "2s"
        query_answer = "2MiB"
        fuel = 5_000
        causation_depth = 9
        causation_events = 99
        state = "3MiB"
        log_bytes_per_batch = "0B"
        [grants]
        append = ["Stock*"]
        "#,
    )
    .unwrap();
    assert_eq!(manifest.component.as_deref(), Some("p.wasm"));
    assert_eq!(manifest.subscribe.types, Some(vec![Pattern::new("OrderPlaced").unwrap()]));
    assert_eq!(manifest.subscribe.tags, Some(vec![Tag::new("a:b").unwrap()]));
    assert_eq!(manifest.subscribe.streams, Some(vec![]));
    assert_eq!(manifest.subscribe.start, Start::End);
    let backoff = Backoff { initial_ms: 1_000, max_ms: 120_000, jitter: false };
    let policy = Policy {
        key: Some(Key::Tag("order:".into())),
        key_missing: KeyMissing::Alone,
        partitions: 4,
        batch_events_max: 16,
        max_attempts: 3,
        max_faults: 2,
        backoff,
        on_exhausted: OnExhausted::Halt,
        parked_events_max: 7,
        causation_depth_max: 9,
        causation_events_max: 99,
        state_bytes_max: 3 << 20,
        dispatch: Permit::default(),
    };
    assert_eq!(manifest.policy, policy);
    let limits = Limits {
        memory_bytes: 1 << 20,
        batch_time_ms: 250,
        query_time_ms: 2_000,
        query_answer_bytes: 2 << 20,
        fuel: Some(5_000),
        log_bytes_per_batch: 0,
        ..Limits::default()
    };
    assert_eq!(manifest.limits, limits);
    assert_eq!(manifest.grants.append, vec![Pattern::new("Stock*").unwrap()]);
}

#[test]
fn starts_are_words_positions_and_times() {
    let start = |text: &str| parse(&format!("[subscribe]\nstart = {text}")).unwrap().subscribe.start;
    assert_eq!(start("\"beginning\""), Start::Beginning);
    assert_eq!(start("17"), Start::After(Position(17)));
    assert_eq!(start("\"1970-01-01T00:00:01Z\""), Start::Time(1_000_000));
    assert_eq!(start("1970-01-01T01:00:01.000002+01:00"), Start::Time(1_000_002));
}

#[test]
fn config_is_text_as_it_is_and_the_rest_as_json() {
    let manifest = parse(
        "[config]\ntext = \"a\\nb\"\nnumber = 0x1f\nratio = 0.5\nflag = true\nday = 2026-01-31\n\
         list = [1, \"x\", 2026-01-31]\n[config.table]\nk = { deep = [] }",
    )
    .unwrap();
    let expected = [
        ("day", "2026-01-31"),
        ("flag", "true"),
        ("list", r#"[1,"x","2026-01-31"]"#),
        ("number", "31"),
        ("ratio", "0.5"),
        ("table", r#"{"k":{"deep":[]}}"#),
        ("text", "a\nb"),
    ];
    assert_eq!(manifest.config.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
}

#[test]
fn one_end_of_the_backoff_moves_the_default_of_the_other() {
    let backoff = |text: &str| parse(&format!("[delivery]\nbackoff = {{ {text} }}")).unwrap().policy.backoff;
    assert_eq!(backoff("initial = \"1m\""), Backoff { initial_ms: 60_000, max_ms: 60_000, jitter: true });
    assert_eq!(backoff("max = \"10ms\""), Backoff { initial_ms: 10, max_ms: 10, jitter: true });
}

#[test]
fn errors_say_where_what_and_what_to_do() {
    let table = [
        (
            "\n[delivery]\nmax_atempts = 3",
            "plugin.toml:3: unknown key \"max_atempts\" in [delivery]; did you mean \"max_attempts\"? \
             known here: key, key_missing, partitions, batch_events_max, max_attempts, max_faults, backoff, \
             on_exhausted, parked_events_max, rebuild",
        ),
        (
            "[subscribed]",
            "plugin.toml:1: unknown table [subscribed]; did you mean \"subscribe\"? \
             known here: component, unstable, subscribe, delivery, aggregate, limits, grants, config",
        ),
        ("types = []", "plugin.toml:1: unknown key \"types\"; \"types\" belongs in [subscribe]"),
        (
            "[subscribe]\nwhatever = 1",
            "plugin.toml:2: unknown key \"whatever\" in [subscribe]; known here: types, tags, streams, start",
        ),
        (
            "[delivery]\nbackoff = { intial = \"1s\" }",
            "plugin.toml:2: unknown key \"intial\" in [delivery.backoff]; did you mean \"initial\"? \
             known here: initial, max, jitter",
        ),
        (
            "[delivery]\npartitions = 65",
            "plugin.toml:2: [delivery] partitions is the number 65; allowed is a whole number from 1 to 64",
        ),
        (
            "[delivery]\nkey = \"tag:\"",
            "plugin.toml:2: [delivery] key is the text \"tag:\"; allowed is \"stream\", \
             \"tag:PREFIX\" (the first tag that begins so), \"metadata:NAME\" or \"correlation_id\"",
        ),
        (
            "[grants]\npublish = []",
            "plugin.toml:2: key \"publish\" in [grants] is not supported by this release; \
             remove it, or use a newer tidemill",
        ),
        (
            "[subscribe]\ntypes = \"OrderPlaced\"",
            "plugin.toml:2: [subscribe] types is the text \"OrderPlaced\"; \
             allowed is an array of texts, such as [\"OrderPlaced\"]",
        ),
        (
            "[subscribe]\ntags = [\n  \"a\",\n  \"\",\n]",
            "plugin.toml:4: [subscribe] tags[1] is the text \"\"; \
             allowed is a name (tag is empty; give it 1 to 255 bytes)",
        ),
        ("[grants]\nappend = [1]", "plugin.toml:2: [grants] append[0] is the number 1; allowed is a text"),
        (
            "[subscribe]\nstart = \"yesterday\"",
            "plugin.toml:2: [subscribe] start is the text \"yesterday\"; allowed is \"beginning\", \"end\", a position \
             (a whole number; it begins strictly after it), or a time since 1970 such as \"2026-01-31T12:00:00Z\"",
        ),
        (
            "[delivery]\nbatch_events_max = 0",
            "plugin.toml:2: [delivery] batch_events_max is the number 0; allowed is a whole number from 1 to 10000",
        ),
        (
            "[delivery]\nmax_attempts = 99999999999999999999",
            "plugin.toml:2: [delivery] max_attempts is the number 99999999999999999999; \
             allowed is a whole number from 1 to 1000000",
        ),
        ("[delivery]\nbackoff = \"1s\"", "plugin.toml:2: [delivery] backoff is the text \"1s\"; allowed is a table"),
        (
            "[delivery]\nbackoff = { initial = \"2s\", max = \"1s\" }",
            "plugin.toml:2: [delivery] backoff.max is the text \"1s\"; allowed is at least `initial`, which is \"2s\"",
        ),
        (
            "[delivery]\nbackoff = { jitter = 1 }",
            "plugin.toml:2: [delivery] backoff.jitter is the number 1; allowed is true or false",
        ),
        (
            "[delivery]\non_exhausted = \"skip\"",
            "plugin.toml:2: [delivery] on_exhausted is the text \"skip\"; \
             allowed is \"park\" (set the event aside and go on) or \"halt\" (stop before it)",
        ),
        (
            "[limits]\nmemory = \"64MB\"",
            "plugin.toml:2: [limits] memory is the text \"64MB\"; allowed is a size from 64KiB to 4GiB, \
             as text with B, KiB, MiB or GiB, such as \"64MiB\"",
        ),
        (
            "[limits]\nbatch_time = 5",
            "plugin.toml:2: [limits] batch_time is the number 5; allowed is a duration from 10ms to 10m, \
             as text with ms, s, m or h, such as \"500ms\"",
        ),
        ("limits = 3", "plugin.toml:1: limits is the number 3; allowed is a table"),
        (
            "component = \"../other.wasm\"",
            "plugin.toml:1: component is the text \"../other.wasm\"; \
             allowed is the name of a file in the plugin's folder, such as \"plugin.wasm\"",
        ),
        (
            "[config]\nrate = nan",
            "plugin.toml:2: [config] rate is the number nan; allowed is text, true or false, \
             a number that JSON can hold, a date, or arrays and tables of these",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(error(text), expected, "for {text:?}");
    }
}

#[test]
fn what_is_not_toml_is_said_with_its_line() {
    let text = error("[subscribe]\ntypes = [\"a\"\n[delivery]\n");
    assert!(text.starts_with("plugin.toml:") && text.contains("this is not TOML: "), "{text}");
    assert!(error("a = 1\na = 2").starts_with("plugin.toml:2: this is not TOML: duplicate key"));
}

#[test]
fn the_first_unknown_key_of_the_file_is_named() {
    assert!(error("[zebra]\n[ant]").contains("[zebra]"));
}

#[test]
fn no_text_makes_the_reader_panic() {
    use proptest::prelude::*;
    proptest!(|(text in "\\PC{0,80}", key in "[a-z_.]{1,12}", value in "[-0-9a-z\"\\[\\]{}=:, ]{0,24}")| {
        let _ = parse(&text);
        let _ = parse(&format!("[delivery]\n{key} = {value}"));
    });
}

#[test]
fn grants_are_read() {
    let manifest = parse(
        r#"
        [grants]
        read = ["Order*"]
        http = ["https://api.example.com/v1/", "http://localhost:8080"]
        http_private = ["localhost", "10.0.0.0/8"]
        config = ["currency"]
        [grants.secrets]
        KEY = { env = "API_KEY", host = "https://api.example.com/v1/", header = "Authorization", prefix = "Bearer " }
        salt = { file = "salt.txt", config = true }
        [config]
        currency = "EUR"
        other = 1
        [limits]
        http_requests_per_batch = 7
        http_request_body = "1KiB"
        http_response_body = "2KiB"
        http_time = "3s"
        "#,
    )
    .unwrap();
    let grants = &manifest.grants;
    assert_eq!(grants.read, [Pattern::new("Order*").unwrap()]);
    assert_eq!((grants.http.len(), grants.http_private.len()), (2, 2));
    assert!(grants.config.allows("currency") && !grants.config.allows("other"));
    let key = &grants.secrets["KEY"];
    assert_eq!(key.source, SecretSource::Environment("API_KEY".into()));
    assert_eq!(key.header.as_ref().map(|header| header.prefix.as_str()), Some("Bearer "));
    assert!(grants.secrets["salt"].config && grants.secrets["salt"].header.is_none());
    let limits = &manifest.limits;
    assert_eq!((limits.http_requests_per_batch, limits.http_time_ms), (7, 3_000));
    assert_eq!((limits.http_request_bytes, limits.http_response_bytes), (1 << 10, 2 << 10));
    assert!(!parse("[grants]\nconfig = false\n[config]\na = 1").unwrap().grants.config.allows("a"));
}

#[test]
fn grants_that_name_nothing_are_refused_with_the_way_out() {
    let http = "[grants]\nhttp = [\"https://a.example.com\"]\n[grants.secrets]\n";
    let table = [
        ("[grants]\nhttp = [\"api.example.com\"]".to_owned(), "[grants] http[0] is the text \"api.example.com\""),
        ("[grants]\nhttp = [\"api.example.com\"]".to_owned(), "begin with https:// or http://"),
        ("[grants]\nhttp = [\"https://*\"]".to_owned(), "https://*.example.com"),
        ("[grants]\nhttp_private = [\"localhost\"]".to_owned(), "allowed is empty while [grants] http is"),
        ("[grants]\nhttp = [\"http://a.b\"]\nhttp_private = [\"intranet\"]".to_owned(), "\"10.0.0.0/8\""),
        ("[grants]\nread = []".to_owned(), "[\"*\"]"),
        ("[grants]\nconfig = [\"curency\"]\n[config]\ncurrency = 1".to_owned(), "[config] has no key \"curency\""),
        ("[grants]\nconfig = 1".to_owned(), "true (every key of [config])"),
        ("[grants.secrets]\nK = { env = \"K\" }".to_owned(), "`config = true`"),
        ("[grants.secrets]\nK = { config = true }".to_owned(), "`env = \"NAME\"`"),
        ("[grants.secrets]\nK = { env = \"K\", file = \"k\", config = true }".to_owned(), "not both"),
        ("[grants.secrets]\nK = { evn = \"K\" }".to_owned(), "did you mean \"env\"?"),
        ("[grants.secrets]\nK = { env = \"K\", config = true }\n[config]\nK = 1".to_owned(), "another name"),
        (format!("{http}K = {{ env = \"K\", host = \"https://a.example.com\" }}"), "both `host` and `header`"),
        (
            format!("{http}K = {{ env = \"K\", host = \"https://b.example.com\", header = \"x\" }}"),
            "[grants] http covers",
        ),
        (format!("{http}K = {{ env = \"K\", host = \"https://a.example.com\", header = \"host\" }}"), "the host's own"),
        (format!("{http}K = {{ env = \"K\", config = true, prefix = \"B\" }}"), "both `host` and `header`"),
    ];
    for (text, part) in table {
        let said = error(&text);
        assert!(said.starts_with("plugin.toml:") && said.contains(part), "{part:?} is not in: {said}");
    }
}
