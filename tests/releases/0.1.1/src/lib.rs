//! What the subscribers of release 0.1.1 of the contract do, whichever lane they are on.
//!
//! They are built from `wit/releases/0.1.1`, never from `wit/`, and call everything that release has: each function of
//! `state`, `append`, `dispatch`, `log`, `config`, `handle`, `query` and `describe`. The two guests share the texts
//! below; each has its bindings to itself, as a plugin that was built back then. The other roles have a guest each.

/// Writes a guest's part; `$bindings` are its bindings.
#[macro_export]
macro_rules! guest {
    ($bindings:ident) => {
        use $bindings::exports::tidemill::plugin::{description, projection};
        use $bindings::tidemill::plugin::{append, config, dispatch, log, state, types};

        /// The component.
        pub struct Guest;

        impl description::Guest for Guest {
            fn describe() -> description::Description {
                description::Description {
                    name: "released".into(),
                    version: "0.1.1".into(),
                    summary: "Built when the contract was 0.1.1".into(),
                    types: Vec::new(),
                    streams: Vec::new(),
                    tags: Vec::new(),
                    append: vec!["Echoed".into()],
                    extra: vec![("query".into(), "count".into())],
                }
            }
        }

        impl projection::Guest for Guest {
            fn query(request: projection::Request) -> Result<projection::Answer, projection::QueryError> {
                let failed = |error| projection::QueryError::Failed(format!("{error:?}"));
                match (request.query.as_str(), request.parameters.first()) {
                    ("count", None) => {
                        let count = state::get("count").map_err(failed)?.map_or(0, |count| count.len());
                        let known = request.checkpoint > 0 && request.context.is_none();
                        let payload = types::Payload::Json(format!("{{\"count\":{count},\"known\":{known}}}"));
                        Ok(projection::Answer { payload, content_type: None })
                    }
                    ("count", Some((name, value))) => {
                        Err(projection::QueryError::Invalid(format!("there is no {name} to be {value}")))
                    }
                    _ => Err(projection::QueryError::UnknownQuery),
                }
            }
        }

        /// One event, however it came: counts it, echoes it, sends a command because of it, and uses whatever else the
        /// release has.
        fn handled(position: u64, event_type: &str, schema_version: u32) -> Result<(), types::HostError> {
            log::log(log::Level::Info, &format!("{event_type} {schema_version} at position {position}"));
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
                    payload: types::Payload::Json(format!("\"{event_type} {schema_version}\"")),
                    content_type: None,
                    tags: vec!["release:0.1.1".into()],
                    metadata: vec![("by".into(), "released".into())],
                    schema_version: 1,
                }],
            )?;
            let sent = dispatch::dispatch(
                position,
                &[dispatch::NewCommand {
                    id: None,
                    aggregate: "tally".into(),
                    key: "1".into(),
                    command_type: "Add".into(),
                    data: types::Payload::Json("1".into()),
                    content_type: None,
                    metadata: vec![("by".into(), "released".into())],
                }],
            )?;
            state::set("sent", sent.join(",").as_bytes())
        }

        /// What the host is told when it refuses, or when the event is `Poison`.
        fn answer(
            index: usize,
            (position, event_type, schema_version): (u64, &str, u32),
        ) -> Result<(), types::Failure> {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            if event_type == "Poison" {
                let (verdict, reason) = (types::Verdict::Reject, "poison".into());
                return Err(types::Failure { index, verdict, reason });
            }
            handled(position, event_type, schema_version).map_err(|error| types::Failure {
                index,
                verdict: types::Verdict::Retry(None),
                reason: format!("{error:?}"),
            })
        }
    };
}
