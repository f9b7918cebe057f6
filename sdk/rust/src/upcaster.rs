//! The role of a component that lifts events of older schemas to today's.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::aggregate::{json_of, variant};
use crate::bindings::tidemill::plugin::types;
use crate::typed::decode_json;
use crate::upcaster_bindings::exports::tidemill::plugin::upcaster as contract;
use crate::{event_types, json};

/// One step: which events it takes, and what it makes of them.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use tidemill_sdk::{Lift, export_upcaster};
///
/// #[derive(Deserialize)]
/// struct Before {
///     total: u64,
/// }
///
/// #[derive(Serialize)]
/// struct After {
///     total_cents: u64,
/// }
///
/// fn cents(before: Before) -> Result<After, String> {
///     Ok(After { total_cents: before.total.checked_mul(100).ok_or("too much")? })
/// }
///
/// export_upcaster!([Lift::new("OrderPlaced", 1, cents)]);
/// ```
/// What it makes of an event must follow from that event alone: the component imports nothing that acts. An error is a
/// fault of that event, which is retried and then set aside, never handed over as it is; so is a payload that does not
/// decode.
pub struct Lift {
    declared: contract::Lift,
    step: Step,
}

/// Payload in, types and payloads out.
type Step = Box<dyn Fn(&str, &[u8]) -> Result<Vec<(String, String)>, String>>;

impl Lift {
    /// Lifts a type from a schema version to the next one. The old payload is read, and the new one written, as serde
    /// has them in JSON.
    pub fn new<Old, New>(
        event_type: &str,
        from_version: u32,
        lift: impl Fn(Old) -> Result<New, String> + 'static,
    ) -> Self
    where
        Old: DeserializeOwned,
        New: Serialize,
    {
        let made = event_type.to_owned();
        let step = move |event_type: &str, payload: &[u8]| {
            let new = lift(decode_json(event_type, payload).map_err(|error| error.to_string())?)?;
            let text = json::to_string(&new).map_err(|error| format!("it cannot be written as JSON: {error}"))?;
            Ok(vec![(made.clone(), text)])
        };
        Self::of((event_type, from_version), from_version.saturating_add(1), &[event_type], step)
    }

    /// Makes other events of one: of another type, several in this order, or none. `New` is an enum with one variant for
    /// each type that may come of it; each is made at the schema version `to_version`, but those that [`Lift::at`] names.
    pub fn into_events<Old, New>(
        event_type: &str,
        from_version: u32,
        to_version: u32,
        lift: impl Fn(Old) -> Result<Vec<New>, String> + 'static,
    ) -> Self
    where
        Old: DeserializeOwned,
        New: Serialize + DeserializeOwned,
    {
        let step = move |event_type: &str, json: &[u8]| {
            let made = lift(decode_json(event_type, json).map_err(|error| error.to_string())?)?;
            Ok(made.iter().map(|event| variant("an event", event)).collect())
        };
        Self::of((event_type, from_version), to_version, event_types::<New>(), step)
    }

    /// Drops the events of a type and schema version: nobody is shown them any more.
    #[must_use]
    pub fn drop(event_type: &str, from_version: u32) -> Self {
        Self::of((event_type, from_version), from_version, &[], |_, _| Ok(Vec::new()))
    }

    /// Makes events of one type at a schema version of their own, such as `Paid` at 3 and `Sent` at 1:
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # use tidemill_sdk::Lift;
    /// #[derive(Deserialize)]
    /// struct PaidAndSent {
    ///     cents: u64,
    ///     parcel: String,
    /// }
    ///
    /// #[derive(Serialize, Deserialize)]
    /// enum Parts {
    ///     Paid { cents: u64 },
    ///     Sent { parcel: String },
    /// }
    ///
    /// fn parts(both: PaidAndSent) -> Result<Vec<Parts>, String> {
    ///     let PaidAndSent { cents, parcel } = both;
    ///     Ok(vec![Parts::Paid { cents }, Parts::Sent { parcel }])
    /// }
    ///
    /// let lift = Lift::into_events("PaidAndSent", 1, 1, parts).at("Paid", 3);
    /// ```
    ///
    /// # Panics
    /// When it makes no events of this type: the host refuses the component with that text.
    #[must_use]
    pub fn at(mut self, event_type: &str, schema_version: u32) -> Self {
        let target = self.declared.into.iter_mut().find(|target| target.event_type == event_type);
        let Some(target) = target else {
            panic!("the lift of {} makes no {event_type}, so it has no version", self.declared.event_type)
        };
        target.schema_version = schema_version;
        self
    }

    fn of(
        (event_type, from_version): (&str, u32),
        to_version: u32,
        into: &[&str],
        step: impl Fn(&str, &[u8]) -> Result<Vec<(String, String)>, String> + 'static,
    ) -> Self {
        let target = |made: &&str| contract::Target { event_type: (*made).into(), schema_version: to_version };
        let into = into.iter().map(target).collect();
        let declared = contract::Lift { event_type: event_type.into(), from_version, into };
        Self { declared, step: Box::new(step) }
    }

    /// What it makes of a payload in JSON: types and payloads, in their order. For tests of your own.
    ///
    /// # Errors
    /// Why it makes nothing of it.
    pub fn apply(&self, json: &str) -> Result<Vec<(String, String)>, String> {
        (self.step)(&self.declared.event_type, json.as_bytes())
    }
}

impl fmt::Debug for Lift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lift").field("declared", &self.declared).finish_non_exhaustive()
    }
}

/// What the exported `lifts` does. Called by [`export_upcaster!`](crate::export_upcaster!) only.
#[doc(hidden)]
pub fn declared_lifts(lifts: impl IntoIterator<Item = Lift>) -> Vec<contract::Lift> {
    lifts.into_iter().map(|lift| lift.declared).collect()
}

/// What the exported `upcast` does. Called by [`export_upcaster!`](crate::export_upcaster!) only.
#[doc(hidden)]
pub fn upcast(
    lifts: impl IntoIterator<Item = Lift>,
    event: &contract::Event,
) -> Result<Vec<contract::Upcasted>, String> {
    let takes = |lift: &Lift| {
        let contract::Lift { event_type, from_version, .. } = &lift.declared;
        (event_type, *from_version) == (&event.event_type, event.schema_version)
    };
    let lift = lifts.into_iter().find(takes);
    let lift = lift.ok_or_else(|| format!("no lift takes {} {}", event.event_type, event.schema_version))?;
    let json = json_of(&event.event_type, &event.payload).map_err(|error| error.to_string())?;
    let made = (lift.step)(&event.event_type, json)?;
    let upcasted =
        |(event_type, json)| contract::Upcasted { event_type, payload: types::Payload::Json(json), content_type: None };
    Ok(made.into_iter().map(upcasted).collect())
}

/// Makes a crate a component that lifts events. It takes an expression that makes its [`Lift`]s, such as an array; it is
/// evaluated for each call.
#[macro_export]
macro_rules! export_upcaster {
    ($lifts:expr $(,)?) => {
        const _: () = {
            struct Component;

            impl $crate::upcaster_bindings::exports::tidemill::plugin::upcaster::Guest for Component {
                fn lifts() -> ::std::vec::Vec<$crate::upcaster_bindings::exports::tidemill::plugin::upcaster::Lift> {
                    $crate::declared_lifts($lifts)
                }

                fn upcast(
                    event: $crate::upcaster_bindings::exports::tidemill::plugin::upcaster::Event,
                ) -> ::core::result::Result<
                    ::std::vec::Vec<$crate::upcaster_bindings::exports::tidemill::plugin::upcaster::Upcasted>,
                    ::std::string::String,
                > {
                    $crate::upcast($lifts, &event)
                }
            }

            #[cfg(target_arch = "wasm32")]
            $crate::upcaster_bindings::export_upcaster_component!(
                Component with_types_in $crate::upcaster_bindings
            );
        };
    };
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Old {
        total: u64,
    }

    #[derive(Serialize)]
    struct New {
        cents: u64,
    }

    #[derive(Serialize, Deserialize)]
    enum Parts {
        Paid { cents: u64 },
        Sent,
    }

    fn cents(old: Old) -> Result<New, String> {
        Ok(New { cents: old.total.checked_mul(100).ok_or("too much")? })
    }

    fn split(old: Old) -> Result<Vec<Parts>, String> {
        Ok(if old.total == 0 { Vec::new() } else { vec![Parts::Paid { cents: old.total }, Parts::Sent] })
    }

    fn lifts() -> [Lift; 3] {
        let several = Lift::into_events("PaidAndSent", 3, 1, split).at("Paid", 4);
        [Lift::new("Placed", 1, cents), several, Lift::drop("Probed", 1)]
    }

    fn event(event_type: &str, schema_version: u32, json: &str) -> contract::Event {
        contract::Event {
            position: 1,
            id: types::EventId { high: 0, low: 0 },
            event_type: event_type.into(),
            stream: None,
            version: 0,
            timestamp_us: 0,
            schema_version,
            payload: types::Payload::Json(json.into()),
            context: None,
        }
    }

    #[test]
    fn what_is_declared_follows_from_the_types() {
        let declared = declared_lifts(lifts());
        let made = |at: usize| -> Vec<_> {
            declared[at].into.iter().map(|made| (made.event_type.as_str(), made.schema_version)).collect()
        };
        let none = Vec::new();
        assert_eq!([made(0), made(1), made(2)], [vec![("Placed", 2)], vec![("Paid", 4), ("Sent", 1)], none]);
    }

    #[test]
    #[should_panic(expected = "the lift of PaidAndSent makes no Payed")]
    fn a_version_of_what_is_never_made_is_refused() {
        let _ = Lift::into_events("PaidAndSent", 3, 1, split).at("Payed", 4);
    }

    #[test]
    fn an_event_is_lifted_by_the_step_that_takes_it() {
        let made = upcast(lifts(), &event("Placed", 1, r#"{"total":2}"#)).unwrap();
        assert_eq!(made[0].payload, types::Payload::Json(r#"{"cents":200}"#.into()));
        let made = upcast(lifts(), &event("PaidAndSent", 3, r#"{"total":2}"#)).unwrap();
        let made: Vec<_> = made.into_iter().map(|made| (made.event_type, made.payload)).collect();
        let json = |text: &str| types::Payload::Json(text.into());
        assert_eq!(made, [("Paid".to_owned(), json(r#"{"cents":2}"#)), ("Sent".to_owned(), json("null"))]);
        assert_eq!(upcast(lifts(), &event("PaidAndSent", 3, r#"{"total":0}"#)), Ok(Vec::new()));
        assert_eq!(upcast(lifts(), &event("Probed", 1, "[]")), Ok(Vec::new()));
    }

    #[test]
    fn what_cannot_be_lifted_says_why() {
        let refused = |event: &contract::Event| upcast(lifts(), event).unwrap_err();
        assert!(refused(&event("Placed", 1, r#"{"total":-1}"#)).contains("total: invalid value"));
        assert_eq!(refused(&event("Placed", 1, &format!(r#"{{"total":{}}}"#, u64::MAX))), "too much");
        assert_eq!(refused(&event("Placed", 2, "{}")), "no lift takes Placed 2");
        let binary = contract::Event { payload: types::Payload::Binary(Vec::new()), ..event("Placed", 1, "") };
        assert!(refused(&binary).contains("it is not JSON"));
        assert_eq!(Lift::new("Placed", 1, cents).apply(r#"{"total":1}"#).unwrap()[0].1, r#"{"cents":100}"#);
    }
}
