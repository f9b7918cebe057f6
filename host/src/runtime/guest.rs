//! What a store holds for its guest: everything that the host functions work on.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::component::InstanceOptions;
use super::http::{Outbound, Trust};
use super::limits::Limiter;
use super::output::Output;
use super::wasi::{EventClock, Random, context};
use crate::delivery::{Effects, EventBatch};
use crate::event::Position;

/// Most WASI resources (streams, pollables) that a guest holds at a time.
const RESOURCES_MAX: usize = 1024;

/// What is left of what a batch may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) time_ms: u64,
    pub(super) fuel: u64,
    pub(super) log_bytes: usize,
}

/// The data of one store.
pub(super) struct Guest {
    pub(super) options: Arc<InstanceOptions>,
    /// Whether its host functions may wait.
    pub(super) waits: bool,
    /// How long a call may take, in milliseconds: that of a batch, also at its start, or that of a query.
    pub(super) call_time_ms: u64,
    /// Fuel of a call.
    pub(super) call_fuel: u64,
    /// What the call in progress stages. None outside calls: host functions then refuse.
    pub(super) effects: Option<Effects>,
    pub(super) output: Output,
    pub(super) limiter: Limiter,
    pub(super) clock: EventClock,
    pub(super) random: Random,
    pub(super) wasi: WasiCtx,
    outbound: Outbound,
    http: WasiHttpCtx,
    pub(super) table: ResourceTable,
}

impl Guest {
    /// The data of an instance that is not in a call.
    pub(super) fn new(options: Arc<InstanceOptions>, waits: bool, trust: Trust) -> Self {
        let InstanceOptions { plugin, limits, transcript, .. } = &*options;
        let output = Output::new(plugin.clone(), limits.log_bytes_per_batch, transcript.clone());
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        Self {
            effects: None,
            call_time_ms: limits.batch_time_ms,
            call_fuel: limits.fuel(),
            limiter: Limiter::new(limits),
            clock: EventClock::new(waits),
            random: Random::of_plugin(plugin),
            wasi: context(&output),
            outbound: Outbound::new(Arc::clone(&options), trust),
            http: Outbound::context(),
            output,
            waits,
            table,
            options,
        }
    }

    /// Makes ready for a batch: its time, its random numbers, a full log budget, all of its requests, no old
    /// refusals.
    pub(super) fn begin_call(&mut self, batch: &EventBatch) {
        self.outbound.begin_call();
        self.begin();
        self.stand_at_first(batch);
    }

    /// Makes ready for one of the calls that share what a batch may use: what others left of it.
    pub(super) fn go_on(&mut self, batch: &EventBatch, left: Left) {
        (self.call_time_ms, self.call_fuel) = (left.time_ms, left.fuel);
        self.output.go_on(left.log_bytes);
        self.limiter.take_refused();
        self.stand_at_first(batch);
    }

    fn stand_at_first(&mut self, batch: &EventBatch) {
        if let Some(first) = batch.first() {
            self.stand_at(first.timestamp_us, first.position);
        }
    }

    /// Makes ready for a call of an aggregate: at a time, with the random numbers of a position.
    pub(super) fn begin_call_at(&mut self, timestamp_us: u64, position: Position) {
        self.begin();
        self.stand_at(timestamp_us, position);
    }

    fn begin(&mut self) {
        let limits = &self.options.limits;
        (self.call_time_ms, self.call_fuel) = (limits.batch_time_ms, limits.fuel());
        self.output.begin_call();
        self.limiter.take_refused();
    }

    fn stand_at(&mut self, timestamp_us: u64, position: Position) {
        self.clock.set(timestamp_us);
        self.random.seed(&self.options.plugin, position);
    }

    /// Makes ready for a query: its time, random numbers of the state that it reads, a full log budget, no requests,
    /// no old refusals.
    pub(super) fn begin_query(&mut self, checkpoint: Position, now_us: u64) {
        self.call_time_ms = self.options.limits.query_time_ms;
        self.output.begin_call();
        self.limiter.take_refused();
        self.clock.set(now_us);
        self.random.seed(&self.options.plugin, checkpoint);
    }

    /// Whether the call read what depends on the event it began with: the time, or random numbers.
    pub(super) fn looked_at_the_event(&self) -> bool {
        self.clock.was_read() || self.random.was_drawn()
    }

    /// HTTP requests that the call was let send.
    pub(super) fn requests_sent(&self) -> u32 {
        self.outbound.sent()
    }

    /// Counts a denial.
    pub(super) fn denied(&self, reason: &str) {
        self.options.denials.note(&self.options.plugin, reason, None);
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outbound, table: &mut self.table, ctx: &mut self.http }
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
