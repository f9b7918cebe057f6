//! The combinators against sets.

use std::collections::BTreeSet;

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;

type Set = BTreeSet<u64>;

fn any_set(size: usize) -> impl Strategy<Value = Set> {
    btree_set(1..300_u64, 0..size)
}

fn any_direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::Forwards), Just(Direction::Backwards)]
}

/// Bounds in the order of a direction, some of them twice, some at the ends of the numbers.
fn any_bounds() -> impl Strategy<Value = Vec<u64>> {
    vec(prop_oneof![8 => 0..310_u64, 1 => Just(0), 1 => Just(u64::MAX)], 1..40)
}

fn slice(set: &Set, direction: Direction) -> Slice<Vec<u64>> {
    Slice::new(set.iter().copied().collect(), direction)
}

fn nearest(set: &Set, bound: u64, direction: Direction) -> Option<u64> {
    match direction {
        Direction::Forwards => set.range(bound..).next().copied(),
        Direction::Backwards => set.range(..=bound).next_back().copied(),
    }
}

/// Seeks at sorted bounds, then steps through all of it from the start of a fresh one.
fn check(make: &mut dyn FnMut() -> Box<dyn Postings>, expected: &Set, mut bounds: Vec<u64>, direction: Direction) {
    bounds.sort_unstable_by_key(|bound| !nearness(*bound, direction));
    let mut list = make();
    for bound in bounds {
        assert_eq!(list.seek(bound).unwrap(), nearest(expected, bound, direction), "bound {bound} {direction:?}");
    }
    let mut list = make();
    let mut stepped = Vec::new();
    let mut bound = Some(if direction == Direction::Forwards { 0 } else { u64::MAX });
    while let Some(position) = bound.and_then(|bound| list.seek(bound).unwrap()) {
        stepped.push(position);
        bound = match direction {
            Direction::Forwards => position.checked_add(1),
            Direction::Backwards => position.checked_sub(1),
        };
    }
    let mut all: Vec<_> = expected.iter().copied().collect();
    if direction == Direction::Backwards {
        all.reverse();
    }
    assert_eq!(stepped, all);
}

proptest! {
    #[test]
    fn a_slice_is_its_set(set in any_set(200), bounds in any_bounds(), direction in any_direction()) {
        check(&mut || Box::new(slice(&set, direction)), &set, bounds, direction);
    }

    #[test]
    fn a_union_is_the_union(sets in vec(any_set(60), 0..6), bounds in any_bounds(), direction in any_direction()) {
        let union = sets.iter().flatten().copied().collect();
        let mut make = || -> Box<dyn Postings> {
            Box::new(Union::new(sets.iter().map(|set| slice(set, direction)).collect(), direction))
        };
        check(&mut make, &union, bounds, direction);
    }

    #[test]
    fn an_intersection_is_the_intersection(
        sets in vec(any_set(280), 1..4), bounds in any_bounds(), direction in any_direction(),
    ) {
        let common = sets[0].iter().copied().filter(|position| sets.iter().all(|set| set.contains(position))).collect();
        let mut make = || -> Box<dyn Postings> {
            Box::new(Intersection::new(sets.iter().map(|set| slice(set, direction)).collect()))
        };
        check(&mut make, &common, bounds, direction);
    }

    #[test]
    fn a_concatenation_is_the_whole(
        set in any_set(200), cuts in vec(0..300_u64, 0..5), bounds in any_bounds(), direction in any_direction(),
    ) {
        let mut cuts = [&cuts[..], &[0, 300]].concat();
        cuts.sort_unstable();
        let mut parts: Vec<Set> =
            cuts.windows(2).map(|cut| set.range(cut[0]..cut[1]).copied().collect()).collect();
        if direction == Direction::Backwards {
            parts.reverse();
        }
        let mut make = || -> Box<dyn Postings> {
            let mut lists: Vec<_> = parts.iter().rev().map(|part| slice(part, direction)).collect();
            Box::new(Concat::new(move |_| Ok(lists.pop())))
        };
        check(&mut make, &set, bounds, direction);
    }

    #[test]
    fn combinators_nest(sets in vec(any_set(150), 4), bounds in any_bounds(), direction in any_direction()) {
        let expected = sets[0].union(&sets[1]).filter(|position| sets[2].union(&sets[3]).any(|other| other == *position));
        let expected = expected.copied().collect();
        let union = |a: usize| Union::new(vec![slice(&sets[a], direction), slice(&sets[a + 1], direction)], direction);
        check(&mut || Box::new(Intersection::new(vec![union(0), union(2)])), &expected, bounds, direction);
    }
}

#[test]
fn the_next_list_is_asked_for_late_and_told_the_bound() {
    let mut asked = Vec::new();
    let mut lists = vec![vec![7], vec![3, 5]];
    let mut concat = Concat::new(|bound| {
        asked.push(bound);
        Ok(lists.pop().map(|list| Slice::new(list, Direction::Forwards)))
    });
    assert_eq!(concat.seek(4).unwrap(), Some(5));
    assert_eq!(concat.seek(6).unwrap(), Some(7));
    assert_eq!((concat.seek(8).unwrap(), concat.seek(9).unwrap()), (None, None));
    drop(concat);
    assert_eq!(asked, [4, 6, 8], "nothing is asked before it is needed, nor after the end");
}

#[test]
fn an_intersection_of_nothing_is_empty() {
    assert_eq!(Intersection::<Slice<Vec<u64>>>::new(Vec::new()).seek(0).unwrap(), None);
}
