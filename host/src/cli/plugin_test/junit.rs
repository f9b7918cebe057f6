//! Results in the format that build servers read: JUnit's.

use std::fmt::Write as _;

use super::{Ran, lines};
use crate::cli::output::shown;
use crate::kit::Report;

/// Most characters of a difference in the line that stands for a failure.
const MESSAGE_CHARS: usize = 160;

/// A document with a case for each fixture: passed, failed, or not run.
pub(super) fn document(all: &[Ran]) -> String {
    let count = |counts: fn(&Ran) -> bool| all.iter().filter(|ran| counts(ran)).count();
    let failures = count(|ran| ran.report.as_ref().is_ok_and(|report| !report.passed()));
    let errors = count(|ran| ran.report.is_err());
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuite name=\"tidemill\" tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\">\n",
        all.len()
    );
    for ran in all {
        case(&mut text, ran);
    }
    text + "</testsuite>\n"
}

fn case(text: &mut String, Ran { name, report }: &Ran) {
    let name = escaped(name);
    let seconds = report.as_ref().map_or(0.0, |report| report.handler_us as f64 / 1e6);
    let ended = match report {
        Ok(report) if report.passed() => String::new(),
        Ok(report) => {
            format!("<failure message=\"{}\">{}</failure>", escaped(&message(report)), escaped(&lines(report)))
        }
        Err(error) => format!("<error message=\"{}\"/>", escaped(&error.what)),
    };
    // Writing to a text does not fail.
    let _ = match ended.as_str() {
        "" => writeln!(text, "  <testcase name=\"{name}\" time=\"{seconds}\"/>"),
        ended => writeln!(text, "  <testcase name=\"{name}\" time=\"{seconds}\">{ended}</testcase>"),
    };
}

/// A failure in one line: what the fixture shows, or its first difference where it does not say.
fn message(report: &Report) -> String {
    match report.differences.first() {
        Some(first) if report.about.is_empty() => {
            let words = first.to_string();
            shown(&words.split_whitespace().collect::<Vec<_>>().join(" "), MESSAGE_CHARS)
        }
        _ => report.about.clone(),
    }
}

/// Text as XML takes it: without what no XML may hold.
fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, c| {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            c if (c.is_control() && c != '\n') || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push(' '),
            c => escaped.push(c),
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::Difference;

    #[test]
    fn a_failure_is_told_by_what_the_fixture_shows_or_its_first_difference() {
        let found = Some(serde_json::json!("x".repeat(200)));
        let difference = |what: &str| Difference { what: what.into(), expected: None, found: found.clone() };
        let differences = vec![difference("state \"a\""), difference("state \"b\"")];
        let failed = Report { name: "a".into(), differences, ..Report::default() };
        let told = message(&failed);
        assert!(told.starts_with("state \"a\" - nothing + \"xx") && told.ends_with("x…"), "{told}");
        assert_eq!(told.chars().count(), MESSAGE_CHARS);
        let document = document(&[Ran { name: "a".into(), report: Ok(failed.clone()) }]);
        assert!(document.contains("<failure message=\"state &quot;a&quot; - nothing + "), "{document}");
        assert_eq!(message(&Report { about: "It shows.".into(), ..failed }), "It shows.");
    }

    #[test]
    fn what_no_xml_may_hold_is_not_in_it() {
        let name = "a<b> & \"c\"\u{1b}\u{ffff}".to_owned();
        let unread = super::super::Unread { exit: crate::cli::error::Exit::Usage, what: "it is <none>".into() };
        let all = [Ran { name: name.clone(), report: Ok(Report::default()) }, Ran { name, report: Err(unread) }];
        let document = document(&all);
        assert!(document.contains("tests=\"2\" failures=\"0\" errors=\"1\""), "{document}");
        let name = "name=\"a&lt;b&gt; &amp; &quot;c&quot;  \" time=\"0\"";
        assert_eq!(document.matches(name).count(), 2, "{document}");
        assert!(document.contains("<error message=\"it is &lt;none&gt;\"/>"), "{document}");
    }
}
