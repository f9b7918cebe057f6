//! A strict reader of OpenMetrics 1.0 text: whatever the specification forbids is an error, and so is what this server
//! has no use for (timestamps, exemplars, other types).

use std::collections::{BTreeMap, BTreeSet};

/// The families of a text, by name.
pub type Families = BTreeMap<String, Family>;

/// One family.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Family {
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    /// Its help text.
    pub help: String,
    /// Its unit; empty for none.
    pub unit: String,
    /// Its samples: suffix, labels, value.
    pub samples: Vec<(String, Labels, f64)>,
}

/// Labels by name.
pub type Labels = BTreeMap<String, String>;

/// Reads a text.
///
/// # Errors
/// Names the first line that is wrong, and why.
pub fn parse(text: &str) -> Result<Families, String> {
    let body = text.strip_suffix("# EOF\n").ok_or("the text does not end with # EOF and a line feed")?;
    let mut families = Families::new();
    let mut current = String::new();
    let mut seen = BTreeSet::new();
    for line in body.lines() {
        let fail = |why: &str| format!("{why}: {line}");
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (what, name, rest) = (words.next(), words.next().ok_or_else(|| fail("no name"))?, words.next());
            if name != current {
                if families.contains_key(name) {
                    return Err(fail("a family is not in one piece"));
                }
                current = name.to_owned();
            }
            let family = families.entry(current.clone()).or_default();
            if !family.samples.is_empty() {
                return Err(fail("metadata after samples"));
            }
            let slot = match what {
                Some("TYPE") => &mut family.kind,
                Some("HELP") => &mut family.help,
                Some("UNIT") => &mut family.unit,
                _ => return Err(fail("not TYPE, HELP or UNIT")),
            };
            if !slot.is_empty() {
                return Err(fail("said twice"));
            }
            rest.ok_or_else(|| fail("no value"))?.clone_into(slot);
        } else {
            if !seen.insert(line.rsplit_once(' ').ok_or_else(|| fail("no value"))?.0.to_owned()) {
                return Err(fail("a sample is there twice"));
            }
            let family = families.get_mut(&current).ok_or_else(|| fail("a sample without a family"))?;
            let sample = sample(line, &current).map_err(|why| fail(&why))?;
            family.samples.push(sample);
        }
    }
    for (name, family) in &families {
        check(name, family).map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(families)
}

fn sample(line: &str, family: &str) -> Result<(String, Labels, f64), String> {
    let (head, value) = line.rsplit_once(' ').ok_or("no value")?;
    let (name, labels) = match head.split_once('{') {
        Some((name, rest)) => (name, labels(rest.strip_suffix('}').ok_or("labels do not end")?)?),
        None => (head, Labels::new()),
    };
    let suffix = name.strip_prefix(family).ok_or("a sample of another family")?;
    let value = value.parse().map_err(|_| "a value that is no number")?;
    Ok((suffix.to_owned(), labels, value))
}

fn labels(text: &str) -> Result<Labels, String> {
    let mut labels = Labels::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, quoted) = rest.split_once("=\"").ok_or("a label without a value")?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(plain) {
            return Err(format!("{name:?} is no name of a label"));
        }
        let (value, end) = unquote(quoted)?;
        if labels.insert(name.to_owned(), value).is_some() {
            return Err(format!("label {name} is there twice"));
        }
        let after = quoted.get(end..).unwrap_or_default();
        rest = match after.strip_prefix(',') {
            Some(more) if !more.is_empty() => more,
            None if after.is_empty() => after,
            _ => return Err("labels are not separated by one comma".into()),
        };
    }
    Ok(labels)
}

/// The text up to the closing quote, and where what follows begins.
fn unquote(quoted: &str) -> Result<(String, usize), String> {
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, at + 1)),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, escaped @ ('"' | '\\'))) => value.push(escaped),
                _ => return Err("an escape that there is not".into()),
            },
            c => value.push(c),
        }
    }
    Err("a label's value does not end".into())
}

fn check(name: &str, family: &Family) -> Result<(), String> {
    if family.help.is_empty() {
        return Err("no HELP".into());
    }
    if !family.unit.is_empty() && !name.ends_with(&format!("_{}", family.unit)) {
        return Err(format!("the name does not end with its unit {}", family.unit));
    }
    let suffixes: &[&str] = match family.kind.as_str() {
        "counter" => &["_total"],
        "gauge" => &[""],
        "histogram" => return histograms(family),
        other => return Err(format!("type {other:?}")),
    };
    for (suffix, labels, value) in &family.samples {
        if !suffixes.contains(&suffix.as_str()) || value.is_nan() || (family.kind == "counter" && *value < 0.0) {
            return Err(format!("sample {suffix:?} {labels:?} {value}"));
        }
    }
    Ok(())
}

/// A histogram of one set of labels.
#[derive(Default)]
struct Point {
    /// Bounds, and how many are at most so great.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: Option<f64>,
}

/// Each histogram has buckets that grow up to an infinite one, which counts all, and a sum.
fn histograms(family: &Family) -> Result<(), String> {
    let mut points: BTreeMap<Labels, Point> = BTreeMap::new();
    for (suffix, labels, value) in &family.samples {
        let mut labels = labels.clone();
        let bound = labels.remove("le");
        let point = points.entry(labels).or_default();
        match (suffix.as_str(), bound) {
            ("_bucket", Some(bound)) => {
                let bound =
                    if bound == "+Inf" { f64::INFINITY } else { bound.parse().map_err(|_| "le is no number")? };
                point.buckets.push((bound, *value));
            }
            ("_count", None) => point.count = Some(*value),
            ("_sum", None) => point.sum = Some(*value),
            _ => return Err(format!("sample {suffix:?}")),
        }
    }
    for (labels, Point { buckets, count, sum }) in points {
        let grows = buckets.is_sorted_by(|(one, low), (other, high)| one < other && low <= high);
        let last = buckets.last().copied();
        if !grows || last.is_none_or(|(bound, all)| bound != f64::INFINITY || Some(all) != count) || sum.is_none() {
            return Err(format!("histogram {labels:?}: {buckets:?} count {count:?} sum {sum:?}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "# HELP a A.\n# TYPE a counter\na_total{x=\"1\\\"\",y=\"\"} 1\na_total{x=\"2\",y=\"\"} 2\n# EOF\n";

    #[test]
    fn what_the_specification_forbids_is_told() {
        assert_eq!(parse(GOOD).unwrap()["a"].samples.len(), 2);
        let histogram =
            |buckets: &str| format!("# HELP h H.\n# TYPE h histogram\nh_sum 1.0\nh_count 2\n{buckets}# EOF\n");
        let whole = "h_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 2\n";
        assert!(parse(&histogram(whole)).is_ok());
        let bad = [
            GOOD.replace("# EOF\n", ""),
            GOOD.replace("_total", ""),
            GOOD.replace("x=\"2\"", "x=\"1\\\"\""),
            GOOD.replace(" 2\n", " two\n"),
            GOOD.replace("# HELP a A.\n", ""),
            GOOD.replace("\\\"", "\\q"),
            format!("# HELP b B.\n{GOOD}# EOF\n"),
            histogram("h_bucket{le=\"1.0\"} 2\n"),
            histogram("h_bucket{le=\"1.0\"} 3\nh_bucket{le=\"+Inf\"} 2\n"),
            histogram("h_bucket{le=\"+Inf\"} 1\n"),
        ];
        for text in bad {
            assert!(parse(&text).is_err(), "{text}");
        }
    }
}
