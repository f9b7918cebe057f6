//! How much an owner keeps as state.

use std::iter::Sum;
use std::ops::{AddAssign, SubAssign};

use serde::Serialize;
use utoipa::ToSchema;

/// How much state there is: that of an owner, or a part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct StateSize {
    /// Keys with a value.
    pub keys: u64,
    /// Bytes of those keys and their values.
    pub bytes: u64,
}

impl StateSize {
    /// That of one key and its value, of so many bytes each.
    pub(crate) const fn of_entry(key: usize, value: usize) -> Self {
        Self { keys: 1, bytes: key as u64 + value as u64 }
    }
}

impl AddAssign for StateSize {
    fn add_assign(&mut self, other: Self) {
        self.keys = self.keys.saturating_add(other.keys);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// Never below zero.
impl SubAssign for StateSize {
    fn sub_assign(&mut self, other: Self) {
        self.keys = self.keys.saturating_sub(other.keys);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

impl Sum for StateSize {
    fn sum<I: Iterator<Item = Self>>(sizes: I) -> Self {
        sizes.fold(Self::default(), |mut sum, size| {
            sum += size;
            sum
        })
    }
}
