//! When what is new in the directory may be taken up: after a look at upcasters, and one at validators, that began after it
//! was seen, is over, and found files that stand still.
//!
//! A component and a manifest are new together: either may make use of what lifts events or checks commands. Nothing waits
//! for ever: where files never stand still, so many looks are enough.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::beside::Looks;
use crate::event::PluginName;
use crate::plugin::Manifest;
use crate::plugin::source::{Candidate, Found};

/// Looks after which somebody who keeps writing holds nothing up any more.
pub(super) const SETTLING_LOOKS_MAX: u64 = 25;

/// What is in the directory, and whether it may be taken up.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    plugins: BTreeMap<PluginName, Arrival>,
    /// How many looks at each had begun when the directory was looked at last.
    begun: [u64; 2],
}

/// What there is under a plugin's name.
#[derive(Debug)]
struct Arrival {
    digest: String,
    manifest: Arc<Manifest>,
    /// How many looks at each had begun when it was seen first.
    begun: [u64; 2],
    /// Whether it may be taken up. It stays so.
    admitted: bool,
}

impl Arrivals {
    /// Takes in what a look at the directory has found, and how far the looks beside it are.
    pub(super) fn note(&mut self, found: &BTreeMap<PluginName, Found>, looks: [Looks; 2]) {
        // What is ready has stood still, so it was seen by the look before.
        let seen = std::mem::replace(&mut self.begun, looks.map(|looks| looks.begun));
        self.plugins.retain(|name, arrival| match found.get(name) {
            Some(Found::Ready(candidate)) => arrival.is(candidate),
            Some(Found::Settling | Found::Broken(_)) => arrival.admitted,
            None => false,
        });
        for (name, found) in found {
            let Found::Ready(candidate) = found else { continue };
            let arrival = self.plugins.entry(name.clone()).or_insert_with(|| Arrival::new(candidate, seen));
            arrival.admitted |= arrival.begun.into_iter().zip(looks).all(|(begun, looks)| looks.have_shown(begun));
        }
    }

    /// Whether what there is under a name has to wait.
    pub(super) fn is_held(&self, name: &PluginName) -> bool {
        self.plugins.get(name).is_some_and(|arrival| !arrival.admitted)
    }

    /// Whether anything has to wait.
    pub(super) fn are_held(&self) -> bool {
        self.plugins.values().any(|arrival| !arrival.admitted)
    }
}

impl Arrival {
    fn new(candidate: &Candidate, begun: [u64; 2]) -> Self {
        let Candidate { digest, manifest, .. } = candidate;
        Self { digest: digest.clone(), manifest: Arc::clone(manifest), begun, admitted: false }
    }

    /// Whether it is this one. Touched files are no other ones.
    fn is(&self, candidate: &Candidate) -> bool {
        self.digest == candidate.digest && self.manifest == candidate.manifest
    }
}

impl Looks {
    /// Whether one that began when this many had begun already is over and found files that stand still, or so many are
    /// over that this is waited for no longer.
    const fn have_shown(self, begun: u64) -> bool {
        let later = self.ended.saturating_sub(begun);
        (later > 0 && !self.settling) || later > SETTLING_LOOKS_MAX
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::plugin::source::Scanner;

    type Plugins = BTreeMap<PluginName, Found>;

    fn name() -> PluginName {
        PluginName::new("p").unwrap()
    }

    fn settling() -> Plugins {
        [(name(), Found::Settling)].into()
    }

    /// A plugin whose files stand still.
    fn ready(component: &str, manifest: &str) -> Plugins {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("p.wasm"), component).unwrap();
        fs::write(directory.path().join("p.toml"), manifest).unwrap();
        let mut scanner = Scanner::new(directory.path().into());
        scanner.scan().unwrap();
        let plugins = scanner.scan().unwrap().plugins;
        assert!(matches!(plugins.get(&name()), Some(Found::Ready(_))), "{plugins:?}");
        plugins
    }

    const fn looks(begun: u64, ended: u64) -> Looks {
        Looks { begun, ended, settling: false }
    }

    /// Whether the plugin has to wait, where so many looks at upcasters have begun and are over.
    fn is_held(arrivals: &mut Arrivals, found: &Plugins, upcasters: Looks) -> bool {
        arrivals.note(found, [upcasters, looks(upcasters.begun, upcasters.begun)]);
        assert_eq!(arrivals.is_held(&name()), arrivals.are_held());
        arrivals.is_held(&name())
    }

    #[test]
    fn a_look_that_began_before_something_was_seen_is_not_enough() {
        let (mut arrivals, found) = (Arrivals::default(), ready("v1", ""));
        assert!(!is_held(&mut arrivals, &settling(), looks(1, 0)));
        // It ends, whether within the time that is left to it or later.
        assert!(is_held(&mut arrivals, &found, looks(1, 1)));
        assert!(is_held(&mut arrivals, &found, looks(2, 1)));
        assert!(!is_held(&mut arrivals, &found, looks(2, 2)));
        // Each look takes long.
        let found = ready("v2", "");
        assert!(is_held(&mut arrivals, &found, looks(3, 2)));
        assert!(!is_held(&mut arrivals, &found, looks(4, 3)));
    }

    #[test]
    fn a_look_that_is_over_soon_holds_nothing_up() {
        let mut arrivals = Arrivals::default();
        assert!(!is_held(&mut arrivals, &settling(), looks(1, 1)));
        assert!(!is_held(&mut arrivals, &ready("v1", ""), looks(2, 2)));
    }

    #[test]
    fn files_that_do_not_stand_still_hold_up_what_is_new_and_not_for_ever() {
        let (mut arrivals, found) = (Arrivals::default(), ready("v1", ""));
        let moving = |looks: Looks| Looks { settling: true, ..looks };
        assert!(!is_held(&mut arrivals, &settling(), moving(looks(1, 1))));
        for look in 2..=1 + SETTLING_LOOKS_MAX {
            assert!(is_held(&mut arrivals, &found, moving(looks(look, look))), "{look}");
        }
        let last = 2 + SETTLING_LOOKS_MAX;
        assert!(!is_held(&mut arrivals, &found, moving(looks(last, last))));
        // One that compiles is not many.
        let found = ready("v2", "");
        (0..100).for_each(|_| assert!(is_held(&mut arrivals, &found, moving(looks(last + 1, last)))));
        assert!(!is_held(&mut arrivals, &found, looks(last + 1, last + 1)));
    }

    #[test]
    fn another_manifest_is_new_and_what_was_taken_up_is_not() {
        let (mut arrivals, found) = (Arrivals::default(), ready("v1", "[subscribe]\ntypes = [\"A\"]"));
        is_held(&mut arrivals, &settling(), looks(1, 1));
        assert!(!is_held(&mut arrivals, &found, looks(2, 2)));
        assert!(!is_held(&mut arrivals, &found, Looks { settling: true, ..looks(3, 2) }));
        assert!(!is_held(&mut arrivals, &settling(), looks(3, 2)));
        // Written again.
        assert!(!is_held(&mut arrivals, &ready("v1", "[subscribe]\ntypes = [\"A\"]"), looks(3, 2)));
        assert!(is_held(&mut arrivals, &ready("v1", "[subscribe]\ntypes = [\"B\"]"), looks(3, 2)));
        assert!(!is_held(&mut arrivals, &Plugins::new(), looks(3, 3)), "it is gone");
        assert!(is_held(&mut arrivals, &found, looks(3, 3)), "it is back");
    }
}
