//! `config`: what the manifest's `[config]` and `[grants]` hand over.

use crate::runtime::bindings::config::Host;
use crate::runtime::guest::Guest;

impl Host for Guest {
    fn get(&mut self, key: String) -> Option<String> {
        let value = self.options.config.get(&key).cloned();
        if value.is_none() && self.options.grants.config_withheld.contains(&key) {
            self.denied(&format!(
                "key {key:?} of [config]; to allow it, add it in its manifest: [grants] config = [{key:?}]"
            ));
        }
        value
    }
}
