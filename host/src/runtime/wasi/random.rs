//! `wasi:random`: the same numbers for the same plugin and the same event that a call begins with.
//!
//! The seed that a language asks for its hash maps is the plugin's alone: it is kept for the life of an
//! instance, which is not that of an event. While an instance starts, all numbers are the plugin's.
//!
//! Enough for hash seeds and sampling. Nothing here is secret: whoever knows the position knows the
//! numbers. Ids of appended events are made by the host and do not come from here.

use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::event::{PluginName, Position};
use crate::runtime::guest::Guest;

/// Most bytes answered in one call.
const CALL_BYTES_MAX: u64 = 64 << 10;

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014): short, and the
/// same in every release.
#[derive(Debug)]
pub(in crate::runtime) struct Random {
    state: u64,
    /// Whether numbers were drawn in this call.
    drawn: bool,
}

impl Random {
    /// The source of an instance of `plugin` that is in no call.
    pub(in crate::runtime) fn of_plugin(plugin: &PluginName) -> Self {
        Self { state: seed(plugin, Position::START), drawn: false }
    }

    /// Begins a call whose first event is at `first`.
    pub(in crate::runtime) fn seed(&mut self, plugin: &PluginName, first: Position) {
        *self = Self { state: seed(plugin, first), drawn: false };
    }

    /// Whether numbers were drawn in this call.
    pub(in crate::runtime) const fn was_drawn(&self) -> bool {
        self.drawn
    }

    fn next_u64(&mut self) -> u64 {
        self.drawn = true;
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        if len > CALL_BYTES_MAX {
            wasmtime::bail!("it asked for {len} random bytes in one call; at most {CALL_BYTES_MAX} are answered");
        }
        let len = usize::try_from(len)?;
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.next_u64().to_le_bytes());
        }
        bytes.truncate(len);
        Ok(bytes)
    }
}

fn seed(plugin: &PluginName, position: Position) -> u64 {
    xxh3_64_with_seed(plugin.as_str().as_bytes(), position.0)
}

impl random::Host for Guest {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random.bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.random.next_u64())
    }
}

impl insecure::Host for Guest {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random.bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.random.next_u64())
    }
}

impl insecure_seed::Host for Guest {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        let mut of_plugin = Random::of_plugin(&self.options.plugin);
        Ok((of_plugin.next_u64(), of_plugin.next_u64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_for_ever() {
        // The reference sequence of SplitMix64 from seed 1234567.
        let mut random = Random { state: 1_234_567, drawn: false };
        assert_eq!(random.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(random.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn plugins_and_positions_differ_and_calls_are_bounded() {
        let of = |name: &str, first| {
            let name = PluginName::new(name).unwrap();
            let mut random = Random::of_plugin(&name);
            random.seed(&name, Position(first));
            random.next_u64()
        };
        assert_eq!(of("a", 1), of("a", 1));
        assert_ne!(of("a", 1), of("a", 2));
        assert_ne!(of("a", 1), of("b", 1));
        let mut random = Random::of_plugin(&PluginName::new("a").unwrap());
        assert_eq!(random.bytes(13).unwrap().len(), 13);
        assert!(random.bytes(CALL_BYTES_MAX + 1).is_err());
    }
}
