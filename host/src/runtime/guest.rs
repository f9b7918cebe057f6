//! What a store holds for its guest: everything that the host functions work on.

use std::collections::BTreeMap;
use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::limits::{Limiter, Limits};
use super::output::Output;
use super::wasi::{EventClock, Random, context};
use crate::delivery::{Effects, EventBatch};
use crate::event::{PluginName, Position};

/// Most WASI resources (streams, pollables) that a guest holds at a time.
const RESOURCES_MAX: usize = 1024;

/// The data of one store.
pub(super) struct Guest {
    pub(super) plugin: PluginName,
    pub(super) config: Arc<BTreeMap<String, String>>,
    /// What the call in progress stages. None outside calls: host functions then refuse.
    pub(super) effects: Option<Effects>,
    pub(super) output: Output,
    pub(super) limiter: Limiter,
    pub(super) clock: EventClock,
    pub(super) random: Random,
    pub(super) wasi: WasiCtx,
    pub(super) table: ResourceTable,
}

impl Guest {
    pub(super) fn new(plugin: PluginName, limits: &Limits, config: Arc<BTreeMap<String, String>>) -> Self {
        let output = Output::new(plugin.clone(), limits.log_bytes_per_batch);
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        Self {
            config,
            effects: None,
            limiter: Limiter::new(limits),
            clock: EventClock::default(),
            random: Random::seeded(&plugin, Position::START),
            wasi: context(&output),
            output,
            table,
            plugin,
        }
    }

    /// Makes ready for a batch: its time, its random numbers, a full log budget, no old refusals.
    pub(super) fn begin_call(&mut self, batch: &EventBatch) {
        self.output.begin_call();
        self.limiter.take_refused();
        if let (Some(first), Some(last)) = (batch.first(), batch.last()) {
            self.clock.set(last.timestamp_us);
            self.random = Random::seeded(&self.plugin, first.position);
        }
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
