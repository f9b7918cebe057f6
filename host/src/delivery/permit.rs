//! What a plugin may append, or send, and what to mend where it may not.

use std::sync::Arc;

use crate::document::grant;
use crate::event::Pattern;

/// Event types that a plugin may append, or commands, as `aggregate:Type`, that it may send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permit {
    /// Those that it may: what its component describes, or what its manifest grants where it describes none.
    pub allowed: Arc<[Pattern]>,
    /// Those that its manifest grants: who is refused is told by them what to mend.
    pub granted: Arc<[Pattern]>,
}

impl Permit {
    /// All that is granted, for what describes none.
    #[must_use]
    pub fn of(granted: impl Into<Arc<[Pattern]>>) -> Self {
        let granted = granted.into();
        Self { allowed: Arc::clone(&granted), granted }
    }

    /// Whether an event type, or a command, is among them.
    pub(crate) fn allows(&self, name: &str) -> bool {
        is_among(&self.allowed, name)
    }

    /// What to do so that an event type may be appended, too.
    pub(crate) fn to_append(&self, event_type: &str) -> String {
        self.cure("append", event_type, ["appends", "appended"])
    }

    /// What to do so that a command may be sent, too.
    pub(crate) fn to_send(&self, command: &str) -> String {
        self.cure("dispatch", command, ["sends", "sent"])
    }

    fn cure(&self, key: &str, name: &str, [does, done]: [&str; 2]) -> String {
        if is_among(&self.granted, name) {
            return format!(
                "its manifest grants that: name {name:?} in its `describe`, which names what it {does}, and not this"
            );
        }
        let line = grant(key, self.granted.iter().map(Pattern::as_str).chain([name]));
        format!("allow it in its manifest, {line} (and name it in `describe`, where that names what is {done})")
    }
}

fn is_among(patterns: &[Pattern], name: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Arc<[Pattern]> {
        texts.iter().map(|text| Pattern::new(*text).unwrap()).collect()
    }

    #[test]
    fn what_the_manifest_grants_already_is_to_be_named_by_the_component_alone() {
        let permit = Permit { allowed: patterns(&["OrderReady"]), granted: patterns(&["Order*"]) };
        assert!(permit.allows("OrderReady") && !permit.allows("OrderLate"));
        assert_eq!(
            permit.to_append("OrderLate"),
            "its manifest grants that: name \"OrderLate\" in its `describe`, which names what it appends, and not this"
        );
        assert_eq!(
            permit.to_append("Paid"),
            "allow it in its manifest, in [grants]: append = ['Order*', 'Paid'] (and name it in `describe`, where that \
             names what is appended)"
        );
    }

    #[test]
    fn what_describes_none_may_do_what_is_granted() {
        let permit = Permit::of(patterns(&["account:*"]));
        assert!(permit.allows("account:Open"));
        assert_eq!(
            permit.to_send("order:Open"),
            "allow it in its manifest, in [grants]: dispatch = ['account:*', 'order:Open'] (and name it in `describe`, \
             where that names what is sent)"
        );
        assert!(Permit::default().to_append("A").contains("append = ['A']"));
    }
}
