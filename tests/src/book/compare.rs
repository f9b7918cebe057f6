//! Whether a command printed what a page shows.

/// Stands for what differs from run to run.
const ELLIPSIS: &str = "…";

/// Says how what came is not what the page shows, if so. White space counts as one space, and none at the end of a line.
///
/// # Errors
/// Both, one below the other.
pub fn differs(shown: &[String], came: &str) -> Result<(), String> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let wanted: Vec<String> = shown.iter().map(|line| words(line)).collect();
    let is: Vec<String> = came.trim_end().lines().map(words).collect();
    if wanted.is_empty() || lines_fit(&wanted, &is) {
        return Ok(());
    }
    Err(format!("the page shows:\n{}\nbut it is:\n{}\n", shown.join("\n"), came.trim_end()))
}

fn lines_fit(wanted: &[String], is: &[String]) -> bool {
    match wanted.split_first() {
        None => is.is_empty(),
        Some((line, rest)) if line == ELLIPSIS => {
            (0..=is.len()).any(|skipped| lines_fit(rest, is.get(skipped..).unwrap_or_default()))
        }
        Some((line, rest)) => {
            is.split_first().is_some_and(|(first, others)| fits(line, first) && lines_fit(rest, others))
        }
    }
}

/// Whether a line has the shown parts, in their order, at its ends where no ellipsis is.
fn fits(shown: &str, line: &str) -> bool {
    let mut parts = shown.split(ELLIPSIS);
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<_> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    for part in between {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(shown: &[&str], came: &str) -> bool {
        let shown: Vec<_> = shown.iter().map(|line| (*line).to_owned()).collect();
        differs(&shown, came).is_ok()
    }

    #[test]
    fn an_ellipsis_stands_for_any_text_and_alone_for_any_lines() {
        assert!(same(&["one  two", "took … ms"], "one two\ntook 12.5 ms\n"));
        assert!(same(&["…", "last"], "first\nsecond\nlast\n"));
        assert!(same(&["first", "…"], "first\n"));
        assert!(same(&[], "anything"));
    }

    #[test]
    fn what_is_shown_has_to_come() {
        for (shown, came) in [
            (&["one"][..], "one two"),
            (&["one", "two"], "one"),
            (&["one"], "one\ntwo"),
            (&["took … ms"], "took 12 s"),
            (&["…", "last"], "last\nmore"),
            (&["a…b…c"], "a c b"),
        ] {
            assert!(!same(shown, came), "{shown:?} is not {came:?}");
        }
    }
}
