//! Counts events, and answers queries of every kind, good and bad. With `version` in its configuration, `version`
//! answers that.

use std::cell::Cell;

use test_guests::{
    AnswerPayload, Event, Failure, QueryAnswer, QueryError, Request, append, config, count, each, log, new_event,
    state, text_of,
};

thread_local! {
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

fn handle(events: &[Event]) -> Result<(), Failure> {
    each(events, |_| count())
}

fn json(text: String) -> Result<QueryAnswer, QueryError> {
    Ok(QueryAnswer { payload: AnswerPayload::Json(text), content_type: None })
}

fn counted() -> Result<String, QueryError> {
    let bytes = state::get("count").map_err(|error| QueryError::Failed(text_of(error)))?;
    Ok(bytes.map_or_else(|| "0".to_owned(), |bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

fn number(request: &Request, name: &str) -> u64 {
    let value = request.parameters.iter().find(|(given, _)| given == name);
    value.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

/// Computes so many rounds.
fn work(rounds: u64) {
    let mut done = 0_u64;
    while std::hint::black_box(done) < rounds {
        done = std::hint::black_box(done.wrapping_add(1));
    }
}

/// What the host says of a change.
fn refused<T>(changed: Result<T, test_guests::HostError>) -> Result<QueryAnswer, QueryError> {
    match changed {
        Ok(_) => json("\"changed\"".into()),
        Err(error) => Err(QueryError::Failed(text_of(error))),
    }
}

fn query(request: &Request) -> Result<QueryAnswer, QueryError> {
    ASKED.set(ASKED.get() + 1);
    match request.query.as_str() {
        "count" => json(format!("{{\"count\":{},\"checkpoint\":{}}}", counted()?, request.checkpoint)),
        // Two looks at one moment, with much between them.
        "twice" => {
            let before = counted()?;
            work(number(request, "rounds"));
            let scanned = state::scan("count", None, 10).map_err(|error| QueryError::Failed(text_of(error)))?;
            let mut scanned =
                scanned.entries.into_iter().map(|entry| String::from_utf8_lossy(&entry.value).into_owned());
            json(format!("[{before},{},{}]", counted()?, scanned.next_back().unwrap_or_else(|| "0".into())))
        }
        "echo/all" => {
            let pairs: Vec<_> =
                request.parameters.iter().map(|(name, value)| format!("[{name:?},{value:?}]")).collect();
            json(format!("[{}]", pairs.join(",")))
        }
        "version" => json(format!("{:?}", config::get("version").unwrap_or_default())),
        "asked" => json(ASKED.get().to_string()),
        "text" => Ok(QueryAnswer {
            payload: AnswerPayload::Binary(b"<b>hi</b>".to_vec()),
            content_type: Some("text/html; charset=utf-8".into()),
        }),
        "bytes" => Ok(QueryAnswer {
            payload: AnswerPayload::Binary(vec![b'x'; usize::try_from(number(request, "n")).unwrap_or(0)]),
            content_type: None,
        }),
        "bad-json" => json("{".into()),
        "bad-type" => Ok(QueryAnswer { payload: AnswerPayload::Binary(Vec::new()), content_type: Some("a\nb".into()) }),
        "invalid" => Err(QueryError::Invalid("parameter `n` is missing".into())),
        "failed" => Err(QueryError::Failed("it is Sunday".into())),
        "later" => Err(QueryError::Other("of a later contract".into())),
        "set" => refused(state::set("count", b"99")),
        "delete" => refused(state::delete("count")),
        "append" => refused(append::append(1, &[new_event("Counted")])),
        "spin" => loop {
            work(u64::MAX);
        },
        "trap" => {
            log::log(log::Level::Info, "about to trap");
            panic!("asked to trap")
        }
        "grow" => {
            let mut kept = Vec::new();
            loop {
                kept.push(std::hint::black_box(vec![1_u8; 1 << 20]));
            }
        }
        _ => Err(QueryError::UnknownQuery),
    }
}

test_guests::subscriber!(handle);
test_guests::projection!(query);
