//! Results in the format that build servers read: JUnit's.

use std::fmt::Write as _;

use super::{Ran, lines};

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
            format!("<failure message=\"{}\">{}</failure>", escaped(&report.about), escaped(&lines(report)))
        }
        Err(error) => format!("<error message=\"{}\"/>", escaped(&error.what)),
    };
    // Writing to a text does not fail.
    let _ = match ended.as_str() {
        "" => writeln!(text, "  <testcase name=\"{name}\" time=\"{seconds}\"/>"),
        ended => writeln!(text, "  <testcase name=\"{name}\" time=\"{seconds}\">{ended}</testcase>"),
    };
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
    use crate::kit::Report;

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
