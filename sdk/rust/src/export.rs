//! The `export!` line, and what it calls.

use std::cell::RefCell;

use crate::description_bindings::exports::tidemill::plugin::description as contract;
use crate::log::log_panics;
use crate::{
    Answer, Answered, Config, Context, Description, Event, Outcome, Projection, Query, QueryError, ReadContext,
    Subscriber, host, recent,
};

/// Makes a crate a plugin: exports a [`Subscriber`], with a description.
///
/// The first argument is any expression that makes the subscriber: the name of a handler function,
/// `typed(handler)`, or a value of a type of your own. It is evaluated once for each instance. Then
/// follow, if wanted, in any order, the methods of [`Description`] as `key = value`:
///
/// ```
/// # use tidemill_sdk::{Context, Event, Outcome, export};
/// fn handle(event: &Event, ctx: &mut Context) -> Outcome {
///     ctx.state().add(event.event_type(), 1)?;
///     Ok(())
/// }
///
/// export!(handle, summary = "Counts events by type", types = ["Order*"]);
/// ```
/// `query = answer` behind the subscriber makes it a [`Projection`], and so does
/// `export!(projection: value)` for a value that is one.
///
/// Name, version and summary are those of the package if not given. On targets other than wasm it
/// only checks the types, so that tests of several plugins can be linked together.
#[macro_export]
macro_rules! export {
    ($subscriber:expr, query = $query:expr $(, $key:ident = $value:expr)* $(,)?) => {
        $crate::export!(projection: $crate::projection($subscriber, $query) $(, $key = $value)*);
    };
    (projection: $projection:expr $(, $key:ident = $value:expr)* $(,)?) => {
        $crate::export!($projection $(, $key = $value)*);

        const _: () = {
            struct Component;

            impl $crate::bindings::projection::exports::tidemill::plugin::projection::Guest for Component {
                fn query(
                    request: $crate::bindings::projection::exports::tidemill::plugin::projection::Request,
                ) -> ::core::result::Result<
                    $crate::bindings::projection::exports::tidemill::plugin::projection::Answer,
                    $crate::bindings::projection::exports::tidemill::plugin::projection::QueryError,
                > {
                    $crate::answer_query(&request, || $projection)
                }
            }

            #[cfg(target_arch = "wasm32")]
            $crate::bindings::projection::export_projection!(Component with_types_in $crate::bindings::projection);
        };
    };
    ($subscriber:expr $(, $key:ident = $value:expr)* $(,)?) => {
        const _: () = {
            struct Component;

            impl $crate::bindings::exports::tidemill::plugin::bulk_subscriber::Guest for Component {
                fn handle(
                    heads: ::std::vec::Vec<$crate::bindings::exports::tidemill::plugin::bulk_subscriber::Head>,
                    blob: ::std::vec::Vec<u8>,
                ) -> ::core::result::Result<(), $crate::bindings::tidemill::plugin::types::Failure> {
                    $crate::handle_batch(&heads, &blob, || $subscriber)
                }
            }

            impl $crate::description_bindings::exports::tidemill::plugin::description::Guest for Component {
                fn describe() -> $crate::description_bindings::exports::tidemill::plugin::description::Description {
                    let description = $crate::Description::new()
                        .name(::core::env!("CARGO_PKG_NAME"))
                        .version(::core::env!("CARGO_PKG_VERSION"))
                        .summary(::core::env!("CARGO_PKG_DESCRIPTION"));
                    $(let description = $crate::__described!(description, $key = $value);)*
                    $crate::describe_component(description, || $subscriber)
                }
            }

            #[cfg(target_arch = "wasm32")]
            $crate::bindings::export_component!(Component with_types_in $crate::bindings);
            #[cfg(target_arch = "wasm32")]
            $crate::description_bindings::export_description!(Component with_types_in $crate::description_bindings);
            #[cfg(not(target_arch = "wasm32"))]
            let _ = || $subscriber;
        };
    };
}

/// A description with one `key = value` more. Used by [`export!`](crate::export!) only.
#[doc(hidden)]
#[macro_export]
macro_rules! __described {
    ($description:expr, state_schema = $number:expr) => {{
        // A bad one does not compile, wherever the description is used.
        const _: ::core::num::NonZeroU32 = $crate::Description::schema_number($number);
        $description.state_schema(const { $crate::Description::schema_number($number) })
    }};
    ($description:expr, $key:ident = $value:expr) => {
        $description.$key($value)
    };
}

/// A subscriber with its type forgotten: one virtual call a batch.
trait Batch {
    fn handle(&mut self, heads: &[host::Head], blob: &[u8]) -> Result<(), host::Failure>;
}

impl<S: Subscriber> Batch for S {
    fn handle(&mut self, heads: &[host::Head], blob: &[u8]) -> Result<(), host::Failure> {
        for (index, head) in heads.iter().enumerate() {
            let mut ctx = Context::for_event_at(head.position);
            Event::read(head, blob)
                .and_then(|event| Subscriber::handle(self, &event, &mut ctx))
                .map_err(|failure| failure.at(index))?;
        }
        Ok(())
    }
}

thread_local! {
    /// The instance's subscriber; none before the first batch and after a failure.
    static SUBSCRIBER: RefCell<Option<Box<dyn Batch>>> = const { RefCell::new(None) };
}

/// What the exported `handle` does. Called by [`export!`](crate::export!) only.
#[doc(hidden)]
pub fn handle_batch<S: Subscriber + 'static>(
    heads: &[host::Head],
    blob: &[u8],
    make: impl FnOnce() -> S,
) -> Result<(), host::Failure> {
    log_panics();
    recent::forget();
    SUBSCRIBER.with_borrow_mut(|slot| {
        let mut subscriber = match slot.take() {
            Some(subscriber) => subscriber,
            None => start(make).map_err(|failure| failure.at(0))?,
        };
        subscriber.handle(heads, blob)?;
        *slot = Some(subscriber);
        Ok(())
    })
}

fn start<S: Subscriber + 'static>(make: impl FnOnce() -> S) -> Outcome<Box<dyn Batch>> {
    let mut subscriber = make();
    subscriber.start(Config)?;
    Ok(Box::new(subscriber))
}

/// What the exported `query` does. Called by [`export!`](crate::export!) only.
#[doc(hidden)]
pub fn answer_query<P: Projection>(
    request: &host::Request,
    make: impl FnOnce() -> P,
) -> Result<host::Answer, host::QueryError> {
    log_panics();
    // Each query has its own moment: nothing of the last one counts.
    recent::forget();
    answer(&mut make(), request).map(Answer::into_host).map_err(QueryError::into_host)
}

fn answer(projection: &mut impl Projection, request: &host::Request) -> Answered {
    projection.start(Config)?;
    projection.query(&Query::of(request), &ReadContext)
}

/// What the exported `describe` does. Called by [`export!`](crate::export!) only.
#[doc(hidden)]
pub fn describe_component<S: Subscriber>(description: Description, make: impl FnOnce() -> S) -> contract::Description {
    log_panics();
    description.or_types(make().event_types()).into()
}
