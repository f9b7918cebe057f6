//! Where to find events: derived from the blocks, kept in memory, rebuilt at open.
//!
//! The writer adds events before they are committed and takes them back if the commit fails; so readers
//! clip every answer at the head they were told. Memory grows with events: about 24 bytes for the id and
//! 8 for each list that the event is on (type, stream, category, tags), with room to grow.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use uuid::Uuid;

use super::encoding::{EventView, Malformed};
use super::id_map::IdMap;
use super::positions::{Positions, merge};
use crate::event::{Filter, Pattern, Position, RecordedEvent, StreamName, Tag, Version};
use crate::store::ReadRequest;

/// Most lists that one read merges. A pattern that matches more names than this is not looked up.
const MERGED_LISTS_MAX: usize = 256;

/// Lists of positions by what events have in common.
#[derive(Debug)]
pub(super) struct Index {
    ids: IdMap,
    types: BTreeMap<Box<str>, Positions>,
    streams: HashMap<Box<str>, Positions>,
    /// By the part of the stream's name before the first dash, or the whole name.
    categories: BTreeMap<Box<str>, Positions>,
    tags: HashMap<Box<str>, Positions>,
}

/// What the index takes of an event.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    position: Position,
    id: Uuid,
    event_type: &'a str,
    stream: Option<&'a str>,
    version: Version,
    tags: Vec<&'a str>,
}

impl<'a> Entry<'a> {
    pub(super) fn of(event: &'a RecordedEvent) -> Self {
        Self {
            position: event.position,
            id: event.id,
            event_type: event.event_type.as_str(),
            stream: event.stream.as_ref().map(StreamName::as_str),
            version: event.version,
            tags: event.tags.iter().map(Tag::as_str).collect(),
        }
    }

    pub(super) fn stored(view: &EventView<'a>, position: Position) -> Result<Self, Malformed> {
        let EventView { id, event_type, stream, version, .. } = *view;
        Ok(Self { position, id, event_type, stream, version, tags: view.tags()? })
    }
}

/// Where a read has to look.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Candidates {
    /// At every event.
    All,
    /// At these positions, in the order of the direction; there may be more if they are as many as asked.
    Some(Vec<u64>),
}

impl Index {
    pub(super) fn new() -> Self {
        Self {
            ids: IdMap::new(),
            types: BTreeMap::new(),
            streams: HashMap::new(),
            categories: BTreeMap::new(),
            tags: HashMap::new(),
        }
    }

    /// Adds the next event. An error, and then the index is useless, if its id is there already or its
    /// version does not follow the one before it.
    pub(super) fn add(&mut self, entry: &Entry<'_>) -> Result<(), Malformed> {
        if !self.ids.insert(entry.id, entry.position) {
            return Err(Malformed("an event id is stored twice"));
        }
        self.types.push(entry.event_type, entry.position);
        let version = entry.stream.map_or(0, |stream| {
            self.categories.push(category(stream), entry.position);
            self.streams.push(stream, entry.position)
        });
        for tag in &entry.tags {
            self.tags.push(tag, entry.position);
        }
        if entry.version.0 == version as u64 { Ok(()) } else { Err(Malformed("versions of a stream are not dense")) }
    }

    /// Takes the newest event back.
    pub(super) fn undo(&mut self, entry: &Entry<'_>) {
        self.ids.remove(entry.id);
        self.types.undo(entry.event_type, entry.position);
        if let Some(stream) = entry.stream {
            self.categories.undo(category(stream), entry.position);
            self.streams.undo(stream, entry.position);
        }
        for tag in &entry.tags {
            self.tags.undo(tag, entry.position);
        }
    }

    /// Where the event with this id stands, committed or not.
    pub(super) fn position(&self, id: Uuid) -> Option<Position> {
        self.ids.get(id)
    }

    /// Version of a stream's last event that is not above `head`.
    pub(super) fn stream_version(&self, stream: &str, head: Position) -> Version {
        self.streams.get(stream).map_or(Version::START, |list| Version(list.len_at(head) as u64))
    }

    /// At most `max` positions between `after` and `below` that a read has to look at, from whichever lists
    /// are shortest. They may hold events that do not match; they hold all that do.
    pub(super) fn candidates(&self, request: &ReadRequest, after: Position, below: Position, max: usize) -> Candidates {
        let filter = &request.filter;
        let skipped = usize::try_from(request.after_version.0).unwrap_or(usize::MAX);
        let plans = [
            self.by_type(filter).map(|lists| clip(&lists, after, below, 0)),
            self.by_stream(filter, after, below, skipped),
            self.by_tag(filter).map(|list| clip(&[list], after, below, 0)),
        ];
        let plan = plans.into_iter().flatten().min_by_key(|lists| lists.iter().map(|list| list.len()).sum::<usize>());
        plan.map_or(Candidates::All, |lists| Candidates::Some(merge(&lists, request.direction, max)))
    }

    fn by_type(&self, filter: &Filter) -> Option<Vec<&Positions>> {
        let asks = !filter.types.is_empty() && !filter.types.iter().any(matches_all);
        asks.then(|| matching(&self.types, &filter.types)).flatten()
    }

    fn by_stream(&self, filter: &Filter, after: Position, below: Position, skipped: usize) -> Option<Vec<&[u64]>> {
        if filter.streams.is_empty() || filter.streams.iter().any(matches_all) {
            return None;
        }
        if let Some(names) = filter.streams.iter().map(Pattern::exact).collect::<Option<Vec<_>>>() {
            let lists: Vec<_> = names.into_iter().filter_map(|name| self.streams.get(name)).collect();
            return (lists.len() <= MERGED_LISTS_MAX).then(|| clip(&lists, after, below, skipped));
        }
        let categories: Option<Vec<_>> = filter.streams.iter().map(category_pattern).collect();
        matching(&self.categories, &categories?).map(|lists| clip(&lists, after, below, 0))
    }

    /// The shortest list of any of the tags: all of them are required.
    fn by_tag(&self, filter: &Filter) -> Option<&Positions> {
        static EMPTY: Positions = Positions::new();
        let lists = filter.tags.iter().map(|tag| self.tags.get(tag.as_str()).unwrap_or(&EMPTY));
        lists.min_by_key(|list| list.len())
    }
}

/// The lists of all names that any pattern matches, each once; none if there are too many.
fn matching<'a>(lists: &'a BTreeMap<Box<str>, Positions>, patterns: &[Pattern]) -> Option<Vec<&'a Positions>> {
    let mut found = BTreeMap::new();
    for pattern in patterns {
        let beginning = pattern.exact().unwrap_or_else(|| pattern.as_str().trim_end_matches('*'));
        for (name, list) in lists
            .range::<str, _>((Bound::Included(beginning), Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(beginning))
        {
            if pattern.matches(name) {
                found.insert(name, list);
            }
            if found.len() > MERGED_LISTS_MAX {
                return None;
            }
            if pattern.exact().is_some() {
                break;
            }
        }
    }
    Some(found.into_values().collect())
}

fn matches_all(pattern: &Pattern) -> bool {
    pattern.as_str() == "*"
}

/// The categories that a pattern of stream names can be in.
fn category_pattern(pattern: &Pattern) -> Option<Pattern> {
    match pattern.as_str().split_once('-') {
        Some((category, _)) => Pattern::new(category).ok().filter(|pattern| pattern.exact().is_some()),
        None => Some(pattern.clone()),
    }
}

fn clip<'a>(lists: &[&'a Positions], after: Position, below: Position, skipped: usize) -> Vec<&'a [u64]> {
    lists.iter().map(|list| list.between(after, below, skipped)).collect()
}

fn category(stream: &str) -> &str {
    stream.split_once('-').map_or(stream, |(category, _)| category)
}

/// Lists by name, in either kind of map.
trait Lists {
    fn find(&mut self, name: &str) -> Option<&mut Positions>;
    fn put(&mut self, name: &str, list: Positions);
    fn drop(&mut self, name: &str);

    /// Adds a position to the list of a name; answers how long the list is then.
    fn push(&mut self, name: &str, position: Position) -> usize {
        if let Some(list) = self.find(name) {
            list.push(position);
            return list.len();
        }
        let mut list = Positions::new();
        list.push(position);
        self.put(name, list);
        1
    }

    /// Takes back a push.
    fn undo(&mut self, name: &str, position: Position) {
        if self.find(name).is_some_and(|list| list.undo(position)) {
            self.drop(name);
        }
    }
}

impl Lists for BTreeMap<Box<str>, Positions> {
    fn find(&mut self, name: &str) -> Option<&mut Positions> {
        self.get_mut(name)
    }
    fn put(&mut self, name: &str, list: Positions) {
        self.insert(name.into(), list);
    }
    fn drop(&mut self, name: &str) {
        self.remove(name);
    }
}

impl Lists for HashMap<Box<str>, Positions> {
    fn find(&mut self, name: &str) -> Option<&mut Positions> {
        self.get_mut(name)
    }
    fn put(&mut self, name: &str, list: Positions) {
        self.insert(name.into(), list);
    }
    fn drop(&mut self, name: &str) {
        self.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventType, NewEvent};

    fn event(position: u64, event_type: &str, stream: &str, version: u64, tags: &[&str]) -> RecordedEvent {
        let mut event = NewEvent::json(EventType::new(event_type).unwrap(), "1");
        event.stream = Some(StreamName::new(stream).unwrap());
        event.tags = tags.iter().map(|tag| Tag::new(*tag).unwrap()).collect();
        RecordedEvent::record(event, Position(position), Version(version), 0)
    }

    fn index() -> Index {
        let mut index = Index::new();
        for event in [
            event(1, "Placed", "order-1", 1, &["a"]),
            event(2, "Paid", "order-1", 2, &["a", "b", "a"]),
            event(3, "Placed", "order-2", 1, &[]),
            event(4, "Moved", "stock", 1, &["b"]),
        ] {
            index.add(&Entry::of(&event)).unwrap();
        }
        index
    }

    fn look(filter: Filter, after_version: u64) -> Candidates {
        let request = ReadRequest { filter, after_version: Version(after_version), ..ReadRequest::default() };
        index().candidates(&request, Position(0), Position(5), 9)
    }

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| Pattern::new(*text).unwrap()).collect()
    }

    #[test]
    fn the_shortest_lists_are_chosen() {
        let types = |texts: &[&str]| Filter { types: patterns(texts), ..Filter::default() };
        let streams = |texts: &[&str]| Filter { streams: patterns(texts), ..Filter::default() };
        assert_eq!(look(types(&["P*", "Placed"]), 0), Candidates::Some(vec![1, 2, 3]));
        assert_eq!(look(types(&["Placed", "Moved"]), 0), Candidates::Some(vec![1, 3, 4]));
        assert_eq!(look(types(&["Placed", "*"]), 0), Candidates::All);
        assert_eq!(look(streams(&["order-1"]), 1), Candidates::Some(vec![2]));
        assert_eq!(look(streams(&["order-*", "stock"]), 0), Candidates::Some(vec![1, 2, 3, 4]));
        assert_eq!(look(streams(&["st*"]), 0), Candidates::Some(vec![4]));
        assert_eq!(look(streams(&["absent"]), 0), Candidates::Some(vec![]));
        let tags = ["a", "b"].map(|tag| Tag::new(tag).unwrap()).to_vec();
        let both = Filter { tags, ..types(&["Paid"]) };
        assert_eq!(look(both, 0), Candidates::Some(vec![2]));
    }

    #[test]
    fn undo_leaves_no_trace() {
        let mut index = index();
        let extra = event(5, "New", "new-1", 1, &["b", "c", "c"]);
        index.add(&Entry::of(&extra)).unwrap();
        assert_eq!(index.stream_version("new-1", Position(4)), Version(0), "readers clip at the head");
        assert_eq!(index.stream_version("new-1", Position(5)), Version(1));
        index.undo(&Entry::of(&extra));
        assert_eq!(index.position(extra.id), None);
        assert_eq!(index.types.len() + index.streams.len() + index.categories.len() + index.tags.len(), 3 + 3 + 2 + 2);
        assert_eq!(format!("{:?}", index.tags["b"]), format!("{:?}", self::index().tags["b"]));
    }

    #[test]
    fn gaps_and_doubles_are_refused() {
        assert!(index().add(&Entry::of(&event(5, "T", "order-2", 3, &[]))).is_err());
        let mut double = index();
        let again = event(5, "T", "s", 1, &[]);
        double.add(&Entry::of(&again)).unwrap();
        assert!(
            double.add(&Entry::of(&RecordedEvent { position: Position(6), version: Version(2), ..again })).is_err()
        );
    }
}
