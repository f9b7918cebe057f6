//! The parameters that say which events are wanted, the same for reading and for subscribing.

use super::params::{Params, bad_value};
use super::percent::encode;
use super::problem::Problem;
use crate::event::{Filter, NameError, Pattern, Tag};

/// Takes `type`, `tag`, `stream` and `category`, each any number of times.
pub(super) fn filter(params: &Params) -> Result<Filter, Problem> {
    let streams = patterns(params, "stream")?;
    let categories = params.all("category").map(category).collect::<Result<Vec<_>, _>>()?;
    if !streams.is_empty() && !categories.is_empty() {
        return Err(Problem::invalid("both `stream` and `category` are given; give one of them"));
    }
    Ok(Filter {
        types: patterns(params, "type")?,
        streams: streams.into_iter().chain(categories.into_iter().flatten()).collect(),
        tags: params.all("tag").map(Tag::new).collect::<Result<_, NameError>>()?,
    })
}

fn patterns(params: &Params, name: &'static str) -> Result<Vec<Pattern>, Problem> {
    params
        .all(name)
        .map(Pattern::new)
        .collect::<Result<_, _>>()
        .map_err(|error: NameError| Problem::invalid(format!("parameter `{name}`: {error}")).with("parameter", name))
}

/// The streams of a category: its name alone, and its name before the first `-`.
fn category(name: &str) -> Result<[Pattern; 2], Problem> {
    if name.contains(['-', '*']) {
        return Err(bad_value("category", name, "a category is the part of a stream's name before the first '-'"));
    }
    Ok([Pattern::new(name)?, Pattern::new(format!("{name}-*"))?])
}

/// Builds a link: a path, then parameters.
pub(super) struct Link(String);

impl Link {
    /// A link to a path, which must be encoded already.
    pub(super) fn to(path: impl Into<String>) -> Self {
        Self(path.into())
    }

    /// Adds a parameter.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.0.push(if self.0.contains('?') { '&' } else { '?' });
        self.0.push_str(name);
        self.0.push('=');
        self.0.push_str(&encode(value));
        self
    }

    /// Adds parameters of the request as they are.
    pub(super) fn with_same(self, params: &Params, names: &[&'static str]) -> Self {
        names.iter().fold(self, |link, name| params.all(name).fold(link, |link, value| link.with(name, value)))
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}
