//! Numbers that count events: positions in the log and versions in a stream.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Place in the global order. Dense; the first event is 1; 0 stands before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

/// Place within a stream. Dense; the first event is 1; 0 stands before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub u64);

impl Position {
    /// Before the first event.
    pub const START: Self = Self(0);

    /// The position after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Version {
    /// Before the first event: the version of a stream that does not exist.
    pub const START: Self = Self(0);

    /// The version after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an append requires of a stream before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpectedVersion {
    /// Nothing.
    #[default]
    Any,
    /// The stream has no event.
    NoStream,
    /// The stream has at least one event.
    Exists,
    /// The stream's last event has this version; `Exact(0)` is `NoStream`.
    Exact(Version),
}

impl ExpectedVersion {
    /// Whether a stream at `actual` meets the expectation.
    #[must_use]
    pub fn holds(self, actual: Version) -> bool {
        match self {
            Self::Any => true,
            Self::NoStream => actual == Version::START,
            Self::Exists => actual > Version::START,
            Self::Exact(version) => actual == version,
        }
    }

    /// What is left to expect of a stream of which both are; none when no stream can meet both.
    #[must_use]
    pub fn and(self, other: Self) -> Option<Self> {
        match (self.canonical(), other.canonical()) {
            (Self::Any, both) | (both, Self::Any) => Some(both),
            (Self::Exists, both) | (both, Self::Exists) if both != Self::NoStream => Some(both),
            (one, other) => (one == other).then_some(one),
        }
    }

    /// The one spelling of what has two.
    pub(crate) const fn canonical(self) -> Self {
        match self {
            Self::Exact(Version::START) => Self::NoStream,
            other => other,
        }
    }
}

impl fmt::Display for ExpectedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any version"),
            Self::NoStream => f.write_str("no stream"),
            Self::Exists => f.write_str("an existing stream"),
            Self::Exact(version) => write!(f, "version {version}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ExpectedVersion::{Any, Exact, Exists, NoStream};
    use super::*;

    #[test]
    fn two_expectations_come_to_what_both_allow() {
        let all = [Any, NoStream, Exists, Exact(Version(0)), Exact(Version(1)), Exact(Version(2))];
        for (one, other) in all.iter().flat_map(|one| all.iter().map(move |other| (*one, *other))) {
            for version in (0..5).map(Version) {
                let both = one.and(other).is_some_and(|both| both.holds(version));
                assert_eq!(both, one.holds(version) && other.holds(version), "{one}, {other} at {version}");
            }
        }
        assert_eq!((NoStream.and(Exists), Exact(Version(1)).and(Exact(Version(2)))), (None, None));
    }
}
