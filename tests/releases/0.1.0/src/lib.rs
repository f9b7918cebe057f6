//! What the guests of release 0.1.0 of the contract do, whichever lane they are on.
//!
//! They are built from `wit/releases/0.1.0`, never from `wit/`, and call everything that release has: each
//! function of `state`, `append`, `log`, `config`, `handle` and `describe`. The two guests share the texts below;
//! each has its bindings to itself, as a plugin that was built back then.

/// Writes a guest's part: `$bindings` are its bindings, and `handled` is called with what `handle` is given.
#[macro_export]
macro_rules! guest {
    ($bindings:ident) => {
        use $bindings::exports::tidemill::plugin::description;
        use $bindings::tidemill::plugin::{append, config, log, state, types};

        /// The component.
        pub struct Guest;

        impl description::Guest for Guest {
            fn describe() -> description::Description {
                description::Description {
                    name: "released".into(),
                    version: "0.1.0".into(),
                    summary: "Built when the contract was 0.1.0".into(),
                    types: Vec::new(),
                    streams: Vec::new(),
                    tags: Vec::new(),
                    append: vec!["Echoed".into()],
                    extra: Vec::new(),
                }
            }
        }

        /// One event, however it came: counts it, echoes it, and uses whatever else the release has.
        fn handled(position: u64, event_type: &str) -> Result<(), types::HostError> {
            log::log(log::Level::Info, &format!("{event_type} at position {position}"));
            let count = state::get("count")?.map_or(0, |count| count.len());
            state::set("count", &vec![b'i'; count + 1])?;
            state::set("gone", b"")?;
            state::delete("gone")?;
            let page = state::scan("", None, 10)?;
            let keys: Vec<_> = page.entries.iter().map(|entry| entry.key.as_str()).collect();
            let greeting = config::get("greeting").unwrap_or_default();
            state::set("seen", format!("{} {greeting} {:?}", keys.join(","), page.next).as_bytes())?;
            append::append(
                position,
                &[append::NewEvent {
                    event_type: "Echoed".into(),
                    stream: None,
                    payload: types::Payload::Json(format!("{{\"type\":\"{event_type}\"}}")),
                    content_type: None,
                    tags: vec!["release:0.1.0".into()],
                    metadata: vec![("by".into(), "released".into())],
                    schema_version: 1,
                }],
            )
        }

        /// What the host is told when it refuses, or when the event is `Poison`.
        fn answer(index: usize, position: u64, event_type: &str) -> Result<(), types::Failure> {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            if event_type == "Poison" {
                let (verdict, reason) = (types::Verdict::Reject, "poison".into());
                return Err(types::Failure { index, verdict, reason });
            }
            handled(position, event_type).map_err(|error| types::Failure {
                index,
                verdict: types::Verdict::Retry(None),
                reason: format!("{error:?}"),
            })
        }
    };
}
