//! `dispatch`: commands that the plugin wants decided.

use super::payload;
use crate::delivery::{Dispatch, EffectError};
use crate::event::{Category, EventType, NameError, NewEvent, Position};
use crate::runtime::bindings::dispatch::{Host, HostError, NewCommand};
use crate::runtime::guest::Guest;
use crate::trace::Span;

impl Host for Guest {
    fn dispatch(&mut self, cause: u64, commands: Vec<NewCommand>) -> Result<Vec<String>, HostError> {
        let _span = Span::call("dispatch");
        self.effects()?;
        let commands: Result<Vec<_>, EffectError> =
            commands.into_iter().enumerate().map(|(index, command)| check(index, command)).collect();
        let commands = commands.map_err(|error| self.refusal(error))?;
        self.effects()?.dispatch_all(Position(cause), commands).map_err(|error| self.refusal(error))
    }
}

fn check(index: usize, proposed: NewCommand) -> Result<Dispatch, EffectError> {
    let invalid = |reason: String| EffectError::Invalid(format!("command {index} of this call: {reason}"));
    let NewCommand { id, aggregate, key, command_type, data, content_type, metadata } = proposed;
    let (data, content_type) = payload(data, content_type).map_err(invalid)?;
    let name = |error: NameError| invalid(error.to_string());
    let mut event = NewEvent::json(EventType::new("command").map_err(name)?, data).with_content_type(content_type);
    event.metadata = metadata.into_iter().collect();
    Ok(Dispatch { id, aggregate: Category::new(aggregate).map_err(name)?, key, command_type, event })
}
