//! Scratch state against a plain map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::scratch::Scratch;
use super::*;
use crate::delivery::StateSource;

fn scan_all(scratch: &Scratch, prefix: &str, limit: usize) -> Vec<(String, Vec<u8>)> {
    let (mut found, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = scratch.scan(prefix, after.as_deref(), limit).unwrap();
        assert!(page.entries.len() <= limit);
        found.extend(page.entries);
        match page.next {
            Some(next) => after = Some(next),
            None => return found,
        }
    }
}

proptest! {
    #[test]
    fn it_reads_like_one_map_with_and_without_a_base(
        below in prop::collection::btree_map("[abc]{1,2}", any::<u8>(), 0..8),
        steps in prop::collection::vec(("[abc]{1,2}", prop::option::of(any::<u8>())), 0..20),
        limit in 1_usize..4,
        based in any::<bool>(),
    ) {
        let base = Scratch::new(None, usize::MAX);
        let lower = below.iter().map(|(key, value)| StateChange { key: key.clone(), value: Some(vec![*value]) });
        base.apply(lower.collect()).unwrap();
        let mut model: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        if based {
            model.extend(below.into_iter().map(|(key, value)| (key, vec![value])));
        }
        let scratch = Scratch::new(based.then(|| Arc::new(base) as Arc<dyn StateSource>), usize::MAX);
        for (key, value) in steps {
            let value = value.map(|value| vec![value]);
            scratch.apply(vec![StateChange { key: key.clone(), value: value.clone() }]).unwrap();
            match value {
                Some(value) => model.insert(key, value),
                None => model.remove(&key),
            };
            for key in ["a", "b", "ab", "cc"] {
                prop_assert_eq!(scratch.get(key).unwrap(), model.get(key).cloned());
            }
            for prefix in ["", "a", "bc"] {
                let expected: Vec<_> = model
                    .iter()
                    .filter(|(key, _)| key.starts_with(prefix))
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect();
                prop_assert_eq!(scan_all(&scratch, prefix, limit), expected);
            }
        }
    }
}

#[test]
fn what_is_removed_makes_room() {
    let scratch = Scratch::new(None, 1_000);
    for round in 0..100 {
        let key = format!("k{round}");
        scratch.apply(vec![StateChange { key: key.clone(), value: Some(vec![0; 800]) }]).unwrap();
        scratch.apply(vec![StateChange { key, value: None }]).unwrap();
    }
    assert!(scratch.apply(vec![StateChange { key: "k".into(), value: Some(vec![0; 1_000]) }]).is_err());
}
