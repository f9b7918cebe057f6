//! "Did you mean": the known word closest to an unknown one.

/// The known word that `given` is most likely a slip of, if any is close enough.
pub(crate) fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    let lower = given.to_lowercase();
    known
        .iter()
        .map(|word| (strsim::damerau_levenshtein(&lower, word), *word))
        .filter(|(distance, word)| *distance <= 1 + word.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Says that a word is unknown, with the nearest known one, or all of them.
pub(crate) fn unknown(what: &str, given: &str, known: &[&str]) -> String {
    let given_short: String = given.chars().take(64).collect();
    match nearest(given, known) {
        Some(word) => format!("unknown {what} `{given_short}`; did you mean `{word}`?"),
        None => format!("unknown {what} `{given_short}`; known are {}", list(known)),
    }
}

/// Words in backquotes, comma-separated.
fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let known = ["type", "stream", "schema_version"];
        assert_eq!(nearest("typ", &known), Some("type"));
        assert_eq!(nearest("Stream", &known), Some("stream"));
        assert_eq!(nearest("schemaVersion", &known), Some("schema_version"));
        assert_eq!(nearest("colour", &known), None);
        assert_eq!(unknown("field", "x", &["a_long_one"]), "unknown field `x`; known are `a_long_one`");
    }
}
