//! The role of a component that decides commands.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::aggregate_bindings::exports::tidemill::plugin::aggregate as contract;
use crate::bindings::tidemill::plugin::types;
use crate::{Error, json, typed};

/// Something that commands are decided for, one stream of events each: an account, an order.
///
/// A component that exports one ([`export_aggregate!`](crate::export_aggregate!)) is pure: it decides, and the host
/// acts. It may be thrown away and made anew from its events, or a snapshot, at any time.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use std::fmt;
/// use tidemill_sdk::{Aggregate, Asked, export_aggregate};
///
/// #[derive(Deserialize)]
/// enum Command {
///     Take { seats: u32 },
/// }
///
/// #[derive(Serialize, Deserialize)]
/// enum SeatEvent {
///     SeatsTaken { seats: u32 },
/// }
///
/// #[derive(Serialize)]
/// enum Refusal {
///     Full { left: u32 },
/// }
///
/// impl fmt::Display for Refusal {
///     fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
///         let Self::Full { left } = self;
///         write!(f, "only {left} seats are left")
///     }
/// }
///
/// #[derive(Serialize, Deserialize)]
/// struct Course {
///     left: u32,
/// }
///
/// impl Aggregate for Course {
///     type Command = Command;
///     type Event = SeatEvent;
///     type Rejection = Refusal;
///
///     fn new(_id: &str) -> Self {
///         Self { left: 30 }
///     }
///
///     fn apply(&mut self, event: SeatEvent) {
///         let SeatEvent::SeatsTaken { seats } = event;
///         self.left -= seats;
///     }
///
///     fn decide(&self, command: Command, _asked: &Asked) -> Result<Vec<SeatEvent>, Refusal> {
///         let Command::Take { seats } = command;
///         if seats > self.left {
///             return Err(Refusal::Full { left: self.left });
///         }
///         Ok(vec![SeatEvent::SeatsTaken { seats }])
///     }
/// }
///
/// export_aggregate!(Course);
/// ```
/// The aggregate itself is its snapshot, as serde writes it in JSON, which is also what people see of its state.
pub trait Aggregate: Serialize + DeserializeOwned + 'static {
    /// What can be asked: an enum with one variant for each type of command.
    type Command: DeserializeOwned;
    /// What can happen: an enum with one variant for each type of event.
    type Event: Serialize + DeserializeOwned;
    /// Why not: an enum whose variants are the codes that programs see, with their content as details; people see it by
    /// `Display`.
    type Rejection: Serialize + fmt::Display;

    /// Version of what serde writes of the aggregate: raise it when that changes, and older snapshots are left out.
    const SNAPSHOT_SCHEMA: u32 = 1;

    /// One without events. `id` is what follows the category in its stream's name: `42` of `account-42`.
    fn new(id: &str) -> Self;

    /// Version of the schema that an event is decided in, from 1. Where an upcaster lifts its type, this is the version
    /// that it lifts to: events are stored in it, and a lower one would be lifted once more.
    #[must_use]
    fn schema_version(_event: &Self::Event) -> u32 {
        1
    }

    /// Labels of an event for queries, such as `order:42`; at most 64.
    #[must_use]
    fn tags(_event: &Self::Event) -> Vec<String> {
        Vec::new()
    }

    /// Takes in an event of its stream. It has happened: there is no refusing it.
    fn apply(&mut self, event: Self::Event);

    /// Decides a command: what follows from it, maybe nothing, or why not.
    ///
    /// # Errors
    /// The rejection.
    fn decide(&self, command: Self::Command, asked: &Asked) -> Result<Vec<Self::Event>, Self::Rejection>;
}

/// What is known of a command beside its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Its identity.
    pub id: String,
    /// Its metadata, such as `correlation_id` and `actor`.
    pub metadata: BTreeMap<String, String>,
    /// When it is decided: microseconds since the Unix epoch. The only clock there is.
    pub timestamp_us: u64,
}

/// An aggregate within a component. For [`export_aggregate!`](crate::export_aggregate!) only.
#[doc(hidden)]
#[derive(Debug)]
pub struct Live<A>(RefCell<A>);

impl<A: Aggregate> Live<A> {
    fn restored(snapshot: &[u8]) -> Result<Self, String> {
        json::from_slice(snapshot).map(|aggregate| Self(RefCell::new(aggregate)))
    }
}

impl<A: Aggregate> contract::GuestAggregate for Live<A> {
    fn new(id: String) -> Self {
        Self(RefCell::new(A::new(&id)))
    }

    fn restore(_id: String, snapshot: Vec<u8>) -> Result<contract::Aggregate, String> {
        Self::restored(&snapshot).map(contract::Aggregate::new)
    }

    fn apply(&self, events: Vec<types::Event>) -> Result<(), contract::Misfit> {
        let mut aggregate = self.0.borrow_mut();
        for (index, event) in (0..).zip(events) {
            let decoded = json_of(&event.event_type, &event.payload)
                .and_then(|json| typed::decode_event::<A::Event>(&event.event_type, json));
            let event = decoded.map_err(|error| contract::Misfit { index, reason: error.to_string() })?;
            aggregate.apply(event);
        }
        Ok(())
    }

    fn decide(&self, command: contract::Command) -> Result<Vec<contract::DecidedEvent>, contract::Rejection> {
        let contract::Command { id, command_type, data, metadata, timestamp_us } = command;
        let decoded = json_of(&command_type, &data)
            .and_then(|json| typed::decode_event::<A::Command>(&command_type, json))
            .map_err(|error| contract::Rejection {
                code: INVALID_COMMAND.into(),
                reason: error.to_string(),
                details: None,
            })?;
        let asked = Asked { id, metadata: metadata.into_iter().collect(), timestamp_us };
        let decided = self.0.borrow().decide(decoded, &asked);
        decided.map_err(|rejection| told(&rejection)).map(|events| events.iter().map(decided_event::<A>).collect())
    }

    fn snapshot(&self) -> Option<Vec<u8>> {
        json::to_string(&*self.0.borrow()).ok().map(String::into_bytes)
    }
}

/// The code of the rejection of a command that does not decode.
const INVALID_COMMAND: &str = "InvalidCommand";

pub(crate) fn json_of<'a>(what: &str, payload: &'a types::Payload) -> Result<&'a [u8], Error> {
    match payload {
        types::Payload::Json(text) => Ok(text.as_bytes()),
        types::Payload::Binary(_) => Err(Error::Decode { event_type: what.into(), detail: "it is not JSON".into() }),
    }
}

/// A variant of an enum as serde writes it: its name, and its content as JSON.
///
/// # Panics
/// When it is none, or cannot be written: the type is not what [`Aggregate`] asks for.
#[expect(clippy::panic, reason = "a mistake of the aggregate's author, told as a fault with its message")]
pub(crate) fn variant<T: Serialize>(what: &str, value: &T) -> (String, String) {
    let written = json::to_string(value).unwrap_or_else(|error| panic!("{what} cannot be written as JSON: {error}"));
    let variant = json::variant(&written);
    variant.unwrap_or_else(|| panic!("{what} is no enum that serde tags by its variant: it writes {written}"))
}

fn decided_event<A: Aggregate>(event: &A::Event) -> contract::DecidedEvent {
    let (event_type, content) = variant("an event", event);
    contract::DecidedEvent {
        event_type,
        payload: types::Payload::Json(content),
        content_type: None,
        tags: A::tags(event),
        metadata: Vec::new(),
        schema_version: A::schema_version(event),
    }
}

fn told<R: Serialize + fmt::Display>(rejection: &R) -> contract::Rejection {
    let (code, details) = variant("a rejection", rejection);
    let details = Some(details).filter(|details| details != "null");
    contract::Rejection { code, reason: rejection.to_string(), details }
}

/// Makes a crate a component that decides commands: exports a type that implements [`Aggregate`],
/// with a description. After the type follow, if wanted, the methods of [`Description`](crate::Description) as
/// `key = value`; the types of its events are what it asks to append.
#[macro_export]
macro_rules! export_aggregate {
    ($aggregate:ty $(, $key:ident = $value:expr)* $(,)?) => {
        const _: () = {
            struct Component;

            impl $crate::aggregate_bindings::exports::tidemill::plugin::aggregate::Guest for Component {
                type Aggregate = $crate::Live<$aggregate>;

                fn snapshot_schema() -> u32 {
                    <$aggregate as $crate::Aggregate>::SNAPSHOT_SCHEMA
                }
            }

            impl $crate::description_bindings::exports::tidemill::plugin::description::Guest for Component {
                fn describe() -> $crate::description_bindings::exports::tidemill::plugin::description::Description {
                    let description = $crate::Description::new()
                        .name(::core::env!("CARGO_PKG_NAME"))
                        .version(::core::env!("CARGO_PKG_VERSION"))
                        .summary(::core::env!("CARGO_PKG_DESCRIPTION"))
                        .append($crate::event_types::<<$aggregate as $crate::Aggregate>::Event>())
                        $(.$key($value))*;
                    $crate::describe_aggregate(description)
                }
            }

            #[cfg(target_arch = "wasm32")]
            $crate::aggregate_bindings::export_aggregate_component!(
                Component with_types_in $crate::aggregate_bindings
            );
            #[cfg(target_arch = "wasm32")]
            $crate::description_bindings::export_description!(Component with_types_in $crate::description_bindings);
        };
    };
}

/// What the exported `describe` does. Called by [`export_aggregate!`](crate::export_aggregate!) only.
#[doc(hidden)]
#[must_use]
pub fn describe_aggregate(
    description: crate::Description,
) -> crate::description_bindings::exports::tidemill::plugin::description::Description {
    description.into()
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod testing {
    //! Runs an aggregate natively, for `cargo test`.
    //!
    //! Events and commands go through JSON, as they do in a host; so does the aggregate itself, after each command.

    use serde_json::Value;

    use super::*;

    /// An aggregate under test, with its history.
    #[derive(Debug)]
    pub struct Decider<A> {
        aggregate: A,
    }

    impl<A: Aggregate> Decider<A> {
        /// One with this id, and without events.
        #[must_use]
        pub fn new(id: &str) -> Self {
            Self { aggregate: A::new(id) }
        }

        /// The same, with a history.
        #[must_use]
        pub fn given(mut self, events: impl IntoIterator<Item = A::Event>) -> Self {
            events.into_iter().for_each(|event| self.aggregate.apply(event));
            self
        }

        /// Decides a command, and takes in what follows; answers the events' types and contents.
        ///
        /// # Errors
        /// The rejection's code and words.
        ///
        /// # Panics
        /// When events or the aggregate do not come back from JSON as they went.
        #[expect(clippy::panic, reason = "a helper of tests")]
        pub fn when(&mut self, command_type: &str, data: &Value) -> Result<Vec<(String, Value)>, (String, String)> {
            let json = data.to_string();
            let command = typed::decode_event::<A::Command>(command_type, json.as_bytes())
                .map_err(|error| (INVALID_COMMAND.to_owned(), error.to_string()))?;
            let decided = self.aggregate.decide(command, &Asked::default());
            let events = decided.map_err(|rejection| (variant("a rejection", &rejection).0, rejection.to_string()))?;
            let events: Vec<_> = events.iter().map(|event| variant("an event", event)).collect();
            for (event_type, content) in &events {
                let event = typed::decode_event::<A::Event>(event_type, content.as_bytes());
                self.aggregate.apply(event.unwrap_or_else(|error| panic!("{error}")));
            }
            let snapshot = json::to_string(&self.aggregate).unwrap_or_else(|error| panic!("{error}"));
            self.aggregate = json::from_slice(snapshot.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
            let value = |content: String| serde_json::from_str(&content).unwrap_or_else(|error| panic!("{error}"));
            Ok(events.into_iter().map(|(event_type, content)| (event_type, value(content))).collect())
        }

        /// The aggregate.
        #[must_use]
        pub fn state(&self) -> &A {
            &self.aggregate
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::contract::GuestAggregate as _;
    use super::*;

    #[derive(Deserialize)]
    enum Ask {
        Weigh,
    }

    #[derive(Serialize, Deserialize)]
    enum Happened {
        Weighed { grams: u64 },
        Noted,
    }

    #[derive(Default, Serialize, Deserialize)]
    struct Parcel;

    impl Aggregate for Parcel {
        type Command = Ask;
        type Event = Happened;
        type Rejection = String;

        fn new(_id: &str) -> Self {
            Self
        }

        fn schema_version(event: &Happened) -> u32 {
            if matches!(event, Happened::Weighed { .. }) { 2 } else { 1 }
        }

        fn tags(event: &Happened) -> Vec<String> {
            match event {
                Happened::Weighed { grams } => vec![format!("grams:{grams}")],
                Happened::Noted => Vec::new(),
            }
        }

        fn apply(&mut self, _event: Happened) {}

        fn decide(&self, Ask::Weigh: Ask, _asked: &Asked) -> Result<Vec<Happened>, String> {
            Ok(vec![Happened::Weighed { grams: 5 }, Happened::Noted])
        }
    }

    #[test]
    fn an_event_is_decided_in_the_schema_and_with_the_tags_that_it_says() {
        let parcel = <Live<Parcel> as contract::GuestAggregate>::new("1".into());
        let decided = parcel.decide(contract::Command {
            id: "c".into(),
            command_type: "Weigh".into(),
            data: types::Payload::Json("null".into()),
            metadata: Vec::new(),
            timestamp_us: 0,
        });
        let said = |event: contract::DecidedEvent| (event.event_type, event.schema_version, event.tags);
        let decided: Vec<_> = decided.unwrap().into_iter().map(said).collect();
        let weighed = ("Weighed".to_owned(), 2, vec!["grams:5".to_owned()]);
        assert_eq!(decided, [weighed, ("Noted".to_owned(), 1, Vec::new())]);
    }
}
