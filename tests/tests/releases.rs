//! Components that were built for a release of the contract, on the real binary: every role of it, all of them together.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tidemill_plugins::Example;
use tidemill_tests::{Server, guests, install, poll, replace};

const SUBSCRIBER: &str = "[subscribe]\ntypes = [\"Bought\", \"Right\", \"Poison\"]\n\
                          [delivery]\nmax_attempts = 1\n[config]\ngreeting = \"hello\"\n\
                          [grants]\nappend = [\"Echoed\"]\ndispatch = [\"tally:Add\"]\n";
const TALLY: &str = "[aggregate]\nsnapshot_every = 1\n[grants]\nappend = [\"Added\"]\n";

/// The subscribers of the release, each on its lane.
const LANES: [(&str, &[u8]); 2] = [("plain", guests::RELEASED_0_1_1), ("bulk", guests::RELEASED_0_1_1_BULK)];

fn install_all(plugins: &Path) {
    for (name, component) in LANES {
        install(plugins, name, &Example { name, component, manifest: SUBSCRIBER });
    }
    let component = guests::RELEASED_0_1_1_AGGREGATE;
    install(plugins, "tally", &Example { name: "tally", component, manifest: TALLY });
    for folder in ["upcasters", "validators"] {
        fs::create_dir_all(plugins.join(folder)).unwrap();
    }
    replace(&plugins.join("upcasters/lifts.wasm"), guests::RELEASED_0_1_1_UPCASTER);
    replace(&plugins.join("validators/limit.toml"), b"[config]\nmax = 5\n");
    replace(&plugins.join("validators/limit.wasm"), guests::RELEASED_0_1_1_VALIDATOR);
}

/// Sends `Add` to the tally; answers the status and the body.
fn add(server: &Server, id: &str, number: u64) -> (u16, Value) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let body = json!({ "id": id, "type": "Add", "data": number });
    let mut answer = agent.post(format!("{}/v1/commands/tally/1", server.url())).send_json(body).unwrap();
    (answer.status().as_u16(), answer.body_mut().read_json().unwrap())
}

#[test]
fn all_roles_of_0_1_1_run_on_later_hosts() {
    let [data, plugins] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    install_all(plugins.path());
    let server = Server::start(data.path(), plugins.path());
    let events = ["Bought", "Pair", "Noise", "Poison"].map(|name| json!({ "type": name, "data": 1 }));
    server.try_post("/v1/events", &json!({ "events": events })).unwrap();
    for (name, _) in LANES {
        server.settle(name);
        let counted = server.get(&format!("/v1/plugins/{name}/query/count"));
        assert_eq!(counted, json!({ "count": 2, "known": true }), "{name}");
        let (status, text) = server.try_text(&format!("/v1/plugins/{name}/query/count?of=all")).unwrap();
        assert!(status == 400 && text.contains("there is no of to be all"), "{text}");
        assert_eq!(server.try_text(&format!("/v1/plugins/{name}/query/other")).unwrap().0, 404);
        let letters = server.get(&format!("/v1/plugins/{name}/dead-letters"))["dead_letters"].clone();
        assert_eq!(
            (&letters[0]["kind"], &letters[0]["reason"], letters.as_array().unwrap().len()),
            (&json!("reject"), &json!("poison"), 1)
        );
        assert_eq!(server.get(&format!("/v1/plugins/{name}"))["description"]["version"], "0.1.1");
    }
    let echoed = server.get("/v1/events?type=Echoed&tag=release:0.1.1")["events"].clone();
    let mut echoed: Vec<_> = echoed.as_array().unwrap().iter().map(|event| event["data"].as_str().unwrap()).collect();
    echoed.sort_unstable();
    assert_eq!(echoed, ["Bought 2", "Bought 2", "Right 1", "Right 1"], "what is handled is of today");
    let today = server.get("/v1/events?type=Left&type=Right&type=Noise")["events"].clone();
    let versions: Vec<_> = today.as_array().unwrap().iter().map(|event| &event["schema_version"]).collect();
    assert_eq!(versions, [3, 1], "each part at its own");

    let state = |server: &Server| server.get("/v1/streams/tally-1/state")["state"].clone();
    poll("what both sent to be decided", || {
        (server.try_text("/v1/streams/tally-1/state").unwrap().0 == 200 && state(&server) == 4).then_some(())
    });
    let (status, refused) = add(&server, "large", 6);
    assert_eq!(
        (status, &refused["errors"][0]["code"], &refused["errors"][0]["message"]),
        (422, &json!("too-large"), &json!("6 is above 5"))
    );
    assert_eq!(add(&server, "fits", 5).0, 201);
    let (status, full) = add(&server, "full", 5);
    assert_eq!((status, &full["code"], &full["details"]), (422, &json!("Full"), &json!({ "holds": 9 })), "{full}");
    poll("a snapshot", || (!server.get("/v1/snapshots")["snapshots"].as_array()?.is_empty()).then_some(()));
    drop(server);

    let server = Server::start(data.path(), plugins.path());
    let decided = poll("the tally to be loaded", || Some(add(&server, "last", 1)).filter(|(status, _)| *status == 201));
    assert_eq!((&decided.1["version"], state(&server)), (&json!(6), json!(10)));
}
