//! The role of an upcaster: a component that lifts one event at a time, and can do nothing else.
//!
//! Whoever reads calls it, on instances of a [`Pool`]. A call has the time, the fuel and the memory of a batch.

use std::sync::Arc;

use wasmtime::component::TypedFunc;

use super::batch::Contexts;
use super::bindings::{LiftRecord, TargetRecord, UpcastParams, UpcastResults, UpcastedRecord, types};
use super::component::InstanceOptions;
use super::engine::EngineInner;
use super::fault::Failed;
use super::instance::{self, Linked};
use super::pool::{Pool, Running};
use super::text::{REASON_BYTES_MAX, cut};
use super::trial::Export;
use super::{Limits, LoadError};
use crate::delivery::{EventBatch, Fault};
use crate::event::{BYTES_CONTENT_TYPE, EventType, PluginName, RecordedEvent};
use crate::schema::{Lift, NotUpcast, Target, Upcast, Upcasted};

/// The name under which its instances run.
const NAME: &str = "upcaster";
/// Most lifts that one component declares.
const LIFTS_MAX: usize = 1024;

/// Where an upcaster's functions are found.
pub(super) struct UpcasterExports {
    pub(super) lifts: Export,
    pub(super) upcast: Export,
}

/// A loaded component that lifts events. Shared by whoever reads.
pub(super) struct Upcaster {
    /// Keeps the ticker going: without it no deadline would ever come.
    _engine: Arc<EngineInner>,
    pool: Pool<UpcastParams<'static>, UpcastResults>,
}

impl Upcaster {
    /// Tries a component and asks what it lifts.
    pub(super) fn load(
        engine: Arc<EngineInner>,
        linked: Linked,
        exports: UpcasterExports,
    ) -> Result<(Vec<Lift>, Self), LoadError> {
        let UpcasterExports { lifts, upcast } = exports;
        let options = InstanceOptions::new(PluginName::from_stored(NAME), Limits::default());
        let upcaster = Self { _engine: engine, pool: Pool::new(linked, options, upcast.index, Failed::of_fixed) };
        let mut instance = upcaster.pool.start().map_err(|failed| LoadError::trial("start", &failed))?;
        let function = instance.function(&upcast.index).map_err(|error| upcast.mismatched(&error))?;
        let lifts: TypedFunc<(), (Vec<LiftRecord>,)> =
            instance.function(&lifts.index).map_err(|error| lifts.mismatched(&error))?;
        let (declared,) = instance::call(&mut instance.store, lifts, ())
            .map_err(|error| LoadError::trial("lifts", &Failed::of_fixed(&error, instance.store.data_mut())))?;
        if declared.len() > LIFTS_MAX {
            return Err(bad_lifts(format!("it declares {} lifts; at most {LIFTS_MAX} are allowed", declared.len())));
        }
        let lifts = declared.into_iter().map(lift).collect::<Result<_, _>>().map_err(bad_lifts)?;
        upcaster.pool.keep(Running { instance, function });
        Ok((lifts, upcaster))
    }

    fn call(&self, event: &RecordedEvent) -> Result<Result<Vec<UpcastedRecord>, String>, Failed> {
        let batch = EventBatch::new(vec![event.clone()]);
        self.pool.call(|store, upcast| {
            store.data_mut().begin_call(&batch);
            let mut contexts = Contexts::default();
            contexts.write(&batch)?;
            let lowered = contexts.lower(&batch);
            let Some(event) = lowered.first() else { return Ok(Ok(Vec::new())) };
            let (answer,) = instance::call(store, upcast, (*event,))?;
            Ok(answer)
        })
    }
}

impl Upcast for Upcaster {
    fn upcast(&self, event: &RecordedEvent) -> Result<Vec<Upcasted>, NotUpcast> {
        let answer = self.call(event).map_err(|failed| {
            let reason = told(&failed);
            NotUpcast { reason, evidence: failed.evidence }
        })?;
        let made = answer.map_err(|reason| cut(reason, REASON_BYTES_MAX))?;
        Ok(made.into_iter().map(upcasted).collect::<Result<_, String>>()?)
    }

    fn memory_bytes(&self) -> usize {
        self.pool.memory_bytes()
    }
}

/// What went wrong, and in which way.
fn told(failed: &Failed) -> String {
    cut(format!("{}: {}", failed.fault.as_str(), failed.told()), REASON_BYTES_MAX)
}

fn upcasted(made: UpcastedRecord) -> Result<Upcasted, String> {
    let UpcastedRecord { event_type, payload, content_type } = made;
    let event_type = EventType::new(event_type).map_err(|error| error.to_string())?;
    Ok(match payload {
        types::Payload::Json(text) => Upcasted { event_type, data: text.into_bytes(), content_type: None },
        types::Payload::Binary(data) => {
            let content_type = content_type.unwrap_or_else(|| BYTES_CONTENT_TYPE.to_owned());
            Upcasted { event_type, data, content_type: Some(content_type) }
        }
    })
}

fn lift(record: LiftRecord) -> Result<Lift, String> {
    let LiftRecord { event_type, from_version, into } = record;
    let name = |text: String| EventType::new(text).map_err(|error| error.to_string());
    let target = |made: TargetRecord| Ok(Target { event_type: name(made.event_type)?, version: made.schema_version });
    let into = into.into_iter().map(target).collect::<Result<_, String>>()?;
    Ok(Lift { event_type: name(event_type)?, from: from_version, into })
}

fn bad_lifts(reason: String) -> LoadError {
    LoadError::Trial { stage: "lifts", fault: Fault::BadReply, reason }
}
