//! How a plugin introduces itself.

use std::num::NonZeroU32;

use crate::description_bindings::exports::tidemill::plugin::description as contract;

/// How a plugin introduces itself. [`export!`](crate::export!) builds it: each of its `key = value`
/// pairs is a method here. What the operator's manifest says wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    name: String,
    version: String,
    summary: String,
    types: Vec<String>,
    streams: Vec<String>,
    tags: Vec<String>,
    append: Vec<String>,
    /// Pairs of the open tail: `request.*` and what is requested, `query` and its name, `schema` and its number.
    requests: Vec<(String, String)>,
}

impl Description {
    /// Nothing said yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Its name; the package's, if not given. The installed name is that of its file or folder.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Its version, for people; the package's, if not given.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// What it does, in one line; the package's description, if not given.
    #[must_use]
    pub fn summary(mut self, summary: impl Into<String>) -> Self {
        self.summary = summary.into();
        self
    }

    /// The event types it listens to; a `*` at the end matches any rest. If not given: those of the
    /// subscriber's enum, when it is [`typed`](fn@crate::typed), else all.
    #[must_use]
    pub fn types<T: ToString>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.types = texts(types);
        self
    }

    /// The streams it listens to, such as `order-*`; all, if not given.
    #[must_use]
    pub fn streams<T: ToString>(mut self, streams: impl IntoIterator<Item = T>) -> Self {
        self.streams = texts(streams);
        self
    }

    /// The tags an event must all carry.
    #[must_use]
    pub fn tags<T: ToString>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags = texts(tags);
        self
    }

    /// The event types it wants to append. A request: the manifest's `[grants]` allow it.
    #[must_use]
    pub fn append<T: ToString>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.append = texts(types);
        self
    }

    /// Where it wants to send HTTP requests, such as `https://api.example.com/v1/`. A request: the manifest's
    /// `[grants]` allow it.
    #[must_use]
    pub fn http<T: ToString>(self, urls: impl IntoIterator<Item = T>) -> Self {
        self.request("request.http", urls)
    }

    /// The commands it wants to send, such as `account:Withdraw`. A request: the manifest's `[grants]` allow it.
    #[must_use]
    pub fn dispatch<T: ToString>(self, commands: impl IntoIterator<Item = T>) -> Self {
        self.request("request.dispatch", commands)
    }

    /// The names of the queries that it answers: shown to people, and told to who asks for another one.
    #[must_use]
    pub fn queries<T: ToString>(self, names: impl IntoIterator<Item = T>) -> Self {
        self.request("query", names)
    }

    /// The keys of its configuration that it cannot do without.
    #[must_use]
    pub fn config<T: ToString>(self, keys: impl IntoIterator<Item = T>) -> Self {
        self.request("request.config", keys)
    }

    /// The secrets that the host must add to its requests, by name.
    #[must_use]
    pub fn secrets<T: ToString>(self, names: impl IntoIterator<Item = T>) -> Self {
        self.request("request.secret", names)
    }

    /// Which schema its state has, from 1; [`export!`](crate::export!) takes the number. Raise it when another state is to
    /// be made of the same events: the host builds it anew beside the one there is, and then changes over. It is neither an
    /// event's `schema_version` nor an aggregate's [`SNAPSHOT_SCHEMA`](crate::Aggregate::SNAPSHOT_SCHEMA).
    ///
    /// ```
    /// # use tidemill_sdk::{Context, Event, Outcome, export};
    /// # fn handle(_: &Event, _: &mut Context) -> Outcome { Ok(()) }
    /// export!(handle, state_schema = 2);
    /// ```
    /// There is no schema 0:
    /// ```compile_fail
    /// # use tidemill_sdk::{Context, Event, Outcome, export};
    /// # fn handle(_: &Event, _: &mut Context) -> Outcome { Ok(()) }
    /// export!(handle, state_schema = 0);
    /// ```
    #[must_use]
    pub fn state_schema(self, number: NonZeroU32) -> Self {
        self.request("schema", [number])
    }

    /// The number of a schema. [`export!`](crate::export!) asks for it while the plugin is compiled.
    #[doc(hidden)]
    #[must_use]
    pub const fn schema_number(number: u32) -> NonZeroU32 {
        match NonZeroU32::new(number) {
            Some(number) => number,
            None => panic!("`state_schema` is 0: number the schemas of the state from 1"),
        }
    }

    fn request<T: ToString>(mut self, key: &str, items: impl IntoIterator<Item = T>) -> Self {
        self.requests.extend(items.into_iter().map(|item| (key.to_owned(), item.to_string())));
        self
    }

    /// Fills in the types that the subscriber knows, if none were given.
    pub(crate) fn or_types(mut self, known: &[&str]) -> Self {
        if self.types.is_empty() {
            self.types = texts(known);
        }
        self
    }
}

fn texts<T: ToString>(items: impl IntoIterator<Item = T>) -> Vec<String> {
    items.into_iter().map(|item| item.to_string()).collect()
}

impl From<Description> for contract::Description {
    fn from(description: Description) -> Self {
        let Description { name, version, summary, types, streams, tags, append, requests } = description;
        let sdk = ("sdk".to_owned(), concat!("tidemill-rust ", env!("CARGO_PKG_VERSION")).to_owned());
        let extra = requests.into_iter().chain([sdk]).collect();
        Self { name, version, summary, types, streams, tags, append, extra }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_types_win_over_the_subscribers_own() {
        assert_eq!(Description::new().or_types(&["A", "B"]).types, ["A", "B"]);
        assert_eq!(Description::new().types(["Order*"]).or_types(&["A"]).types, ["Order*"]);
    }

    #[test]
    fn the_schema_of_the_state_is_said_where_it_is_given() {
        let said = |description: Description| {
            let extra = contract::Description::from(description).extra;
            extra.into_iter().find(|(key, _)| key == "schema").map(|(_, schema)| schema)
        };
        assert_eq!(said(Description::new()), None);
        let given = Description::new().state_schema(Description::schema_number(2));
        assert_eq!(said(given).as_deref(), Some("2"));
    }

    #[test]
    #[should_panic(expected = "`state_schema` is 0")]
    fn no_schema_has_the_number_0() {
        let _ = Description::schema_number(0);
    }
}
