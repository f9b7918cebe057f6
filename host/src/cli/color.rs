//! Whether output is coloured: on a terminal, unless it is told otherwise.

use std::ffi::OsString;
use std::io::{IsTerminal as _, stderr, stdout};
use std::sync::OnceLock;

use clap::{ColorChoice, ValueEnum};

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Also into pipes and files
    Always,
    /// Nowhere
    Never,
}

/// What `--color` says. It is of the process, as its streams are.
static CHOSEN: OnceLock<Color> = OnceLock::new();

impl Color {
    /// What the arguments ask for, looked up before they are read: their errors and help are coloured too.
    pub(super) fn asked(arguments: &[OsString]) -> Self {
        let words = arguments.iter().map(|word| word.to_str().unwrap_or_default()).take_while(|word| *word != "--");
        let mut words = words.skip_while(|word| *word != "--color" && !word.starts_with("--color="));
        let value = words.next().and_then(|word| word.strip_prefix("--color=").or_else(|| words.next()));
        value.and_then(|value| Self::from_str(value, false).ok()).unwrap_or_default()
    }

    /// Has all output follow this; the first time counts.
    pub(super) fn choose(self) {
        let _ = CHOSEN.set(self);
    }

    /// As the library of the arguments takes it, for help and usage errors.
    pub(super) const fn of_help(self) -> ColorChoice {
        match self {
            Self::Auto => ColorChoice::Auto,
            Self::Always => ColorChoice::Always,
            Self::Never => ColorChoice::Never,
        }
    }

    const fn colours(self, is_terminal: bool, no_color: bool) -> bool {
        match self {
            Self::Auto => is_terminal && !no_color,
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// Whether stdout is coloured.
pub(super) fn on_stdout() -> bool {
    is_on(stdout().is_terminal())
}

/// Whether stderr is coloured.
pub(super) fn on_stderr() -> bool {
    is_on(stderr().is_terminal())
}

fn is_on(is_terminal: bool) -> bool {
    // Present and not empty, whatever its value (no-color.org).
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    CHOSEN.get().copied().unwrap_or_default().colours(is_terminal, no_color)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_wherever_it_stands() {
        let asked = |line: &str| Color::asked(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(asked("tidemill --color=never plugins ls"), Color::Never);
        assert_eq!(asked("tidemill plugins ls --color always"), Color::Always);
        assert_eq!(asked("tidemill plugins ls"), Color::Auto);
        assert_eq!(asked("tidemill append -- --color=never"), Color::Auto);
    }

    #[test]
    fn what_is_asked_for_counts_before_the_terminal() {
        for (color, is_terminal, no_color, colours) in [
            (Color::Auto, true, false, true),
            (Color::Auto, true, true, false),
            (Color::Auto, false, false, false),
            (Color::Always, false, true, true),
            (Color::Never, true, false, false),
        ] {
            assert_eq!(color.colours(is_terminal, no_color), colours, "{color:?} {is_terminal} {no_color}");
        }
    }
}
