//! One store with one instance in it: made under limits, called under a deadline.
//!
//! A store never outlives a fault: after a trap the engine refuses to enter it again, and after a deadline
//! nobody knows what state the guest was left in. Whoever holds an [`Instance`] drops it then.
//!
//! There are two ways to call. In the plain one no host function waits, and a call is a plain call. In the waiting
//! one host functions may wait for the outside: the guest runs on a stack of its own, and what it waits for is
//! dropped with it when its time is over, which no epoch could do.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Lower, TypedFunc};
use wasmtime::{Store, Trap};
use wasmtime_wasi::runtime::in_tokio;

use super::bindings::Description;
use super::component::InstanceOptions;
use super::guest::Guest;
use super::http::Trust;
use super::lane::{Handle, Lane};
use super::ticker::{TICK_MS, Ticker};

/// A linked component, and how it is called.
pub(super) struct Linked {
    pub(super) pre: InstancePre<Guest>,
    /// Whether its host functions may wait.
    pub(super) waits: bool,
    /// Which servers its requests believe.
    pub(super) trust: Trust,
}

/// A store, and the instance in it.
pub(super) struct Instance {
    pub(super) store: Store<Guest>,
    instance: wasmtime::component::Instance,
}

impl Instance {
    /// An empty store held to the limits of `options`.
    pub(super) fn store(pre: &Linked, options: Arc<InstanceOptions>) -> Store<Guest> {
        let hostcall_bytes = options.limits.hostcall_bytes;
        let mut store = Store::new(pre.pre.engine(), Guest::new(options, pre.waits, pre.trust.clone()));
        store.limiter(|guest| &mut guest.limiter);
        store.set_hostcall_fuel(hostcall_bytes);
        store.epoch_deadline_trap();
        store
    }

    /// Instantiates in a store. Start functions run here: they have a batch's time.
    pub(super) fn start(mut store: Store<Guest>, pre: &Linked) -> Result<Self, (Store<Guest>, wasmtime::Error)> {
        let started = match begin(&mut store) {
            Ok(None) => pre.pre.instantiate(&mut store),
            Ok(Some(time)) => within(time, pre.pre.instantiate_async(&mut store)),
            Err(error) => Err(error),
        };
        match started {
            Ok(instance) => Ok(Self { store, instance }),
            Err(error) => Err((store, error)),
        }
    }

    /// Finds a lane's `handle`, and checks its type.
    pub(super) fn handle(&mut self, lane: Lane, index: &ComponentExportIndex) -> wasmtime::Result<Handle> {
        Handle::find(lane, &mut self.store, &self.instance, index)
    }

    /// Finds a function, and checks its type.
    pub(super) fn function<P, R>(&mut self, index: &ComponentExportIndex) -> wasmtime::Result<TypedFunc<P, R>>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + 'static,
    {
        self.instance.get_typed_func(&mut self.store, index)
    }

    /// Finds `describe`, and checks its type.
    pub(super) fn describe(&mut self, index: &ComponentExportIndex) -> wasmtime::Result<TypedFunc<(), (Description,)>> {
        self.instance.get_typed_func::<(), (Description,)>(&mut self.store, index)
    }
}

/// Calls a function within the time of a call and the fuel of its store. Sets both anew.
pub(super) fn call<P, R>(store: &mut Store<Guest>, function: TypedFunc<P, R>, parameters: P) -> wasmtime::Result<R>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift + 'static,
{
    match begin(store)? {
        None => function.call(store, parameters),
        Some(time) => within(time, function.call_async(store, parameters)),
    }
}

/// Sets deadline and fuel anew, for what is no call of a function: a destructor.
pub(super) fn arm(store: &mut Store<Guest>) -> wasmtime::Result<()> {
    begin(store).map(drop)
}

/// Sets deadline and fuel; answers how long to wait at most where host functions do.
fn begin(store: &mut Store<Guest>) -> wasmtime::Result<Option<Duration>> {
    let guest = store.data();
    let (waits, ms, fuel) = (guest.waits, guest.call_time_ms, guest.call_fuel);
    store.set_epoch_deadline(if ms == 0 { 0 } else { Ticker::ticks(ms) });
    store.set_fuel(fuel)?;
    // A guest that computes is stopped by the epoch, which knows more about it: that comes first.
    Ok(waits.then(|| Duration::from_millis(ms.saturating_add(2 * TICK_MS))))
}

/// The fuel that the last call of a store used, or its start.
pub(super) fn fuel_used(store: &Store<Guest>) -> u64 {
    // An engine that meters always knows.
    store.get_fuel().map_or(0, |left| store.data().call_fuel.saturating_sub(left))
}

fn within<R>(time: Duration, call: impl Future<Output = wasmtime::Result<R>>) -> wasmtime::Result<R> {
    in_tokio(async { tokio::time::timeout(time, call).await }).unwrap_or_else(|_| Err(Trap::Interrupt.into()))
}
