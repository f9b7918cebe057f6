//! What a command that failed says.

use std::process::Output;

/// Its stderr.
#[must_use]
pub fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts an exit code and words on stderr.
///
/// # Panics
/// When either is another.
pub fn complains(output: &Output, code: i32, words: &[&str]) {
    let text = err(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(words.iter().all(|word| text.contains(word)), "{words:?} in: {text}");
}

/// The same, and that there is no data: that is for success only.
///
/// # Panics
/// When it is otherwise.
pub fn fails(output: &Output, code: i32, words: &[&str]) {
    complains(output, code, words);
    assert!(output.stdout.is_empty(), "data only on success");
}
