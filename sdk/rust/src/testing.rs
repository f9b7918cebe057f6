//! Runs a subscriber natively, for `cargo test`: no host, no wasm.
//!
//! ```
//! use tidemill_sdk::testing::{Given, Harness};
//! use tidemill_sdk::{Context, Event, NewEvent, Outcome};
//!
//! fn handle(event: &Event, ctx: &mut Context) -> Outcome {
//!     let orders = ctx.state().add("orders", 1)?;
//!     ctx.append(NewEvent::json("OrderCounted", &orders))?;
//!     Ok(())
//! }
//!
//! let mut plugin = Harness::new(handle);
//! let appended = plugin.handle(Given::json("OrderPlaced", &())).unwrap();
//! assert_eq!(appended[0].event_type, "OrderCounted");
//! assert_eq!(plugin.state_json::<u64>("orders"), Some(1));
//! ```
//!
//! Like the host, it undoes the effects of a failed attempt. Unlike the host, it has no limits, hands
//! over one event at a time, and a panic is a panic.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::log::Level;
use crate::{
    Answered, Config, Context, Event, Failure, Outcome, Projection, Query, QueryError, ReadContext, Subscriber, host,
    recent,
};

pub use crate::aggregate::testing::Decider;

pub(crate) mod fake;
pub(crate) mod packed;

use fake::Fake;
use packed::Packed;

/// An event to hand to a plugin under test.
#[derive(Clone, Debug)]
pub struct Given {
    event_type: String,
    stream: String,
    timestamp_us: u64,
    payload: Vec<u8>,
    tags: Vec<String>,
    metadata: BTreeMap<String, String>,
}

impl Given {
    /// An event of this type with a JSON body.
    ///
    /// # Panics
    /// When the body cannot be written as JSON.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a helper of tests")]
    pub fn json<T: Serialize + ?Sized>(event_type: &str, body: &T) -> Self {
        Self {
            event_type: event_type.into(),
            stream: String::new(),
            timestamp_us: 0,
            payload: serde_json::to_vec(body).expect("the body can be written as JSON"),
            tags: Vec::new(),
            metadata: BTreeMap::new(),
        }
    }

    /// Its stream.
    #[must_use]
    pub fn stream(mut self, stream: &str) -> Self {
        self.stream = stream.into();
        self
    }

    /// One more tag.
    #[must_use]
    pub fn tag(mut self, tag: &str) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// One more metadata entry.
    #[must_use]
    pub fn metadata(mut self, key: &str, value: &str) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// When it was stored, in microseconds since the Unix epoch.
    #[must_use]
    pub fn timestamp_us(mut self, timestamp_us: u64) -> Self {
        self.timestamp_us = timestamp_us;
        self
    }

    fn at(&self, position: u64) -> Packed {
        let context = serde_json::json!({ "tags": self.tags, "metadata": self.metadata });
        let mut packed = Packed::new(&self.event_type, &self.stream, &self.payload, &context.to_string());
        packed.head.position = position;
        packed.head.id.low = position;
        packed.head.timestamp_us = self.timestamp_us;
        packed
    }
}

/// An event that the plugin under test appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its type.
    pub event_type: String,
    /// Its stream, if any.
    pub stream: Option<String>,
    /// Its payload: JSON text, or any other bytes.
    pub payload: Vec<u8>,
    /// Its tags.
    pub tags: Vec<String>,
}

impl Appended {
    /// Its payload as a `T`.
    ///
    /// # Panics
    /// When it is not one.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a helper of tests")]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.payload).expect("the payload decodes")
    }

    /// The same event, to hand to another plugin.
    #[must_use]
    pub fn given(&self) -> Given {
        let mut given = Given::json(&self.event_type, &());
        given.payload.clone_from(&self.payload);
        given.stream = self.stream.clone().unwrap_or_default();
        given.tags.clone_from(&self.tags);
        given
    }
}

impl From<host::NewEvent> for Appended {
    fn from(event: host::NewEvent) -> Self {
        let payload = match event.payload {
            host::Payload::Json(text) => text.into_bytes(),
            host::Payload::Binary(bytes) => bytes,
        };
        Self { event_type: event.event_type, stream: event.stream, payload, tags: event.tags }
    }
}

/// A command that the plugin under test sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispatched {
    /// Its identity: the one that it was given, or the one that the host would answer.
    pub id: String,
    /// The kind of aggregate.
    pub aggregate: String,
    /// Which one.
    pub key: String,
    /// What is wanted.
    pub command_type: String,
    /// Its data: JSON text, or any other bytes.
    pub data: Vec<u8>,
    /// Its metadata.
    pub metadata: Vec<(String, String)>,
}

impl Dispatched {
    /// Its data as a `T`.
    ///
    /// # Panics
    /// When they are not one.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a helper of tests")]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.data).expect("the data decode")
    }
}

impl From<host::NewCommand> for Dispatched {
    fn from(command: host::NewCommand) -> Self {
        let data = match command.data {
            host::Payload::Json(text) => text.into_bytes(),
            host::Payload::Binary(bytes) => bytes,
        };
        let host::NewCommand { id, aggregate, key, command_type, metadata, .. } = command;
        Self { id: id.unwrap_or_default(), aggregate, key, command_type, data, metadata }
    }
}

/// A plugin under test, with state, configuration and grants of its own.
pub struct Harness {
    subscriber: Box<dyn Subscriber>,
    /// Makes what answers queries.
    projection: Option<Box<dyn Fn() -> Box<dyn Projection>>>,
    started: bool,
    position: u64,
    /// What the last event had it send.
    dispatched: Vec<Dispatched>,
    host: Fake,
}

impl fmt::Debug for Harness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness").field("position", &self.position).field("host", &self.host).finish_non_exhaustive()
    }
}

impl Harness {
    /// A plugin with empty state, no configuration, and the right to append and to send anything.
    #[must_use]
    pub fn new(subscriber: impl Subscriber + 'static) -> Self {
        let subscriber = Box::new(subscriber);
        let (projection, dispatched, host) = (None, Vec::new(), Fake::default());
        Self { subscriber, projection, started: false, position: 0, dispatched, host }
    }

    /// The same for one that answers queries, too: as in the host, each by a projection that is made for it.
    ///
    /// ```
    /// # use tidemill_sdk::testing::{Given, Harness};
    /// # use tidemill_sdk::{Answer, Answered, Context, Event, Outcome, Query, ReadContext, projection};
    /// # fn handle(_: &Event, ctx: &mut Context) -> Outcome { ctx.state().add("n", 1)?; Ok(()) }
    /// # fn query(_: &Query, ctx: &ReadContext) -> Answered { Answer::json(&ctx.state().count("n")?) }
    /// let mut plugin = Harness::projection(|| projection(handle, query));
    /// plugin.handle(Given::json("OrderPlaced", &())).unwrap();
    /// assert_eq!(plugin.query("count", &[]).unwrap().body(), b"1");
    /// ```
    #[must_use]
    pub fn projection<P: Projection + 'static>(make: impl Fn() -> P + 'static) -> Self {
        let subscriber = Self::new(make());
        Self { projection: Some(Box::new(move || Box::new(make()))), ..subscriber }
    }

    /// Has the plugin answer a query.
    ///
    /// # Errors
    /// Why it has no answer.
    ///
    /// # Panics
    /// When it was not made by [`projection`](Self::projection).
    #[expect(clippy::expect_used, reason = "a helper of tests")]
    pub fn query(&mut self, name: &str, parameters: &[(&str, &str)]) -> Answered {
        let mut projection = self.projection.as_ref().expect("a plugin that answers queries: `Harness::projection`")();
        let parameters = parameters.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let request = host::Request { query: name.into(), parameters, checkpoint: self.position, context: None };
        self.with_host(|_| {
            recent::forget();
            fake::read_only(true);
            let answered = projection
                .start(Config)
                .map_err(QueryError::from)
                .and_then(|()| projection.query(&Query::of(&request), &ReadContext));
            fake::read_only(false);
            recent::forget();
            answered
        })
    }

    /// Sets a key of the manifest's `[config]`.
    #[must_use]
    pub fn config(mut self, key: &str, value: impl ToString) -> Self {
        self.host.config.insert(key.into(), value.to_string());
        self
    }

    /// Allows only these types to be appended.
    #[must_use]
    pub fn grant(mut self, types: &[&str]) -> Self {
        self.host.grants = Some(types.iter().map(ToString::to_string).collect());
        self
    }

    /// Allows only these commands to be sent, as the manifest says them: `account:Deposit`, `account:*`, `*`.
    #[must_use]
    pub fn grant_dispatch(mut self, commands: &[&str]) -> Self {
        self.host.dispatch_grants = Some(commands.iter().map(ToString::to_string).collect());
        self
    }

    /// Hands over one event, at the next position, and answers what the plugin appended. What it sent is
    /// [`dispatched`](Self::dispatched).
    ///
    /// # Errors
    /// The plugin's failure; its effects are undone.
    pub fn handle(&mut self, event: Given) -> Outcome<Vec<Appended>> {
        self.position += 1;
        let packed = event.at(self.position);
        let state_before = self.host.state.clone();
        let outcome = self.with_host(|harness| harness.call(&packed.event()));
        let appended = std::mem::take(&mut self.host.appended);
        let dispatched = std::mem::take(&mut self.host.dispatched);
        self.dispatched = dispatched.into_iter().filter(|_| outcome.is_ok()).map(Dispatched::from).collect();
        match outcome {
            Ok(()) => Ok(appended.into_iter().map(Appended::from).collect()),
            Err(failure) => {
                self.host.state = state_before;
                Err(failure)
            }
        }
    }

    fn call(&mut self, event: &Event<'_>) -> Result<(), Failure> {
        recent::forget();
        if !self.started {
            self.subscriber.start(Config)?;
            self.started = true;
        }
        self.subscriber.handle(event, &mut Context::for_event_at(event.position()))
    }

    fn with_host<R>(&mut self, call: impl FnOnce(&mut Self) -> R) -> R {
        fake::swap(&mut self.host);
        let answer = call(self);
        fake::swap(&mut self.host);
        answer
    }

    /// The commands that the last event had it send; none when it failed.
    #[must_use]
    pub fn dispatched(&self) -> &[Dispatched] {
        &self.dispatched
    }

    /// The bytes under a state key.
    #[must_use]
    pub fn state(&self, key: &str) -> Option<&[u8]> {
        self.host.state.get(key).map(Vec::as_slice)
    }

    /// The value under a state key, as a `T`.
    ///
    /// # Panics
    /// When it is not one.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a helper of tests")]
    pub fn state_json<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        self.state(key).map(|bytes| serde_json::from_slice(bytes).expect("the state decodes"))
    }

    /// The keys in its state, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.host.state.keys().map(String::as_str)
    }

    /// What it logged, also in failed attempts.
    #[must_use]
    pub fn log_lines(&self) -> &[(Level, String)] {
        &self.host.lines
    }
}

#[cfg(test)]
mod tests;
