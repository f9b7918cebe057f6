//! How a plugin introduces itself.

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
    /// Pairs of the open tail: `request.*` and what is requested, `query` and its name.
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
}
