//! Where to find events of one journal: in memory, rebuilt from its records at open, written out sorted when
//! it is sealed.
//!
//! The writer adds events before they are committed and takes them back if the commit fails; so readers
//! clip every answer at the head they were told. An event takes about 24 bytes for its id and 8 for each list
//! that it is on, and about 100 for a stream or a tag that is new to the journal.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Bound;

use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::id_map::IdMap;
use super::positions::Positions;
use crate::event::{Position, RecordedEvent, StreamName, TOMBSTONE_TYPE, Tag, Version, category_of};
use crate::store::embedded::encoding::{EventView, Malformed};
use crate::store::embedded::key::{Head, Key, Kind};
use crate::store::{Direction, Removals};

/// Lists of positions by what events have in common.
#[derive(Debug)]
pub(in crate::store::embedded) struct HotIndex {
    ids: IdMap,
    /// Older positions of ids that were appended again after retention removed their events.
    again: BTreeMap<Uuid, Vec<u64>>,
    types: BTreeMap<Box<str>, Positions>,
    categories: BTreeMap<Box<str>, Positions>,
    streams: HashMap<Box<str>, Stream, NameHash>,
    tags: HashMap<Box<str>, Positions, NameHash>,
}

/// The events of a stream in this journal.
#[derive(Debug)]
struct Stream {
    positions: Positions,
    /// Version of the last of them; those before it are dense.
    last: Version,
    /// Whether the last of them is a tombstone.
    deleted: bool,
}

/// What the index takes of an event.
#[derive(Debug)]
pub(in crate::store::embedded) struct Entry<'a> {
    position: Position,
    id: Uuid,
    event_type: &'a str,
    stream: Option<&'a str>,
    version: Version,
    tombstone: bool,
    /// The tags, of an event in memory.
    tags: &'a [Tag],
    /// The tags, of a stored event.
    stored_tags: Vec<&'a str>,
}

impl<'a> Entry<'a> {
    pub(in crate::store::embedded) fn of(event: &'a RecordedEvent) -> Self {
        Self {
            position: event.position,
            id: event.id,
            event_type: event.event_type.as_str(),
            stream: event.stream.as_ref().map(StreamName::as_str),
            version: event.version,
            tombstone: event.is_tombstone(),
            tags: &event.tags,
            stored_tags: Vec::new(),
        }
    }

    pub(in crate::store::embedded) fn stored(view: &EventView<'a>, position: Position) -> Result<Self, Malformed> {
        let EventView { id, event_type, stream, version, .. } = *view;
        let tombstone = event_type == TOMBSTONE_TYPE;
        let (tags, stored_tags) = (&[][..], view.tags()?);
        Ok(Self { position, id, event_type, stream, version, tombstone, tags, stored_tags })
    }

    /// Every key that the event is found by, its id included.
    pub(in crate::store::embedded) fn keys(&self) -> impl Iterator<Item = (Kind, &[u8])> {
        let stream = self
            .stream
            .into_iter()
            .flat_map(|stream| [(Kind::Category, category_of(stream).as_bytes()), (Kind::Stream, stream.as_bytes())]);
        let fixed = [(Kind::Id, self.id.as_bytes().as_slice()), (Kind::Type, self.event_type.as_bytes())];
        fixed.into_iter().chain(stream).chain(self.tags().map(|tag| (Kind::Tag, tag.as_bytes())))
    }

    fn tags(&self) -> impl Iterator<Item = &'a str> {
        self.tags.iter().map(Tag::as_str).chain(self.stored_tags.iter().copied())
    }

    /// What the stream comes to with it.
    pub(in crate::store::embedded) fn head(&self) -> Head {
        Head { version: self.version, position: self.position, deleted: self.tombstone }
    }
}

impl HotIndex {
    pub(in crate::store::embedded) fn new() -> Self {
        let hash = NameHash(RandomState::new().hash_one(0));
        Self {
            ids: IdMap::new(),
            again: BTreeMap::new(),
            types: BTreeMap::new(),
            categories: BTreeMap::new(),
            streams: HashMap::with_hasher(hash),
            tags: HashMap::with_hasher(hash),
        }
    }

    /// Adds the next event. An error, and then the index is useless, if its id is there already, of an event
    /// that is not removed, or its version does not follow the one before it.
    pub(in crate::store::embedded) fn add(&mut self, entry: &Entry<'_>, removals: &Removals) -> Result<(), Malformed> {
        if !self.ids.insert(entry.id, entry.position) {
            self.add_again(entry, removals)?;
        }
        push_sorted(&mut self.types, entry.event_type, entry.position);
        for tag in entry.tags() {
            self.push_tag(tag, entry.position);
        }
        let Some(stream) = entry.stream else {
            return if entry.version.0 == 0 {
                Ok(())
            } else {
                Err(Malformed("an event outside streams has a version"))
            };
        };
        push_sorted(&mut self.categories, category_of(stream), entry.position);
        self.push_stream(stream, entry.head())
    }

    /// Adds what is left of the last event of a stream that is removed.
    pub(in crate::store::embedded) fn add_end(&mut self, stream: &str, head: Head) -> Result<(), Malformed> {
        self.push_stream(stream, head)
    }

    /// Gives the id of a removed event to another.
    fn add_again(&mut self, entry: &Entry<'_>, removals: &Removals) -> Result<(), Malformed> {
        let older = self.ids.get(entry.id).filter(|older| self.is_removed(*older, removals));
        let older = older.ok_or(Malformed("an event id is stored twice"))?;
        self.ids.remove(entry.id);
        self.ids.insert(entry.id, entry.position);
        self.again.entry(entry.id).or_default().push(older.0);
        Ok(())
    }

    /// Whether the event at a position, which is in the index, is removed.
    fn is_removed(&self, position: Position, removals: &Removals) -> bool {
        let of_category = |category| {
            let list = self.categories.get(category);
            list.and_then(|list| list.seek(position.0, Direction::Forwards)) == Some(position.0)
        };
        removals.iter().any(|(category, horizon)| position < horizon && of_category(category))
    }

    fn push_stream(&mut self, name: &str, last: Head) -> Result<(), Malformed> {
        if let Some(stream) = self.streams.get_mut(name) {
            if stream.last.next() != last.version || stream.deleted {
                return Err(Malformed("versions of a stream are not dense, or go on after its tombstone"));
            }
            stream.positions.push(last.position);
            (stream.last, stream.deleted) = (last.version, last.deleted);
            return Ok(());
        }
        let mut positions = Positions::new();
        positions.push(last.position);
        self.streams.insert(name.into(), Stream { positions, last: last.version, deleted: last.deleted });
        if last.version.0 == 0 { Err(Malformed("an event of a stream has no version")) } else { Ok(()) }
    }

    fn push_tag(&mut self, tag: &str, position: Position) {
        match self.tags.get_mut(tag) {
            Some(list) => list.push(position),
            None => {
                let mut list = Positions::new();
                list.push(position);
                self.tags.insert(tag.into(), list);
            }
        }
    }

    /// Takes the newest event back.
    pub(in crate::store::embedded) fn undo(&mut self, entry: &Entry<'_>) {
        self.ids.remove(entry.id);
        if let Some(older) = self.again.get_mut(&entry.id).and_then(Vec::pop) {
            self.ids.insert(entry.id, Position(older));
        }
        undo_sorted(&mut self.types, entry.event_type, entry.position);
        for tag in entry.tags() {
            if self.tags.get_mut(tag).is_some_and(|list| list.undo(entry.position)) {
                self.tags.remove(tag);
            }
        }
        let Some(name) = entry.stream else { return };
        undo_sorted(&mut self.categories, category_of(name), entry.position);
        let Some(stream) = self.streams.get_mut(name) else { return };
        (stream.last, stream.deleted) = (Version(entry.version.0.saturating_sub(1)), false);
        if stream.positions.undo(entry.position) {
            self.streams.remove(name);
        }
    }

    /// Where the event with this id stands, committed or not.
    pub(in crate::store::embedded) fn position_of(&self, id: Uuid) -> Option<Position> {
        self.ids.get(id)
    }

    /// The last event of a stream that is not above `head`.
    pub(in crate::store::embedded) fn stream_head(&self, name: &str, head: Position) -> Option<Head> {
        self.streams.get(name)?.head(head)
    }

    /// Position of the first event of a stream whose version is above `after`; none if this journal has none.
    /// Also tells whether events with such versions may stand before this journal.
    pub(in crate::store::embedded) fn first_above(&self, name: &str, after: Version) -> Option<(Position, bool)> {
        let stream = self.streams.get(name)?;
        let first = stream.last.0.saturating_sub(stream.positions.len() as u64);
        let index = usize::try_from(after.0.saturating_sub(first)).ok()?;
        stream.positions.get(index).map(|position| (Position(position), first > after.0))
    }

    /// The positions of a name.
    pub(super) fn positions(&self, kind: Kind, name: &str) -> Option<&Positions> {
        match kind {
            Kind::Id => None,
            Kind::Type => self.types.get(name),
            Kind::Category => self.categories.get(name),
            Kind::Stream => self.streams.get(name).map(|stream| &stream.positions),
            Kind::Tag => self.tags.get(name),
        }
    }

    /// How many events not above `head` have each name of a kind that begins with `prefix`, sorted by name.
    pub(in crate::store::embedded) fn counts(&self, kind: Kind, prefix: &str, head: Position) -> Vec<(Box<str>, u64)> {
        let lists = match kind {
            Kind::Type => &self.types,
            Kind::Category => &self.categories,
            Kind::Id | Kind::Stream | Kind::Tag => return Vec::new(),
        };
        lists
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(prefix))
            .map(|(name, list)| (name.clone(), list.len_at(head) as u64))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// Position of the event of a category that has so many newer ones up to `head` in this journal; else how
    /// many there are.
    pub(in crate::store::embedded) fn nth_newest(
        &self,
        category: &str,
        newer: u64,
        head: Position,
    ) -> Result<Position, u64> {
        let list = self.categories.get(category);
        let count = list.map_or(0, |list| list.len_at(head));
        let nth = usize::try_from(newer).ok().and_then(|newer| count.checked_sub(newer.checked_add(1)?));
        nth.and_then(|nth| list?.get(nth)).map(Position).ok_or(count as u64)
    }

    /// Streams whose names begin with `prefix`, sorted by name, as they were at `head`.
    pub(in crate::store::embedded) fn streams(&self, prefix: &str, head: Position) -> Vec<(Box<str>, Head)> {
        let matching = self.streams.iter().filter(|(name, _)| name.starts_with(prefix));
        let mut found: Vec<_> =
            matching.filter_map(|(name, stream)| Some((name.clone(), stream.head(head)?))).collect();
        found.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        found
    }

    /// Every stream with its last event, in no order.
    pub(in crate::store::embedded) fn heads(&self) -> impl Iterator<Item = (&str, Head)> {
        let heads = self.streams.iter().map(|(name, stream)| (&**name, stream.head(Position(u64::MAX))));
        heads.filter_map(|(name, head)| Some((name, head?)))
    }

    /// How many different keys it holds.
    pub(in crate::store::embedded) fn key_count(&self) -> usize {
        self.ids.len() + self.types.len() + self.categories.len() + self.streams.len() + self.tags.len()
    }

    /// Everything, in the order of keys: ids, types, categories, streams, tags.
    pub(in crate::store::embedded) fn visit_sorted<E>(
        &self,
        mut visit: impl FnMut(Key, &[u64], Option<Head>) -> Result<(), E>,
    ) -> Result<(), E> {
        for (id, position) in self.ids.sorted() {
            match self.again.get(&id) {
                None => visit(Key::id(id), &[position], None)?,
                Some(older) => visit(Key::id(id), &[older.as_slice(), &[position]].concat(), None)?,
            }
        }
        for (kind, lists) in [(Kind::Type, &self.types), (Kind::Category, &self.categories)] {
            for (name, list) in lists {
                visit(Key::new(kind, name.as_bytes()), list.as_slice(), None)?;
            }
        }
        let mut streams: Vec<_> = self.streams.iter().collect();
        streams.sort_unstable_by_key(|(name, _)| *name);
        for (name, stream) in streams {
            let head = stream.head(Position(u64::MAX));
            visit(Key::new(Kind::Stream, name.as_bytes()), stream.positions.as_slice(), head)?;
        }
        let mut tags: Vec<_> = self.tags.iter().collect();
        tags.sort_unstable_by_key(|(name, _)| *name);
        for (name, list) in tags {
            visit(Key::new(Kind::Tag, name.as_bytes()), list.as_slice(), None)?;
        }
        Ok(())
    }
}

impl Stream {
    fn head(&self, head: Position) -> Option<Head> {
        let visible = self.positions.len_at(head);
        let hidden = self.positions.len() - visible;
        let position = self.positions.get(visible.checked_sub(1)?)?;
        Some(Head {
            version: Version(self.last.0 - hidden as u64),
            position: Position(position),
            deleted: self.deleted && hidden == 0,
        })
    }
}

fn push_sorted(lists: &mut BTreeMap<Box<str>, Positions>, name: &str, position: Position) {
    match lists.get_mut(name) {
        Some(list) => list.push(position),
        None => lists.entry(name.into()).or_insert_with(Positions::new).push(position),
    }
}

fn undo_sorted(lists: &mut BTreeMap<Box<str>, Positions>, name: &str, position: Position) {
    if lists.get_mut(name).is_some_and(|list| list.undo(position)) {
        lists.remove(name);
    }
}

/// Names come from clients: the seed, drawn when the index is made, keeps them from choosing names that collide.
#[derive(Clone, Copy, Debug)]
struct NameHash(u64);

impl BuildHasher for NameHash {
    type Hasher = NameHasher;
    fn build_hasher(&self) -> NameHasher {
        NameHasher(self.0)
    }
}

/// Hashes each run of bytes at once.
#[derive(Debug)]
struct NameHasher(u64);

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn write_u8(&mut self, _: u8) {
        // The end of a text; it is hashed alone.
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventType, NewEvent};

    fn none() -> Removals {
        Removals::default()
    }

    fn event(position: u64, event_type: &str, stream: &str, version: u64, tags: &[&str]) -> RecordedEvent {
        let mut event = NewEvent::json(EventType::new(event_type).unwrap(), "1");
        event.id = Uuid::from_u128(u128::from(100 - position));
        event.stream = Some(StreamName::new(stream).unwrap());
        event.tags = tags.iter().map(|tag| Tag::new(*tag).unwrap()).collect();
        RecordedEvent::record(event, Position(position), Version(version), 0)
    }

    fn index() -> HotIndex {
        let mut index = HotIndex::new();
        for event in [
            event(1, "Placed", "order-1", 4, &["a"]),
            event(2, "Paid", "order-1", 5, &["a", "b", "a"]),
            event(3, "Placed", "order-2", 1, &[]),
            event(4, "Moved", "stock", 1, &["b"]),
        ] {
            index.add(&Entry::of(&event), &none()).unwrap();
        }
        index
    }

    fn everything(index: &HotIndex) -> Vec<(Key, Vec<u64>, Option<Head>)> {
        let mut all = Vec::new();
        index
            .visit_sorted(|key, positions, head| {
                all.push((key, positions.to_vec(), head));
                Ok::<_, ()>(())
            })
            .unwrap();
        all
    }

    #[test]
    fn it_is_written_out_in_the_order_of_keys() {
        let all = everything(&index());
        assert!(all.is_sorted_by(|left, right| left.0 < right.0));
        assert_eq!(all.len(), index().key_count());
        let found = |kind, name: &str| {
            let key = Key::new(kind, name.as_bytes());
            all.iter().find(|(other, _, _)| *other == key).map(|(_, positions, head)| (positions.clone(), *head))
        };
        let head = Head { version: Version(5), position: Position(2), deleted: false };
        assert_eq!(found(Kind::Stream, "order-1"), Some((vec![1, 2], Some(head))));
        assert_eq!(found(Kind::Category, "order"), Some((vec![1, 2, 3], None)));
        assert_eq!(found(Kind::Tag, "a"), Some((vec![1, 2], None)));
        assert_eq!(found(Kind::Type, "Placed"), Some((vec![1, 3], None)));
    }

    #[test]
    fn undo_leaves_no_trace() {
        let mut index = index();
        let before = everything(&index);
        let (first, second) = (event(5, "New", "new-1", 1, &["b", "c", "c"]), event(6, "Paid", "order-1", 6, &[]));
        for event in [&first, &second] {
            index.add(&Entry::of(event), &none()).unwrap();
        }
        let version = |index: &HotIndex, name, head| index.stream_head(name, Position(head)).map(|head| head.version.0);
        assert_eq!(version(&index, "new-1", 4), None, "readers clip at the head");
        assert_eq!((version(&index, "new-1", 5), version(&index, "order-1", 5)), (Some(1), Some(5)));
        for event in [&second, &first] {
            index.undo(&Entry::of(event));
        }
        assert_eq!(everything(&index), before);
        assert_eq!(index.position_of(first.id), None);
    }

    #[test]
    fn versions_lead_to_positions() {
        let first_above = |after| index().first_above("order-1", Version(after));
        assert_eq!(first_above(0), Some((Position(1), true)));
        assert_eq!(first_above(3), Some((Position(1), false)));
        assert_eq!((first_above(4), first_above(5)), (Some((Position(2), false)), None));
    }

    #[test]
    fn gaps_doubles_and_life_after_death_are_refused() {
        assert!(index().add(&Entry::of(&event(5, "T", "order-2", 3, &[])), &none()).is_err());
        let mut double = index();
        let again = event(5, "T", "s", 1, &[]);
        double.add(&Entry::of(&again), &none()).unwrap();
        let next = RecordedEvent { position: Position(6), version: Version(2), ..again };
        assert!(double.add(&Entry::of(&next), &none()).is_err());
    }

    #[test]
    fn an_id_of_a_removed_event_is_given_to_another_and_back() {
        let mut index = index();
        let before = everything(&index);
        let again = RecordedEvent { id: event(2, "Paid", "order-1", 5, &[]).id, ..event(5, "Paid", "stock", 2, &[]) };
        let mut removals = Removals::default();
        removals.raise(&crate::event::Category::new("order").unwrap(), Position(2));
        assert!(index.add(&Entry::of(&again), &removals).is_err(), "at the horizon");
        let mut index = self::index();
        removals.raise(&crate::event::Category::new("order").unwrap(), Position(3));
        index.add(&Entry::of(&again), &removals).unwrap();
        assert_eq!(index.position_of(again.id), Some(Position(5)));
        assert!(everything(&index).contains(&(Key::id(again.id), vec![2, 5], None)));
        index.undo(&Entry::of(&again));
        assert_eq!(everything(&index), before);
        assert_eq!(index.position_of(again.id), Some(Position(2)));
    }
}
