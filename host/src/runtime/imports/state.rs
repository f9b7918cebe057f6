//! `state`: the plugin's own keys and values.

use crate::runtime::bindings::state::{Entry, Host, HostError, Page};
use crate::runtime::guest::Guest;
use crate::trace::Span;

impl Host for Guest {
    fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, HostError> {
        let _span = Span::call("state.get");
        self.effects()?.state_get(&key).map_err(|error| self.refusal(error))
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), HostError> {
        let _span = Span::call("state.set");
        self.effects()?.state_set(&key, value).map_err(|error| self.refusal(error))
    }

    fn delete(&mut self, key: String) -> Result<(), HostError> {
        let _span = Span::call("state.delete");
        self.effects()?.state_delete(&key).map_err(|error| self.refusal(error))
    }

    fn scan(&mut self, prefix: String, after: Option<String>, limit: u32) -> Result<Page, HostError> {
        let _span = Span::call("state.scan");
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let page = self.effects()?.state_scan(&prefix, after.as_deref(), limit).map_err(|error| self.refusal(error))?;
        let entries = page.entries.into_iter().map(|(key, value)| Entry { key, value }).collect();
        Ok(Page { entries, next: page.next })
    }
}
