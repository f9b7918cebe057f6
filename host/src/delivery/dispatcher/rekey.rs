//! Set-aside events under another key: which of them wait for each other follows from the manifest's key, which may
//! change while they wait.

use std::borrow::Cow;

use crate::delivery::key::Key;
use crate::error::with_sources;
use crate::event::Position;
use crate::store::{DeadLetter, DeadLetterChange, Owner, Progress, Store, StoreError, UnitOfWork};

use super::beside::ROWS_READ;

/// Writes down what keeps the order of each set-aside event by a rule; done twice it changes nothing more. Blocks.
///
/// # Errors
/// Why not, in one line; it may succeed later.
pub(super) fn key_anew(owner: &Owner, key: &Key, store: &dyn Store) -> Result<(), String> {
    let said = |error: StoreError| with_sources(&error);
    let mut after = Position::START;
    loop {
        let page = store.dead_letters(owner, after, ROWS_READ).map_err(said)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.position;
        let mut dead_letters = Vec::new();
        for letter in page.into_iter().filter(|letter| !letter.is_discarded()) {
            // One that was removed cannot be handed over either.
            let Some(event) = store.event_at(letter.position).map_err(said)? else { continue };
            let of_event = key.of(&event).map(Cow::into_owned);
            if of_event != letter.key {
                dead_letters.push(DeadLetterChange::Put(DeadLetter { key: of_event, ..letter }));
            }
        }
        if !dead_letters.is_empty() {
            write(owner, dead_letters, store)?;
        }
    }
}

fn write(owner: &Owner, dead_letters: Vec<DeadLetterChange>, store: &dyn Store) -> Result<(), String> {
    let progress = store.progress(owner, 0).map_err(|error| with_sources(&error))?.unwrap_or_default();
    let work = UnitOfWork {
        owner: owner.clone(),
        partition: 0,
        progress: Progress { revision: progress.revision + 1, ..progress },
        state: Vec::new(),
        events: Vec::new(),
        dead_letters,
    };
    store.commit(work).wait().map(drop).map_err(|error| with_sources(&error))
}
