//! The trial of a component before anybody relies on it: one instance, in a store that is thrown away.
//!
//! Some mistakes show only here: exports of the wrong type, start functions that trap, loop or want more
//! memory than there is. An optional `describe` is asked on the same instance; it has no effects.

use std::sync::Arc;

use wasmtime::component::{Component, ComponentExportIndex};

use super::aggregate::Functions;
use super::bindings::{QueryParams, QueryResults};
use super::component::{Description, InstanceOptions};
use super::contract::KnownExports;
use super::fault::{Failed, chain};
use super::guest::Guest;
use super::instance::{self, Instance, Linked};
use super::lane::Lane;
use super::{Limits, LoadError, bindings};
use crate::delivery::Fault;
use crate::event::PluginName;

/// The name under which a component runs while it is tried.
const TRIAL_NAME: &str = "trial";
/// Most bytes of text in a description.
const DESCRIPTION_BYTES_MAX: usize = 64 << 10;

/// A function that the host calls.
pub(super) struct Export {
    /// Its interface's name, for people.
    name: String,
    /// Where it is found.
    pub(super) index: ComponentExportIndex,
}

/// The functions that the host calls.
pub(super) struct Exports {
    role: RoleExports,
    describe: Option<Export>,
}

/// Those of a role.
enum RoleExports {
    /// A lane with its `handle`, and the `query` of a projection.
    Subscriber { lane: Lane, handle: Export, query: Option<Export> },
    /// The functions of `aggregate`, and that interface's name.
    Aggregate(Box<AggregateIndices>, String),
}

/// What is called of a component that was tried.
pub(super) enum Entry {
    /// How batches cross to it, where that lane's `handle` is found, and `query`, if it answers queries.
    Subscriber { lane: Lane, handle: ComponentExportIndex, query: Option<ComponentExportIndex> },
    /// Where the functions of `aggregate` are found, and the version of its snapshots.
    Aggregate(Box<AggregateIndices>, u32),
}

impl Entry {
    /// Where `query` is found, if it answers queries.
    pub(super) const fn query(&self) -> Option<&ComponentExportIndex> {
        match self {
            Self::Subscriber { query, .. } => query.as_ref(),
            Self::Aggregate(..) => None,
        }
    }
}

/// Where the functions of `aggregate` are found.
pub(super) struct AggregateIndices {
    pub(super) schema: ComponentExportIndex,
    pub(super) make: ComponentExportIndex,
    pub(super) restore: ComponentExportIndex,
    pub(super) apply: ComponentExportIndex,
    pub(super) decide: ComponentExportIndex,
    pub(super) snapshot: ComponentExportIndex,
}

impl Exports {
    /// Finds the functions in the interfaces that a component is known to export.
    pub(super) fn find(component: &Component, known: &KnownExports) -> Result<Self, LoadError> {
        let find = |interface: &String, function: &str| Export::find(component, interface, function);
        let role = match (&known.subscriber, &known.aggregate) {
            (Some((lane, interface)), _) => RoleExports::Subscriber {
                lane: *lane,
                handle: find(interface, "handle")?,
                query: known.projection.as_ref().map(|interface| find(interface, "query")).transpose()?,
            },
            (None, Some(interface)) => {
                let find = |function| find(interface, function).map(|export| export.index);
                let indices = AggregateIndices {
                    schema: find("snapshot-schema")?,
                    make: find("[constructor]aggregate")?,
                    restore: find("[static]aggregate.restore")?,
                    apply: find("[method]aggregate.apply")?,
                    decide: find("[method]aggregate.decide")?,
                    snapshot: find("[method]aggregate.snapshot")?,
                };
                RoleExports::Aggregate(Box::new(indices), interface.clone())
            }
            (None, None) => return Err(LoadError::no_role(&[])),
        };
        Ok(Self {
            role,
            describe: known.description.as_ref().map(|interface| find(interface, "describe")).transpose()?,
        })
    }
}

impl Export {
    pub(super) fn find(component: &Component, interface: &str, function: &str) -> Result<Self, LoadError> {
        component
            .get_export_index(None, interface)
            .and_then(|instance| component.get_export_index(Some(&instance), function))
            .map(|index| Self { name: interface.to_owned(), index })
            .ok_or_else(|| LoadError::MismatchedExport {
                export: interface.to_owned(),
                reason: format!("it has no function `{function}`"),
            })
    }

    pub(super) fn mismatched(&self, error: &wasmtime::Error) -> LoadError {
        LoadError::MismatchedExport { export: self.name.clone(), reason: chain(error) }
    }
}

/// Tries a component; answers what is called of it, and how it describes itself.
pub(super) fn run(
    linked: &Linked,
    exports: Exports,
    limits: &Limits,
) -> Result<(Entry, Option<Description>), LoadError> {
    let options = InstanceOptions::new(PluginName::from_stored(TRIAL_NAME), *limits);
    let mut instance = Instance::start(Instance::store(linked, Arc::new(options)), linked)
        .map_err(|(mut store, error)| failed("start", &error, store.data_mut()))?;
    let entry = match exports.role {
        RoleExports::Subscriber { lane, handle, query } => {
            instance.handle(lane, &handle.index).map_err(|error| handle.mismatched(&error))?;
            if let Some(export) = &query {
                instance
                    .function::<QueryParams<'static>, QueryResults>(&export.index)
                    .map_err(|error| export.mismatched(&error))?;
            }
            Entry::Subscriber { lane, handle: handle.index, query: query.map(|export| export.index) }
        }
        RoleExports::Aggregate(indices, export) => {
            let schema = Functions::find(&mut instance, &indices)
                .map_err(|error| LoadError::MismatchedExport { export, reason: chain(&error) })?
                .schema(&mut instance.store)
                .map_err(|error| failed("snapshot-schema", &error, instance.store.data_mut()))?;
            Entry::Aggregate(indices, schema)
        }
    };
    let described = exports.describe.map(|export| describe(&mut instance, &export)).transpose()?;
    Ok((entry, described))
}

fn describe(instance: &mut Instance, export: &Export) -> Result<Description, LoadError> {
    let describe = instance.describe(&export.index).map_err(|error| export.mismatched(&error))?;
    let (described,) = instance::call(&mut instance.store, describe, ())
        .map_err(|error| failed("describe", &error, instance.store.data_mut()))?;
    let bytes = text_bytes(&described);
    if bytes > DESCRIPTION_BYTES_MAX {
        let reason = format!("a description of {bytes} bytes; at most {DESCRIPTION_BYTES_MAX} are allowed");
        return Err(LoadError::Trial { stage: "describe", fault: Fault::BadReply, reason });
    }
    Ok(described.into())
}

fn failed(stage: &'static str, error: &wasmtime::Error, guest: &mut Guest) -> LoadError {
    LoadError::trial(stage, &Failed::of_one(error, guest))
}

fn text_bytes(described: &bindings::Description) -> usize {
    let bindings::Description { name, version, summary, types, streams, tags, append, extra } = described;
    let texts = [name, version, summary].into_iter().map(String::len);
    let lists = [types, streams, tags, append].into_iter().flatten().map(String::len);
    texts.chain(lists).chain(extra.iter().map(|(key, value)| key.len() + value.len())).sum()
}

impl From<bindings::Description> for Description {
    fn from(described: bindings::Description) -> Self {
        let bindings::Description { name, version, summary, types, streams, tags, append, extra } = described;
        Self { name, version, summary, types, streams, tags, append, extra }
    }
}
