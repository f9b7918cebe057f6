//! `config`: the `[config]` table of the manifest.

use crate::runtime::bindings::config::Host;
use crate::runtime::guest::Guest;

impl Host for Guest {
    fn get(&mut self, key: String) -> Option<String> {
        self.config.get(&key).cloned()
    }
}
