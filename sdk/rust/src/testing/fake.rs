//! The host's functions, over plain collections of this thread.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::mem;

use crate::host::{HostError, NewCommand, NewEvent};
use crate::log::Level;

/// What a plugin under test finds and leaves.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    pub(crate) state: BTreeMap<String, Vec<u8>>,
    pub(crate) config: BTreeMap<String, String>,
    /// The types it may append; none for all.
    pub(crate) grants: Option<Vec<String>>,
    pub(crate) appended: Vec<NewEvent>,
    /// The commands that it may send, as `aggregate:Type` with `*` for any rest; none for all.
    pub(crate) dispatch_grants: Option<Vec<String>>,
    pub(crate) dispatched: Vec<NewCommand>,
    pub(crate) lines: Vec<(Level, String)>,
    /// Whether a query is answered: nothing is changed then.
    pub(crate) reads_only: bool,
}

/// Refuses a change while a query is answered.
fn check_writes(fake: &Fake, what: &str) -> Result<(), HostError> {
    if fake.reads_only { Err(HostError::Denied(format!("{what}: a query reads, and changes nothing"))) } else { Ok(()) }
}

thread_local! {
    static FAKE: RefCell<Fake> = RefCell::default();
}

/// Exchanges this thread's fake.
pub(crate) fn swap(other: &mut Fake) {
    FAKE.with_borrow_mut(|fake| mem::swap(fake, other));
}

/// Begins or ends a query on this thread's fake.
pub(crate) fn read_only(reads_only: bool) {
    FAKE.with_borrow_mut(|fake| fake.reads_only = reads_only);
}

pub(crate) mod state {
    use std::ops::Bound;

    use super::{FAKE, check_writes};
    use crate::host::{Entry, HostError, Page};

    pub(crate) fn get(key: &str) -> Result<Option<Vec<u8>>, HostError> {
        FAKE.with_borrow(|fake| Ok(fake.state.get(key).cloned()))
    }

    pub(crate) fn set(key: &str, value: &[u8]) -> Result<(), HostError> {
        if key.is_empty() || key.len() > 1024 {
            return Err(HostError::Invalid(format!("state key has {} bytes; 1 to 1024 are allowed", key.len())));
        }
        FAKE.with_borrow_mut(|fake| {
            check_writes(fake, "state.set")?;
            fake.state.insert(key.into(), value.into());
            Ok(())
        })
    }

    pub(crate) fn delete(key: &str) -> Result<(), HostError> {
        FAKE.with_borrow_mut(|fake| {
            check_writes(fake, "state.delete")?;
            fake.state.remove(key);
            Ok(())
        })
    }

    pub(crate) fn scan(prefix: &str, after: Option<&str>, limit: u32) -> Result<Page, HostError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        FAKE.with_borrow(|fake| {
            let start = match after {
                Some(after) if after >= prefix => Bound::Excluded(after),
                _ => Bound::Included(prefix),
            };
            let matching = fake.state.range::<str, _>((start, Bound::Unbounded));
            let mut matching = matching.take_while(|(key, _)| key.starts_with(prefix)).peekable();
            let entry = |(key, value): (&String, &Vec<u8>)| Entry { key: key.clone(), value: value.clone() };
            let entries: Vec<Entry> = matching.by_ref().take(limit).map(entry).collect();
            let next = matching.peek().and_then(|_| entries.last().map(|entry| entry.key.clone()));
            Ok(Page { entries, next })
        })
    }
}

pub(crate) mod append {
    use super::{FAKE, check_writes};
    use crate::host::{HostError, NewEvent};

    pub(crate) fn append(_cause: u64, events: &[NewEvent]) -> Result<(), HostError> {
        FAKE.with_borrow_mut(|fake| {
            check_writes(fake, "append")?;
            let denied = |event: &&NewEvent| fake.grants.as_ref().is_some_and(|all| !all.contains(&event.event_type));
            if let Some(event) = events.iter().find(denied) {
                return Err(HostError::Denied(format!("appending {} is not granted", event.event_type)));
            }
            fake.appended.extend_from_slice(events);
            Ok(())
        })
    }
}

pub(crate) mod dispatch {
    use super::{FAKE, check_writes};
    use crate::host::{HostError, NewCommand};

    /// Whether a grant is of a command; `*` at its end matches any rest.
    fn allows(grant: &str, command: &str) -> bool {
        grant.strip_suffix('*').map_or(grant == command, |prefix| command.starts_with(prefix))
    }

    pub(crate) fn dispatch(cause: u64, commands: &[NewCommand]) -> Result<Vec<String>, HostError> {
        FAKE.with_borrow_mut(|fake| {
            check_writes(fake, "dispatch")?;
            let mut named = Vec::with_capacity(commands.len());
            for (ordinal, command) in (fake.dispatched.len()..).zip(commands) {
                let wanted = format!("{}:{}", command.aggregate, command.command_type);
                if fake.dispatch_grants.as_ref().is_some_and(|all| !all.iter().any(|grant| allows(grant, &wanted))) {
                    return Err(HostError::Denied(format!("sending {wanted} is not granted")));
                }
                let id = command.id.clone().unwrap_or_else(|| format!("plugin/{cause}/{ordinal}"));
                named.push(NewCommand { id: Some(id), ..command.clone() });
            }
            let ids = named.iter().filter_map(|command| command.id.clone()).collect();
            fake.dispatched.extend(named);
            Ok(ids)
        })
    }
}

pub(crate) mod config {
    use super::FAKE;

    pub(crate) fn get(key: &str) -> Option<String> {
        FAKE.with_borrow(|fake| fake.config.get(key).cloned())
    }
}

pub(crate) mod log {
    use super::FAKE;
    use crate::host;
    use crate::log::Level;

    pub(crate) fn log(level: host::Level, message: &str) {
        let level = match level {
            host::Level::Trace => Level::Trace,
            host::Level::Debug => Level::Debug,
            host::Level::Info => Level::Info,
            host::Level::Warn => Level::Warn,
            host::Level::Error => Level::Error,
        };
        FAKE.with_borrow_mut(|fake| fake.lines.push((level, message.into())));
    }
}
