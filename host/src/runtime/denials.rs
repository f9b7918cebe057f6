//! What a plugin was denied: counted, and logged with the manifest line that would allow it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::text::one_line;
use crate::event::PluginName;

/// Different denials that are told apart; further ones are counted only.
const KINDS_MAX: usize = 64;

/// The denials of one plugin. Cheap to clone; clones share the count.
///
/// The same denial is logged the first, second, fourth, eighth … time: a guest that asks for ever does not
/// fill the log.
#[derive(Clone, Default)]
pub struct Denials(Arc<Inner>);

#[derive(Default)]
struct Inner {
    count: AtomicU64,
    kinds: Mutex<BTreeMap<String, u64>>,
}

impl Denials {
    /// How often something was denied.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.count.load(Ordering::Relaxed)
    }

    /// Counts a denial; `reason` names the manifest line that would allow it, `correlation_id` the chain of events in
    /// which it was denied, where that matters. What differs by that alone is the same denial.
    pub(super) fn note(&self, plugin: &PluginName, reason: &str, correlation_id: Option<&str>) {
        self.0.count.fetch_add(1, Ordering::Relaxed);
        let reason = one_line(reason);
        if let Some(times) = self.times(&reason)
            && times.is_power_of_two()
        {
            let correlation_id = correlation_id.map(one_line);
            tracing::warn!(%plugin, times, reason, correlation_id, "plugin was denied something");
        }
    }

    fn times(&self, reason: &str) -> Option<u64> {
        let mut kinds = self.0.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if !kinds.contains_key(reason) && kinds.len() >= KINDS_MAX {
            return None;
        }
        let times = kinds.entry(reason.to_owned()).or_default();
        *times += 1;
        Some(*times)
    }
}

impl fmt::Debug for Denials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Denials").field(&self.count()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_a_bounded_number_told_apart() {
        let denials = Denials::default();
        let plugin = PluginName::new("p").unwrap();
        for kind in 0..KINDS_MAX + 10 {
            denials.clone().note(&plugin, &format!("kind {kind}"), Some("c"));
        }
        assert_eq!(denials.count(), 74);
        assert_eq!((denials.times("kind 0"), denials.times("kind 70")), (Some(2), None));
    }
}
