//! `config`: what the manifest's `[config]` and `[grants]` hand over.

use crate::document::grant;
use crate::runtime::bindings::config::Host;
use crate::runtime::guest::Guest;

impl Host for Guest {
    fn get(&mut self, key: String) -> Option<String> {
        let value = self.options.config.get(&key).cloned();
        let grants = &self.options.grants;
        if value.is_none() && grants.config_withheld.contains(&key) {
            let line = grant("config", grants.config_granted.iter().chain([&key]));
            self.denied(&format!("key {key:?} of [config]; to allow it, add it in its manifest, {line}"));
        }
        value
    }
}
