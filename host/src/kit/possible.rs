//! What of a fixture can never come, whatever is under test: it is refused, for its test would fail for ever.

use super::Asked;
use super::fixture::Fixture;
use crate::delivery::LETTER_KINDS;
use crate::nearest::unknown;

/// Which events what was stored may be caused by.
const CAUSES: &str = "those of `when`, then what `then` says was appended and dispatched";

/// Refuses events that there are not, and kinds of dead letters that nothing is set aside for.
pub(super) fn check(fixture: &Fixture) -> Result<(), String> {
    let (when, then) = (fixture.when.len(), &fixture.then);
    let [appended, dispatched] = [then.appended.as_ref().map(Vec::len), then.dispatched.as_ref().map(Vec::len)];
    // What was stored for an event counts on behind those of `when`.
    let all = when + appended.unwrap_or_default() + dispatched.unwrap_or_default();
    let causes = then.appended.iter().flatten().map(|event| event.cause);
    bounded(("appended", "cause"), causes, (all, CAUSES))?;
    let causes = then.dispatched.iter().flatten().map(|sent| sent.cause);
    bounded(("dispatched", "cause"), causes, (all, CAUSES))?;
    // What a plugin appended and could not handle itself has the index behind the last one.
    let beyond = usize::from(appended != Some(0) || dispatched.is_some_and(|count| count > 0));
    let letters = then.dead_letters.iter().flatten();
    let counted = "those of `when`, and one for all that was appended";
    bounded(("dead_letters", "event"), letters.clone().map(|letter| letter.event), (when + beyond, counted))?;
    let waits = then.waits.iter().flatten().map(|wait| wait.event);
    bounded(("waits", "event"), waits, (all.max(when + beyond), CAUSES))?;
    let counted = "those of `when`";
    bounded(("lifted", "event"), then.lifted.iter().flatten().map(|made| made.event), (when, counted))?;
    bounded(("refused", "event"), then.refused.iter().flatten().map(|refused| refused.event), (when, counted))?;
    let strange = letters.enumerate().find(|(_, letter)| !LETTER_KINDS.contains(&letter.kind.as_str()));
    strange.map_or(Ok(()), |(item, letter)| {
        Err(format!("in `then.dead_letters`, item {item}: {}", unknown("kind", &letter.kind, &LETTER_KINDS)))
    })
}

/// Refuses a query that says neither what is answered nor why nothing is, or both.
pub(super) fn check_queries(fixture: &Fixture) -> Result<(), String> {
    let says_one_thing = |asked: &Asked| asked.answer.is_some() != asked.error.is_some();
    let mut queries = fixture.then.queries.iter().flatten().enumerate();
    match queries.find(|(_, asked)| !says_one_thing(asked)) {
        Some((item, asked)) => Err(format!(
            "in `then.queries`, item {item}: say of the query {} one of `answer` or `error`; --bless fills it in",
            asked.query
        )),
        None => Ok(()),
    }
}

/// Refuses an index of none of so many events, which are `counted` so.
fn bounded(
    (part, field): (&str, &str),
    indexes: impl Iterator<Item = usize>,
    (count, counted): (usize, &str),
) -> Result<(), String> {
    let Some((item, index)) = indexes.enumerate().find(|(_, index)| *index >= count) else { return Ok(()) };
    let last = count.saturating_sub(1);
    Err(format!("in `then.{part}`, item {item}: `{field}` is {index}, and goes from 0 to {last}: {counted}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(then: &str) -> Result<Fixture, String> {
        let text = format!("when: [{{ type: A }}]\nthen: {{ {then} }}");
        Fixture::parse(Path::new("a.yaml"), &text).map_err(|error| error.to_string())
    }

    #[test]
    fn events_that_there_are_not_are_refused_with_their_place() {
        for (then, words) in [
            (
                "appended: [{ cause: 0, type: B }, { cause: 4, type: B }]",
                "in `then.appended`, item 1: `cause` is 4, and goes from 0 to 2: those of `when`, then what",
            ),
            (
                "dispatched: [{ cause: 4, aggregate: a, key: k, type: B }]",
                "in `then.dispatched`, item 0: `cause` is 4, and goes from 0 to 1",
            ),
            (
                "dead_letters: [{ event: 7, kind: reject, attempts: 1 }]",
                "in `then.dead_letters`, item 0: `event` is 7, and goes from 0 to 1",
            ),
            (
                "appended: [], dead_letters: [{ event: 1, kind: reject, attempts: 1 }]",
                "in `then.dead_letters`, item 0: `event` is 1, and goes from 0 to 0",
            ),
            ("waits: [{ event: 0, after_ms: 5 }, { event: 4, after_ms: 5 }]", "in `then.waits`, item 1: `event` is 4"),
            ("lifted: [{ event: 1, type: A, schema_version: 2 }]", "in `then.lifted`, item 0: `event` is 1"),
            ("refused: [{ event: 0 }, { event: 1 }]", "in `then.refused`, item 1: `event` is 1"),
        ] {
            let said = read(then).unwrap_err();
            assert!(said.contains(words), "{words} in: {said}");
        }
        let chained = "appended: [{ cause: 0, type: B }, { cause: 1, type: C }], \
                       dead_letters: [{ event: 1, kind: behind, attempts: 0 }]";
        assert!(read(chained).is_ok(), "what was appended is handled, too");
    }

    #[test]
    fn kinds_that_nothing_is_set_aside_for_are_refused_with_the_nearest() {
        let said = read("dead_letters: [{ event: 0, kind: rejct, attempts: 1 }]").unwrap_err();
        assert!(
            said.contains("in `then.dead_letters`, item 0: unknown kind `rejct`; did you mean `reject`?"),
            "{said}"
        );
        for kind in ["reject", "retry", "behind", "no_key", "trap", "out_of_fuel", "upcast"] {
            assert!(read(&format!("dead_letters: [{{ event: 0, kind: {kind}, attempts: 1 }}]")).is_ok(), "{kind}");
        }
    }

    #[test]
    fn a_query_says_its_answer_or_its_error_unless_that_is_to_be_filled_in() {
        let words = "in `then.queries`, item 0: say of the query days one of `answer` or `error`";
        for then in ["queries: [{ query: days }]", "queries: [{ query: days, answer: 1, error: failed }]"] {
            let said = read(then).unwrap_err();
            assert!(said.contains(words), "{said}");
        }
        let text = "when: [{ type: A }]\nthen: { queries: [{ query: days }] }";
        assert!(Fixture::parse_to_bless(Path::new("a.yaml"), text).is_ok());
        let null = read("queries: [{ query: days, answer: null }]").unwrap();
        assert_eq!(null.then.queries.unwrap()[0].answer, Some(serde_json::Value::Null), "an answer, too");
    }
}
