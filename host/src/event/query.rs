//! Which events a reader wants or an append depends on: any of several filters.
//!
//! The form of a query is that of DCB (dcb.events): items are OR'ed; within an item the types are OR'ed and
//! the tags AND'ed, exactly, by their text. Tidemill's items may also name streams. The order of items means
//! nothing, and an event that matches several of them matches once.

use thiserror::Error;

use super::limits::{QUERY_ITEMS_MAX, QUERY_NAMES_MAX};
use super::{Filter, RecordedEvent, Tag};

/// Any of several filters; with no filter, every event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// The filters, at most [`QUERY_ITEMS_MAX`]; together of at most [`QUERY_NAMES_MAX`] patterns and tags.
    pub items: Vec<Filter>,
}

/// Why a query is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidQuery {
    /// Too many items.
    #[error("{count} items in one query; at most {QUERY_ITEMS_MAX} are allowed")]
    TooManyItems {
        /// How many.
        count: usize,
    },
    /// Too many names.
    #[error("{count} types, streams and tags in one query; at most {QUERY_NAMES_MAX} are allowed together")]
    TooManyNames {
        /// How many.
        count: usize,
    },
    /// Too many names once it asks no more than somebody may see.
    #[error(
        "narrowed to what the key is for, the query has {count} types, streams and tags; at most {QUERY_NAMES_MAX} are \
         allowed together; ask for fewer items at a time, or use a key of wider reach"
    )]
    TooManyNarrowed {
        /// How many.
        count: usize,
    },
}

impl Query {
    /// The query that every event matches.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Whether every event matches.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.items.is_empty() || self.items.iter().any(Filter::is_all)
    }

    /// Whether an event matches.
    #[must_use]
    pub fn matches(&self, event: &RecordedEvent) -> bool {
        self.items.is_empty() || self.items.iter().any(|item| item.matches(event))
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
        for item in &self.items {
            if item.matches_parts(event_type, stream, &mut has_tag)? {
                return Ok(true);
            }
        }
        Ok(self.items.is_empty())
    }

    /// The query that matches what it matches and a filter does too.
    ///
    /// # Errors
    /// When it has more names than allowed then: each item may have those of the filter.
    pub fn within(self, reach: &Filter) -> Result<Self, InvalidQuery> {
        let narrowed: Self = match self.items.as_slice() {
            _ if reach.is_all() => return Ok(self),
            [] => reach.clone().into(),
            items => {
                let mut items: Vec<_> = items.iter().map(|item| reach.and(item)).collect();
                // What matches nothing adds nothing, where something else is asked.
                if !items.iter().all(Filter::is_none) {
                    items.retain(|item| !item.is_none());
                }
                items.into()
            }
        };
        match narrowed.names() {
            count if count > QUERY_NAMES_MAX => Err(InvalidQuery::TooManyNarrowed { count }),
            _ => Ok(narrowed),
        }
    }

    /// How many types, streams and tags it has.
    fn names(&self) -> usize {
        self.items.iter().map(|item| item.types.len() + item.streams.len() + item.tags.len()).sum()
    }

    /// Whether a filter matches, as far as it can be told from both alone, every event that this matches.
    #[must_use]
    pub fn is_within(&self, reach: &Filter) -> bool {
        reach.is_all() || (!self.items.is_empty() && self.items.iter().all(|item| reach.covers(item)))
    }

    /// Checks its size.
    ///
    /// # Errors
    /// When it has more items or names than allowed.
    pub fn validate(&self) -> Result<(), InvalidQuery> {
        if self.items.len() > QUERY_ITEMS_MAX {
            return Err(InvalidQuery::TooManyItems { count: self.items.len() });
        }
        let count = self.names();
        if count > QUERY_NAMES_MAX {
            return Err(InvalidQuery::TooManyNames { count });
        }
        Ok(())
    }
}

impl From<Filter> for Query {
    fn from(item: Filter) -> Self {
        Self { items: vec![item] }
    }
}

impl From<Vec<Filter>> for Query {
    fn from(items: Vec<Filter>) -> Self {
        Self { items }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{EventType, NewEvent, Pattern, Position, Version};
    use super::*;

    fn of_type(name: &str) -> Filter {
        Filter { types: vec![Pattern::new(name).unwrap()], ..Filter::default() }
    }

    fn of_tag(name: &str) -> Filter {
        Filter { tags: vec![Tag::new(name).unwrap()], ..Filter::default() }
    }

    #[test]
    fn items_are_alternatives_and_none_is_everything() {
        let mut event = NewEvent::json(EventType::new("Paid").unwrap(), "1");
        event.tags = vec![Tag::new("a").unwrap()];
        let event = RecordedEvent::record(event, Position(1), Version(0), 0);
        let cases = [
            (Query::all(), true),
            (of_type("Paid").into(), true),
            (of_type("Pay").into(), false),
            (vec![of_type("Pay"), of_tag("a")].into(), true),
            (Filter { tags: of_tag("b").tags, ..of_type("Paid") }.into(), false),
            (vec![of_tag("b"), Filter::all()].into(), true),
        ];
        for (query, matches) in cases {
            assert_eq!(query.matches(&event), matches, "{query:?}");
            let has_tag = |tag: &Tag| Ok::<_, ()>(event.tags.contains(tag));
            assert_eq!(query.matches_parts("Paid", None, has_tag), Ok(matches), "{query:?}");
        }
        assert!(Query::all().is_all() && Query::from(vec![of_tag("b"), Filter::all()]).is_all());
        assert!(!Query::from(of_tag("b")).is_all());
    }

    #[test]
    fn a_query_is_narrowed_item_by_item() {
        let reach = of_type("Paid");
        assert_eq!(Query::all().within(&reach), Ok(reach.clone().into()));
        assert_eq!(Query::from(of_tag("a")).within(&Filter::all()), Ok(of_tag("a").into()));
        let narrowed = Query::from(vec![of_tag("a"), of_type("Sent")]).within(&reach).unwrap();
        assert_eq!(narrowed, reach.and(&of_tag("a")).into(), "what matches nothing is left out");
        let nothing = Query::from(vec![of_type("Sent"), of_type("Lost")]).within(&reach).unwrap();
        assert!(!nothing.items.is_empty() && nothing.items.iter().all(Filter::is_none), "{nothing:?}");
        assert!(
            narrowed.is_within(&reach) && !Query::all().is_within(&reach) && Query::all().is_within(&Filter::all())
        );
        assert!(!Query::from(vec![of_type("Paid"), of_type("Sent")]).is_within(&reach));
    }

    #[test]
    fn a_query_that_is_too_large_once_it_is_narrowed_says_so() {
        let types = (0..20).map(|n| Pattern::new(format!("Order{n}")).unwrap()).collect();
        let reach = Filter { types, ..Filter::default() };
        let asked = |items| Query::from(vec![of_tag("a"); items]);
        assert_eq!(asked(QUERY_ITEMS_MAX).validate(), Ok(()));
        assert_eq!(asked(QUERY_ITEMS_MAX).within(&reach), Err(InvalidQuery::TooManyNarrowed { count: 21_000 }));
        assert_eq!(asked(400).within(&reach).unwrap().names(), 8400);
    }

    #[test]
    fn bounds_are_named() {
        let items = Query::from(vec![Filter::all(); QUERY_ITEMS_MAX + 1]);
        assert_eq!(items.validate().unwrap_err().to_string(), "1001 items in one query; at most 1000 are allowed");
        let names = Query::from(Filter { tags: vec![Tag::new("a").unwrap(); 65_536], ..Filter::default() });
        let text = names.validate().unwrap_err().to_string();
        assert_eq!(text, "65536 types, streams and tags in one query; at most 10000 are allowed together");
        assert_eq!(Query::from(vec![of_tag("a"); QUERY_ITEMS_MAX]).validate(), Ok(()));
    }
}
