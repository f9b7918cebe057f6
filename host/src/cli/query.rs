//! Builds request paths, and the filter options that several commands share.

use clap::Args;

use crate::api::percent_encode;

/// Which events.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct FilterArgs {
    /// Only events of this type; `*` at the end matches any rest. Repeat for any of several
    #[arg(long = "type", value_name = "TYPE")]
    pub(super) types: Vec<String>,
    /// Only events with this tag. Repeat for all of several
    #[arg(long = "tag", value_name = "TAG")]
    pub(super) tags: Vec<String>,
    /// Only events of this stream; `*` at the end matches any rest. Repeat for any of several
    #[arg(long = "stream", value_name = "STREAM")]
    pub(super) streams: Vec<String>,
    /// Only streams of this category: the part of their name before the first `-`
    #[arg(long = "category", value_name = "NAME", conflicts_with = "streams")]
    pub(super) categories: Vec<String>,
}

/// A path with parameters.
#[derive(Clone, Debug)]
pub(super) struct Query(String);

impl Query {
    /// A path of which each part stands for itself.
    pub(super) fn path(parts: &[&str]) -> Self {
        Self(parts.iter().fold(String::new(), |path, part| path + "/" + &percent_encode(part)))
    }

    /// Adds a parameter.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.0.push(if self.0.contains('?') { '&' } else { '?' });
        self.0.push_str(name);
        self.0.push('=');
        self.0.push_str(&percent_encode(value));
        self
    }

    /// Adds a parameter if there is a value.
    pub(super) fn with_some(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, &value.to_string()),
            None => self,
        }
    }

    /// Adds the parameters of a filter.
    pub(super) fn with_filter(self, filter: &FilterArgs) -> Self {
        let FilterArgs { types, tags, streams, categories } = filter;
        [("type", types), ("tag", tags), ("stream", streams), ("category", categories)]
            .into_iter()
            .flat_map(|(name, values)| values.iter().map(move |value| (name, value)))
            .fold(self, |query, (name, value)| query.with(name, value))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded() {
        let filter = FilterArgs {
            streams: vec!["order/1*".into()],
            tags: vec!["a".into(), "b&c".into()],
            ..FilterArgs::default()
        };
        let query = Query::path(&["v1", "plugins", "a b"]).with_some("after", Some(3)).with_filter(&filter);
        assert_eq!(query.as_str(), "/v1/plugins/a%20b?after=3&tag=a&tag=b%26c&stream=order%2F1%2A");
    }
}
