//! Writes `entries` keys (2,500, if the manifest does not say), reads them back by pages of 7, 1,000 and of a
//! limit that is out of bounds, and rejects the event with what was wrong, if anything.

use test_guests::{Event, Failure, Verdict, config_number, count, each, put, state, text_of};

type Check<T = ()> = Result<T, (Verdict, String)>;

fn handle(events: &[Event]) -> Result<(), Failure> {
    let entries = config_number("entries", 2_500);
    each(events, |_| {
        for n in 0..entries {
            put(&format!("scan/{n:06}"), &n.to_string())?;
        }
        put("scan", "before the prefix")?;
        put("scan0", "behind the prefix")?;
        for limit in [7, 1_000] {
            let found = pages(limit)?;
            check(found == (0..entries).collect::<Vec<_>>(), &format!("limit {limit}: {} entries", found.len()))?;
        }
        for limit in [0, 1_001] {
            check(state::scan("scan/", None, limit).is_err(), &format!("limit {limit} was not refused"))?;
        }
        count()
    })
}

fn pages(limit: u32) -> Check<Vec<u64>> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = state::scan("scan/", after.as_deref(), limit).map_err(|error| reject(&text_of(error)))?;
        check(page.entries.len() <= limit as usize, &format!("limit {limit}: {} entries a page", page.entries.len()))?;
        found.extend(page.entries.iter().filter_map(|entry| String::from_utf8_lossy(&entry.value).parse::<u64>().ok()));
        after = page.next;
        if after.is_none() {
            return Ok(found);
        }
    }
}

fn check(good: bool, what: &str) -> Check {
    if good { Ok(()) } else { Err(reject(what)) }
}

fn reject(what: &str) -> (Verdict, String) {
    (Verdict::Reject, what.into())
}

test_guests::subscriber!(handle);
