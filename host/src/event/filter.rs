//! What a reader, a subscription or one item of a query asks of an event.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::RecordedEvent;
use super::name::{NameError, StreamName, Tag, check_plain};

/// A name, or the beginning of names when it ends in `*`; `*` alone matches every name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    text: Box<str>,
    /// Whether it is a name and not the beginning of names.
    exact: bool,
}

impl Pattern {
    /// Checks a text and takes it as a pattern.
    ///
    /// # Errors
    /// When it is empty, too long or holds control characters.
    pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
        let text = text.into();
        check_plain("pattern", &text)?;
        Ok(Self { exact: !text.ends_with('*'), text: text.into_boxed_str() })
    }

    /// Checks a text and takes it as the one name to match, even if it ends in `*`. Such a one does not survive
    /// being turned into text and back.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn literal(text: impl Into<String>) -> Result<Self, NameError> {
        Ok(Self { exact: true, ..Self::new(text)? })
    }

    /// The one that matches every name.
    #[must_use]
    pub fn all() -> Self {
        Self { text: "*".into(), exact: false }
    }

    /// The one that matches no name.
    #[must_use]
    pub fn none() -> Self {
        // No name is empty.
        Self { text: "".into(), exact: true }
    }

    /// Whether it matches a name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self.beginning() {
            Some(beginning) => name.starts_with(beginning),
            None => name == &*self.text,
        }
    }

    /// Whether it matches every name that another pattern matches.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self.beginning(), other.beginning()) {
            (Some(beginning), Some(narrower)) => narrower.starts_with(beginning),
            (_, None) => other.text.is_empty() || self.matches(&other.text),
            (None, Some(_)) => false,
        }
    }

    /// The one name it matches; none when it ends in `*`.
    #[must_use]
    pub fn exact(&self) -> Option<&str> {
        self.exact.then_some(&*self.text)
    }

    /// What the names it matches begin with; none when it matches one name.
    fn beginning(&self) -> Option<&str> {
        self.text.strip_suffix('*').filter(|_| !self.exact)
    }

    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Pattern {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text.into()
    }
}

/// A condition on events: any of the types, any of the streams, all of the tags. An empty list asks nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// The event's type matches one of these.
    pub types: Vec<Pattern>,
    /// The event's stream matches one of these; events outside any stream match only an empty list.
    pub streams: Vec<Pattern>,
    /// The event carries every one of these.
    pub tags: Vec<Tag>,
}

impl Filter {
    /// The filter that every event matches.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// The events of one stream.
    #[must_use]
    pub fn stream(name: &StreamName) -> Self {
        Self { streams: vec![Pattern { text: name.as_str().into(), exact: true }], ..Self::default() }
    }

    /// Whether it asks nothing.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.types.is_empty() && self.streams.is_empty() && self.tags.is_empty()
    }

    /// Whether it is of those that plainly match nothing: [`Self::and`] of what has nothing in common is.
    #[must_use]
    pub fn is_none(&self) -> bool {
        let nothing = |patterns: &[Pattern]| !patterns.is_empty() && patterns.iter().all(|one| *one == Pattern::none());
        nothing(&self.types) || nothing(&self.streams)
    }

    /// The filter that matches what both match.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let tags = other.tags.iter().filter(|tag| !self.tags.contains(tag));
        Self {
            types: both(&self.types, &other.types),
            streams: both(&self.streams, &other.streams),
            tags: self.tags.iter().chain(tags).cloned().collect(),
        }
    }

    /// Whether it matches, as far as it can be told from the filters alone, every event that another one matches.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        all_covered(&self.types, &other.types)
            && all_covered(&self.streams, &other.streams)
            && self.tags.iter().all(|tag| other.tags.contains(tag))
    }

    /// Whether an event matches.
    #[must_use]
    pub fn matches(&self, event: &RecordedEvent) -> bool {
        self.matches_type(event.event_type.as_str())
            && self.matches_stream(event.stream.as_ref().map(StreamName::as_str))
            && self.tags.iter().all(|tag| event.tags.contains(tag))
    }

    /// Whether an event matches of which these parts are known; `has_tag` is asked only where it matters.
    ///
    /// # Errors
    /// Those of `has_tag`.
    pub fn matches_parts<E>(
        &self,
        event_type: &str,
        stream: Option<&str>,
        mut has_tag: impl FnMut(&Tag) -> Result<bool, E>,
    ) -> Result<bool, E> {
        if !self.matches_type(event_type) || !self.matches_stream(stream) {
            return Ok(false);
        }
        for tag in &self.tags {
            if !has_tag(tag)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether an event type matches.
    #[must_use]
    pub fn matches_type(&self, event_type: &str) -> bool {
        self.types.is_empty() || self.types.iter().any(|pattern| pattern.matches(event_type))
    }

    /// Whether a stream, or none, matches.
    #[must_use]
    pub fn matches_stream(&self, stream: Option<&str>) -> bool {
        self.streams.is_empty()
            || stream.is_some_and(|stream| self.streams.iter().any(|pattern| pattern.matches(stream)))
    }
}

/// Patterns that match what both of two lists match, of which an empty one asks nothing.
fn both(one: &[Pattern], other: &[Pattern]) -> Vec<Pattern> {
    if one.is_empty() || other.is_empty() {
        return [one, other].concat();
    }
    let mut both = Vec::new();
    for (a, b) in one.iter().flat_map(|a| other.iter().map(move |b| (a, b))) {
        let narrower = if a.covers(b) { b } else { a };
        if (a.covers(b) || b.covers(a)) && !both.contains(narrower) {
            both.push(narrower.clone());
        }
    }
    if both.is_empty() { vec![Pattern::none()] } else { both }
}

/// Whether each pattern of a list is covered by one of another, where an empty list asks nothing.
fn all_covered(wide: &[Pattern], narrow: &[Pattern]) -> bool {
    let covered = |pattern| wide.iter().any(|wide| wide.covers(pattern));
    wide.is_empty() || (!narrow.is_empty() && narrow.iter().all(covered))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names_or_beginnings() {
        let exact = Pattern::new("order-1").unwrap();
        assert!(exact.matches("order-1") && !exact.matches("order-11"));
        let beginning = Pattern::new("order-*").unwrap();
        assert!(beginning.matches("order-11") && !beginning.matches("payment-1"));
        assert!(Pattern::new("*").unwrap().matches("anything"));
        assert_eq!((exact.exact(), beginning.exact()), (Some("order-1"), None));
        let literal = Pattern::literal("order-*").unwrap();
        assert!(literal.matches("order-*") && !literal.matches("order-11") && literal.exact() == Some("order-*"));
    }

    #[test]
    fn a_pattern_covers_what_matches_less() {
        let covers = |wide: &str, narrow: &str| Pattern::new(wide).unwrap().covers(&Pattern::new(narrow).unwrap());
        assert!(covers("A", "A") && covers("A*", "A") && covers("A*", "AB*") && covers("*", "A*") && covers("*", "*"));
        assert!(!covers("A", "A*") && !covers("AB*", "A*") && !covers("A", "B") && !covers("A*", "*"));
    }

    #[test]
    fn a_stream_filter_excludes_events_outside_any_stream() {
        let filter = Filter { streams: vec![Pattern::new("*").unwrap()], ..Filter::default() };
        assert!(filter.matches_stream(Some("a")) && !filter.matches_stream(None));
        assert!(Filter::all().matches_stream(None));
    }

    fn filter(types: &[&str], streams: &[&str]) -> Filter {
        let patterns = |texts: &[&str]| texts.iter().map(|text| Pattern::new(*text).unwrap()).collect();
        Filter { types: patterns(types), streams: patterns(streams), ..Filter::default() }
    }

    #[test]
    fn two_filters_together_match_what_both_match() {
        let reach = filter(&["Order*", "Paid"], &["order-*"]);
        for (asked, both) in [
            (filter(&[], &[]), reach.clone()),
            (filter(&["OrderPlaced", "Sent"], &["order-1"]), filter(&["OrderPlaced"], &["order-1"])),
            (filter(&["*"], &["*"]), reach.clone()),
            (filter(&["O*"], &["order-1*", "order-1"]), filter(&["Order*"], &["order-1*", "order-1"])),
        ] {
            assert_eq!(reach.and(&asked), both, "{asked:?}");
            assert!(reach.covers(&both) && asked.covers(&both), "{asked:?}");
        }
        let nothing = reach.and(&filter(&["Sent"], &[]));
        assert!(!nothing.matches_type("Sent") && !nothing.matches_type("Paid"));
        let tag = |name: &str| Tag::new(name).unwrap();
        let tags = |tags: &[&str]| Filter { tags: tags.iter().map(|name| tag(name)).collect(), ..Filter::default() };
        assert_eq!(tags(&["a", "b"]).and(&tags(&["b", "c"])), tags(&["a", "b", "c"]));
    }

    #[test]
    fn a_filter_covers_what_asks_as_much_or_more() {
        let reach = filter(&["Order*"], &["order-*"]);
        assert!(reach.covers(&filter(&["OrderPlaced", "OrderP*"], &["order-1"])));
        for wider in [filter(&[], &["order-1"]), filter(&["OrderPlaced"], &[]), filter(&["O*"], &["order-1"])] {
            assert!(!reach.covers(&wider), "{wider:?}");
        }
        assert!(Filter::all().covers(&reach) && !reach.covers(&Filter::all()));
    }
}
