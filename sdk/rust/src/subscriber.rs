//! The role of a plugin that reacts to events.

use crate::{Config, Error, Event, NewCommand, NewEvent, Outcome, State, host};

/// A plugin that reacts to events. Every `fn(&Event, &mut Context) -> Outcome` is one; implement it
/// for a type to hold settings, or anything else that [`start`](Self::start) can compute again.
///
/// A subscriber lives until its instance ends or a handler fails, whichever is first, so nothing in it
/// outlives effects that were rolled back. [`State`] is what lasts.
pub trait Subscriber {
    /// Called once before the first event.
    ///
    /// # Errors
    /// A failure becomes that of the first event.
    fn start(&mut self, config: Config) -> Outcome {
        let _ = config;
        Ok(())
    }

    /// Handles one event. What it does through `ctx` commits once it, and the rest of the batch,
    /// returned `Ok`.
    ///
    /// # Errors
    /// A failure says what is to become of this event.
    fn handle(&mut self, event: &Event<'_>, ctx: &mut Context) -> Outcome;

    /// The event types it knows of, for its description; empty for no opinion.
    fn event_types(&self) -> &'static [&'static str] {
        &[]
    }
}

impl<F: FnMut(&Event<'_>, &mut Context) -> Outcome> Subscriber for F {
    fn handle(&mut self, event: &Event<'_>, ctx: &mut Context) -> Outcome {
        self(event, ctx)
    }
}

/// What a handler may do: everything here happens on behalf of the event at hand.
#[derive(Debug)]
pub struct Context {
    cause: u64,
}

impl Context {
    pub(crate) fn for_event_at(position: u64) -> Self {
        Self { cause: position }
    }

    /// The plugin's durable key-value state.
    #[must_use]
    pub fn state(&self) -> State {
        State
    }

    /// The `[config]` table of the plugin's manifest.
    #[must_use]
    pub fn config(&self) -> Config {
        Config
    }

    /// Appends an event, caused by the one at hand. The host gives it an id, `causation_id`,
    /// `correlation_id` and `causation_depth`.
    ///
    /// # Errors
    /// When its body cannot be written, a field is out of bounds ([`Error::Invalid`]), its type is not
    /// granted ([`Error::Denied`]), the batch already appended 1,024 events or 4 MiB, or more events
    /// than `[limits] causation_depth` allows lead to it ([`Error::LimitExceeded`]).
    pub fn append(&mut self, event: NewEvent) -> Result<(), Error> {
        let event = event.into_host()?;
        Ok(host::append::append(self.cause, std::slice::from_ref(&event))?)
    }

    /// Appends events in this order, all or none.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_all(&mut self, events: impl IntoIterator<Item = NewEvent>) -> Result<(), Error> {
        let events = events.into_iter().map(NewEvent::into_host).collect::<Result<Vec<_>, _>>()?;
        Ok(host::append::append(self.cause, &events)?)
    }

    /// Sends a command, caused by the event at hand; answers its id. It is accepted when the handler's effects commit,
    /// and decided once, later.
    ///
    /// # Errors
    /// When its data cannot be written, a field is out of bounds ([`Error::Invalid`]), it is not granted
    /// ([`Error::Denied`]), or a limit of appending is used up ([`Error::LimitExceeded`]).
    pub fn dispatch(&mut self, command: NewCommand) -> Result<String, Error> {
        let ids = host::dispatch::dispatch(self.cause, &[command.into_host()?])?;
        Ok(ids.into_iter().next().unwrap_or_default())
    }
}
