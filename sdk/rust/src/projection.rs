//! The role of a plugin that answers queries about its state.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Config, Context, Error, Event, Failure, Outcome, Query, State, Subscriber, host, json};

/// What a query answers: an [`Answer`], or why there is none.
pub type Answered = Result<Answer, QueryError>;

/// A subscriber that answers queries about the state that it makes. [`projection`] makes one of two functions, and so
/// does `export!`:
///
/// ```
/// # use tidemill_sdk::{Answer, Answered, Context, Event, Outcome, Query, QueryError, ReadContext, export};
/// fn handle(event: &Event, ctx: &mut Context) -> Outcome {
///     ctx.state().add(event.event_type(), 1)?;
///     Ok(())
/// }
///
/// fn query(query: &Query, ctx: &ReadContext) -> Answered {
///     match query.name() {
///         "count" => Answer::json(&ctx.state().count(&query.require::<String>("type")?)?),
///         _ => Err(QueryError::Unknown),
///     }
/// }
///
/// export!(handle, query = query, queries = ["count"]);
/// ```
///
/// `export!(projection: value)` exports a value of a type of your own that implements the trait.
///
/// Queries run on instances of their own, several at a time, beside the one that handles events; each sees the state
/// of one moment, and is answered by a projection that is made for it. So it shares nothing with the handler but the
/// state, and keeps nothing for the next query.
pub trait Projection: Subscriber {
    /// Answers a query. It reads: what it tries to change is denied.
    ///
    /// # Errors
    /// When it has no answer.
    fn query(&mut self, query: &Query<'_>, ctx: &ReadContext) -> Answered;
}

/// A projection of a subscriber and a function that answers queries.
pub fn projection<S, Q>(subscriber: S, query: Q) -> Projected<S, Q>
where
    S: Subscriber,
    Q: FnMut(&Query<'_>, &ReadContext) -> Answered,
{
    Projected { subscriber, query }
}

/// The projection that [`projection`](fn@projection) makes.
pub struct Projected<S, Q> {
    subscriber: S,
    query: Q,
}

impl<S: fmt::Debug, Q> fmt::Debug for Projected<S, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Projected").field("subscriber", &self.subscriber).finish_non_exhaustive()
    }
}

impl<S: Subscriber, Q> Subscriber for Projected<S, Q> {
    fn start(&mut self, config: Config) -> Outcome {
        self.subscriber.start(config)
    }

    fn handle(&mut self, event: &Event<'_>, ctx: &mut Context) -> Outcome {
        self.subscriber.handle(event, ctx)
    }

    fn event_types(&self) -> &'static [&'static str] {
        self.subscriber.event_types()
    }
}

impl<S: Subscriber, Q: FnMut(&Query<'_>, &ReadContext) -> Answered> Projection for Projected<S, Q> {
    fn query(&mut self, query: &Query<'_>, ctx: &ReadContext) -> Answered {
        (self.query)(query, ctx)
    }
}

/// What a query may look at.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ReadContext;

impl ReadContext {
    /// The plugin's state, as of one moment.
    #[must_use]
    pub fn state(&self) -> ReadState {
        ReadState
    }

    /// The `[config]` table of the plugin's manifest.
    #[must_use]
    pub fn config(&self) -> Config {
        Config
    }
}

/// The plugin's state, to read: see [`State`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ReadState;

impl ReadState {
    /// The bytes under a key, if there are any.
    ///
    /// # Errors
    /// See [`State`].
    pub fn get(self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        State.get(key)
    }

    /// The JSON value under a key, if there is one.
    ///
    /// # Errors
    /// As [`State::get_json`].
    pub fn get_json<T: DeserializeOwned>(self, key: &str) -> Result<Option<T>, Error> {
        State.get_json(key)
    }

    /// The number under a key, 0 if there is none.
    ///
    /// # Errors
    /// As [`State::count`].
    pub fn count(self, key: &str) -> Result<u64, Error> {
        State.count(key)
    }

    /// The entries whose key begins with `prefix`, in key order.
    #[must_use]
    pub fn scan(self, prefix: impl Into<String>) -> crate::Scan {
        State.scan(prefix)
    }

    /// The entries whose key begins with `prefix`, in key order, their values read as JSON.
    pub fn scan_json<T: DeserializeOwned>(
        self,
        prefix: impl Into<String>,
    ) -> impl Iterator<Item = Result<(String, T), Error>> {
        State.scan_json(prefix)
    }
}

/// What a query answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// None for JSON.
    content_type: Option<String>,
    body: Vec<u8>,
}

impl Answer {
    /// A value, as JSON.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Answered {
        let body = json::to_string(value)
            .map_err(|error| QueryError::failed(format_args!("the answer cannot be written as JSON: {error}")))?;
        Ok(Self { content_type: None, body: body.into_bytes() })
    }

    /// Anything else, under a content type such as `text/csv; charset=utf-8`.
    pub fn of(content_type: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self { content_type: Some(content_type.into()), body: body.into() }
    }

    /// Its content type.
    #[must_use]
    pub fn content_type(&self) -> &str {
        self.content_type.as_deref().unwrap_or("application/json")
    }

    /// Its bytes.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    pub(crate) fn into_host(self) -> host::Answer {
        let Self { content_type, body } = self;
        let payload = match (&content_type, String::from_utf8(body)) {
            (None, Ok(text)) => host::AnswerPayload::Json(text),
            // What serde writes is UTF-8.
            (None, Err(error)) => host::AnswerPayload::Binary(error.into_bytes()),
            (Some(_), text) => host::AnswerPayload::Binary(text.map_or_else(|e| e.into_bytes(), String::into_bytes)),
        };
        host::Answer { payload, content_type }
    }
}

/// Why a query has no answer. `?` makes [`Failed`](Self::Failed) of an [`Error`], and [`Query`] makes
/// [`Invalid`](Self::Invalid) of bad parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueryError {
    /// There is no such query.
    Unknown,
    /// A parameter is missing, not known, or has a bad value.
    Invalid(String),
    /// It could not be answered.
    Failed(String),
}

impl QueryError {
    /// A parameter is wrong: says which, and what it takes.
    pub fn invalid(reason: impl fmt::Display) -> Self {
        Self::Invalid(reason.to_string())
    }

    /// It could not be answered: says why.
    pub fn failed(reason: impl fmt::Display) -> Self {
        Self::Failed(reason.to_string())
    }

    pub(crate) fn into_host(self) -> host::QueryError {
        match self {
            Self::Unknown => host::QueryError::UnknownQuery,
            Self::Invalid(text) => host::QueryError::Invalid(text),
            Self::Failed(text) => host::QueryError::Failed(text),
        }
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("there is no such query"),
            Self::Invalid(text) | Self::Failed(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for QueryError {}

impl From<Error> for QueryError {
    fn from(error: Error) -> Self {
        Self::failed(error)
    }
}

impl From<Failure> for QueryError {
    fn from(failure: Failure) -> Self {
        Self::failed(failure)
    }
}
