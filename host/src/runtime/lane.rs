//! The lanes by which a batch crosses to a subscriber: one role, two interfaces.
//!
//! The plain one is a list of events as every bindings generator knows lists; the bulk one costs compiled
//! guests a fraction of that. What is called, what comes back and what becomes of it is the same.

use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, Instance, TypedFunc};

use super::batch::Contexts;
use super::bindings::{BulkParams, HandleResults, PlainParams, types};
use super::bulk::Bulk;
use super::guest::Guest;
use super::instance;
use crate::event::RecordedEvent;

/// How batches cross. Of two that a component offers, the greater is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// `subscriber`.
    Plain,
    /// `bulk-subscriber`.
    Bulk,
}

impl Lane {
    /// All of them.
    pub(super) const ALL: [Self; 2] = [Self::Plain, Self::Bulk];

    /// The interface that a component exports for it.
    pub(super) const fn interface(self) -> &'static str {
        match self {
            Self::Plain => "subscriber",
            Self::Bulk => "bulk-subscriber",
        }
    }
}

/// How a call ended, when it did not end in a fault.
pub(super) type Answer = Result<(), types::Failure>;

/// `handle` of an instance, with the buffers that batches are lowered from. The lifetimes are those of the
/// arguments, and shrink at each call.
pub(super) enum Handle {
    Plain(TypedFunc<PlainParams<'static>, HandleResults>, Contexts),
    Bulk(TypedFunc<BulkParams<'static>, HandleResults>, Bulk),
}

impl Handle {
    /// Finds it in an instance, and checks its type.
    pub(super) fn find(
        lane: Lane,
        store: &mut Store<Guest>,
        instance: &Instance,
        index: &ComponentExportIndex,
    ) -> wasmtime::Result<Self> {
        Ok(match lane {
            Lane::Plain => Self::Plain(instance.get_typed_func(store, index)?, Contexts::default()),
            Lane::Bulk => Self::Bulk(instance.get_typed_func(store, index)?, Bulk::default()),
        })
    }

    /// Lowers a batch and calls it.
    pub(super) fn call(&mut self, store: &mut Store<Guest>, batch: &[RecordedEvent]) -> wasmtime::Result<Answer> {
        let (answer,) = match self {
            Self::Plain(function, contexts) => {
                let function = *function;
                contexts.write(batch)?;
                instance::call(store, function, (&contexts.lower(batch),))?
            }
            Self::Bulk(function, bulk) => {
                let function = *function;
                instance::call(store, function, bulk.write(batch)?)?
            }
        };
        Ok(answer)
    }
}
