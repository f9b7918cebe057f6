//! What every handler of the API can reach.

use std::fmt;
use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use super::maintenance::Maintenance;
use super::places::Places;
use super::problem::{Kind, Problem};
use super::pulse::Pulse;
use super::registry::Plugins;
use crate::access::Policy;
use crate::clock::{Clock, SystemClock};
use crate::command::{Claims, Commands};
use crate::config::Limits;
use crate::error::ErrorClass;
use crate::gate::{Connections, Gate, Requests};
use crate::store::retention::RetentionStatus;
use crate::store::{AsyncStore, Store};
use crate::telemetry::Otlp;

/// The store, the plugins, and the bounds. Cheap to clone.
#[derive(Clone)]
pub struct ApiState(Arc<Inner>);

/// A face's name, and the connections of its listener.
type Face = (&'static str, Arc<Connections>);

struct Inner {
    log: AsyncStore,
    commands: OnceLock<Commands>,
    plugins: Arc<dyn Plugins>,
    maintenance: Option<Arc<dyn Maintenance>>,
    clock: OnceLock<Arc<dyn Clock>>,
    retention: OnceLock<watch::Receiver<Vec<RetentionStatus>>>,
    pulse: OnceLock<Arc<Pulse>>,
    otlp: OnceLock<Otlp>,
    gate: OnceLock<Arc<Gate>>,
    counted: Requests,
    closing: watch::Sender<bool>,
    grpc: OnceLock<Arc<Requests>>,
    connections: OnceLock<Vec<Face>>,
    limits: OnceLock<Limits>,
    places: OnceLock<Places>,
}

impl fmt::Debug for ApiState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiState").field("closing", &*self.0.closing.borrow()).finish_non_exhaustive()
    }
}

impl ApiState {
    /// An API over a store and the plugins that run on it.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, plugins: Arc<dyn Plugins>) -> Self {
        Self::build(store, plugins, None)
    }

    /// The same, of a store that keeps files: `maintenance` looks after those.
    #[must_use]
    pub fn maintained(store: Arc<dyn Store>, plugins: Arc<dyn Plugins>, maintenance: Arc<dyn Maintenance>) -> Self {
        Self::build(store, plugins, Some(maintenance))
    }

    fn build(store: Arc<dyn Store>, plugins: Arc<dyn Plugins>, maintenance: Option<Arc<dyn Maintenance>>) -> Self {
        Self(Arc::new(Inner {
            log: AsyncStore::new(store),
            commands: OnceLock::new(),
            plugins,
            maintenance,
            clock: OnceLock::new(),
            retention: OnceLock::new(),
            pulse: OnceLock::new(),
            otlp: OnceLock::new(),
            gate: OnceLock::new(),
            counted: Requests::default(),
            closing: watch::Sender::new(false),
            grpc: OnceLock::new(),
            connections: OnceLock::new(),
            limits: OnceLock::new(),
            places: OnceLock::new(),
        }))
    }

    /// The same, of a log that old events are let go of.
    #[must_use]
    pub fn with_retention(self, status: watch::Receiver<Vec<RetentionStatus>>) -> Self {
        let _ = self.0.retention.set(status);
        self
    }

    /// The same, by another clock than the machine's.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        let _ = self.0.clock.set(clock);
        self
    }

    /// Microseconds since the Unix epoch.
    pub(super) fn now_us(&self) -> u64 {
        self.0.clock.get().map_or_else(|| SystemClock.now_us(), |clock| clock.now_us())
    }

    /// The same, of a log that is asked whether it takes writes.
    #[must_use]
    pub fn with_pulse(self, pulse: Arc<Pulse>) -> Self {
        let _ = self.0.pulse.set(pulse);
        self
    }

    /// The same, of a server that sends what it measures.
    #[must_use]
    pub fn with_otlp(self, otlp: Otlp) -> Self {
        let _ = self.0.otlp.set(otlp);
        self
    }

    /// The same, of a server that decides commands.
    #[must_use]
    pub fn with_commands(self, commands: Commands) -> Self {
        let _ = self.0.commands.set(commands);
        self
    }

    /// Who carries commands out; without claims, nobody decides for anything.
    pub(super) fn commands(&self) -> &Commands {
        let clock = || self.0.clock.get().cloned().unwrap_or_else(|| Arc::new(SystemClock));
        self.0.commands.get_or_init(|| Commands::new(self.0.log.clone(), Claims::default(), clock()))
    }

    /// Waits until no command is under way.
    pub async fn commands_settled(&self) {
        self.commands().idle().await;
    }

    /// The same, of a server that asks who sends a request.
    #[must_use]
    pub fn with_gate(self, gate: Arc<Gate>) -> Self {
        let _ = self.0.gate.set(gate);
        self
    }

    /// The same, of a server that answers gRPC too, where its requests are counted.
    #[must_use]
    pub fn with_grpc(self, requests: Arc<Requests>) -> Self {
        let _ = self.0.grpc.set(requests);
        self
    }

    /// Where requests over gRPC are counted, if there are any.
    pub(super) fn grpc_requests(&self) -> Option<&Requests> {
        self.0.grpc.get().map(|requests| &**requests)
    }

    /// The same, of a server whose listeners have these connections, each under the name of its face.
    #[must_use]
    pub fn with_connections(self, connections: Vec<(&'static str, Arc<Connections>)>) -> Self {
        let _ = self.0.connections.set(connections);
        self
    }

    /// The connections of each listener, with the name of its face.
    pub(super) fn connections(&self) -> &[Face] {
        self.0.connections.get().map_or(&[], Vec::as_slice)
    }

    /// The same, of a server that takes on no more than this. Said before anything is asked.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        let _ = self.0.limits.set(limits);
        self
    }

    /// How much is taken on, and how long a client is waited for.
    pub(super) fn limits(&self) -> &Limits {
        self.0.limits.get_or_init(Limits::default)
    }

    /// Who lets requests in; without one, everybody is.
    pub(super) fn gate(&self) -> &Arc<Gate> {
        self.0.gate.get_or_init(|| Arc::new(Gate::new(Policy::open())))
    }

    /// How often what was measured could not be sent.
    pub(super) fn otlp_failures(&self) -> u64 {
        self.0.otlp.get().map_or(0, Otlp::failures)
    }

    /// Why the log takes no writes, if so and somebody asks it.
    pub(super) fn log_problem(&self) -> Option<String> {
        self.0.pulse.get()?.problem()
    }

    /// Where requests are counted.
    pub(super) fn requests(&self) -> &Requests {
        &self.0.counted
    }

    /// What the retention policies have come to.
    pub(super) fn retention(&self) -> Vec<RetentionStatus> {
        self.0.retention.get().map(|status| status.borrow().clone()).unwrap_or_default()
    }

    pub(super) fn store(&self) -> &Arc<dyn Store> {
        self.0.log.store()
    }

    /// The store, for what must not hold up a worker.
    pub(super) fn log(&self) -> &AsyncStore {
        &self.0.log
    }

    pub(super) fn plugins(&self) -> &dyn Plugins {
        &*self.0.plugins
    }

    /// The store, as whoever looks after its files sees it.
    pub(super) fn maintenance(&self) -> Result<&Arc<dyn Maintenance>, Problem> {
        self.0.maintenance.as_ref().ok_or_else(|| {
            let detail = "this server's store keeps no files, so there is nothing to look at";
            Problem::new(ErrorClass::NotFound, Kind::NotSupported, detail)
        })
    }

    /// Ends subscriptions and waits; from now on the API is not ready, and takes no writes.
    pub fn close(&self) {
        self.0.closing.send_replace(true);
    }

    pub(super) fn is_closing(&self) -> bool {
        *self.0.closing.borrow()
    }

    /// Resolves when [`Self::close`] is called.
    pub(super) async fn closed(&self) {
        // The sender lives in `self`, so waiting ends only by `close`.
        let _ = self.0.closing.subscribe().wait_for(|closing| *closing).await;
    }

    /// Where one is counted that is bounded in number.
    pub(super) fn places(&self) -> &Places {
        self.0.places.get_or_init(|| Places::new(self.limits()))
    }
}
