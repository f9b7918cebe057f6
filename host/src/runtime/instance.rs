//! One store with one instance in it: made under limits, called under a deadline.
//!
//! A store never outlives a fault: after a trap the engine refuses to enter it again, and after a deadline
//! nobody knows what state the guest was left in. Whoever holds an [`Instance`] drops it then.

use std::collections::BTreeMap;
use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, InstancePre, TypedFunc};

use super::Limits;
use super::bindings::Description;
use super::guest::Guest;
use super::lane::{Handle, Lane};
use super::ticker::Ticker;
use crate::event::PluginName;

/// A store, and the instance in it.
pub(super) struct Instance {
    pub(super) store: Store<Guest>,
    instance: wasmtime::component::Instance,
}

impl Instance {
    /// An empty store held to `limits`.
    pub(super) fn store(
        pre: &InstancePre<Guest>,
        plugin: PluginName,
        limits: &Limits,
        config: Arc<BTreeMap<String, String>>,
    ) -> Store<Guest> {
        let mut store = Store::new(pre.engine(), Guest::new(plugin, limits, config));
        store.limiter(|guest| &mut guest.limiter);
        store.set_hostcall_fuel(limits.hostcall_bytes);
        store.epoch_deadline_trap();
        store
    }

    /// Instantiates in a store. Start functions run here: they have a batch's time.
    pub(super) fn start(
        mut store: Store<Guest>,
        pre: &InstancePre<Guest>,
        limits: &Limits,
    ) -> Result<Self, (Store<Guest>, wasmtime::Error)> {
        store.set_epoch_deadline(Ticker::ticks(limits.batch_time_ms));
        match pre.instantiate(&mut store) {
            Ok(instance) => Ok(Self { store, instance }),
            Err(error) => Err((store, error)),
        }
    }

    /// Finds a lane's `handle`, and checks its type.
    pub(super) fn handle(&mut self, lane: Lane, index: &ComponentExportIndex) -> wasmtime::Result<Handle> {
        Handle::find(lane, &mut self.store, &self.instance, index)
    }

    /// Finds `describe`, and checks its type.
    pub(super) fn describe(&mut self, index: &ComponentExportIndex) -> wasmtime::Result<TypedFunc<(), (Description,)>> {
        self.instance.get_typed_func::<(), (Description,)>(&mut self.store, index)
    }
}
