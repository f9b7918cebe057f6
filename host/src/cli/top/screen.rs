//! The terminal: keys in, frames out.

use std::io;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::model::{Model, Wish};
use super::sample::Sample;
use super::view;
use crate::cli::error::{CliError, Exit};

/// How long it is waited for a key before it is looked for an answer.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    End,
    Wish(Wish),
    Nothing,
}

/// Shows answers as they come, until a key ends it or there are no more. The terminal is as before then.
pub(super) fn run(mut model: Model, samples: &Receiver<Result<Sample, CliError>>) -> Result<(), CliError> {
    let mut terminal = ratatui::try_init().map_err(|error| broken(&error))?;
    let ended = show(&mut terminal, &mut model, samples);
    let restored = ratatui::try_restore().map_err(|error| broken(&error));
    ended.and(restored)
}

fn show(
    terminal: &mut DefaultTerminal,
    model: &mut Model,
    samples: &Receiver<Result<Sample, CliError>>,
) -> Result<(), CliError> {
    loop {
        let drawn = terminal.draw(|frame| view::draw(model, frame.area(), frame.buffer_mut()));
        drawn.map_err(|error| broken(&error))?;
        // A size that changed is drawn anew like everything else.
        if event::poll(LOOK_EVERY).map_err(|error| broken(&error))?
            && let Event::Key(key) = event::read().map_err(|error| broken(&error))?
        {
            match does(key) {
                Does::End => return Ok(()),
                Does::Wish(wish) => model.wish(wish),
                Does::Nothing => {}
            }
        }
        match samples.try_recv() {
            Ok(sample) => model.take(sample?),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return Ok(()),
        }
    }
}

fn does(key: KeyEvent) -> Does {
    if key.kind == KeyEventKind::Release {
        return Does::Nothing;
    }
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Does::End,
        KeyCode::Char('q') | KeyCode::Esc => Does::End,
        KeyCode::Char('s') => Does::Wish(Wish::Sort),
        KeyCode::Char('r') => Does::Wish(Wish::Reverse),
        KeyCode::Char(' ' | 'p') => Does::Wish(Wish::Hold),
        KeyCode::Down => Does::Wish(Wish::Scroll(1)),
        KeyCode::Up => Does::Wish(Wish::Scroll(-1)),
        KeyCode::PageDown => Does::Wish(Wish::Scroll(10)),
        KeyCode::PageUp => Does::Wish(Wish::Scroll(-10)),
        _ => Does::Nothing,
    }
}

fn broken(error: &io::Error) -> CliError {
    CliError::new(Exit::Failure, format_args!("the terminal fails: {error}")).hint("`tidemill top --once` needs none")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_what_the_help_says() {
        let does = |code, modifiers| does(KeyEvent::new(code, modifiers));
        assert_eq!(does(KeyCode::Char('c'), KeyModifiers::CONTROL), Does::End);
        assert_eq!(does(KeyCode::Char('c'), KeyModifiers::NONE), Does::Nothing);
        for (key, wish) in
            [(KeyCode::Char('s'), Wish::Sort), (KeyCode::Char(' '), Wish::Hold), (KeyCode::Up, Wish::Scroll(-1))]
        {
            assert_eq!(does(key, KeyModifiers::NONE), Does::Wish(wish));
        }
        assert_eq!(does(KeyCode::Esc, KeyModifiers::NONE), Does::End);
    }
}
