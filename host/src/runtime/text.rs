//! Small text helpers: what comes from guests is cut and cleaned before people see it.

/// Longest reason kept, in bytes.
pub(super) const REASON_BYTES_MAX: usize = 4096;

/// Cuts a text at a character boundary to at most `bytes_max` bytes.
pub(super) fn cut(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

/// One line of at most [`REASON_BYTES_MAX`] bytes: runs of white space and control characters become one
/// space each.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if line.len() > REASON_BYTES_MAX {
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    cut(line, REASON_BYTES_MAX)
}

/// Replaces control characters, so that a guest cannot steer a terminal: white space by a space, others by
/// U+FFFD.
pub(super) fn clean(text: &str) -> String {
    let replace = |c: char| match c {
        c if c.is_whitespace() && c.is_control() => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(replace).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_one_line_and_bounded_at_a_character() {
        assert_eq!(one_line("  panicked at a.rs:1:2:\n\tno\u{1b}[31m way\n"), "panicked at a.rs:1:2: no [31m way");
        let long = one_line(&"ä".repeat(5000));
        assert!(long.len() <= REASON_BYTES_MAX && long.chars().all(|c| c == 'ä'));
        assert_eq!(cut("aäb".into(), 2), "a");
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(clean("a\nb\u{1b}[2Jc"), "a b\u{fffd}[2Jc");
    }
}
