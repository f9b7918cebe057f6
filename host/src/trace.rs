//! Spans of what the host does, for OpenTelemetry: appends, handled batches, what guests ask of the host.
//!
//! Nothing is recorded, and nothing costs more than a look at a flag, until [`enable`] is called; who exports spans is not
//! known here. Traces hang together by `traceparent` (W3C Trace Context): a client's is the parent of the append's, the
//! append's goes into the metadata of its events, and the span of a batch links to those of its events.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::OnceLock;

use opentelemetry::global::BoxedTracer;
use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState, Tracer as _,
};
use opentelemetry::{Context, ContextGuard, KeyValue};

/// What all spans are of, as the messaging conventions of OpenTelemetry call it.
const SYSTEM: &str = "tidemill";
/// Most links of a batch's span.
const LINKS_MAX: usize = 128;
/// Most spans of what a guest asks for in one batch; what it asks for beyond is done all the same.
const CALLS_MAX: u32 = 64;

static TRACER: OnceLock<BoxedTracer> = OnceLock::new();

thread_local! {
    /// How many spans of calls the batch on this thread may still have.
    static CALLS_LEFT: Cell<u32> = const { Cell::new(0) };
}

/// Records spans from now on, by the tracer provider that is installed.
pub fn enable() {
    let _ = TRACER.set(opentelemetry::global::tracer(SYSTEM));
}

/// Whether spans are recorded.
#[must_use]
pub fn is_enabled() -> bool {
    TRACER.get().is_some()
}

/// A span, or none where nothing is recorded. Ends when it is dropped.
#[derive(Debug, Default)]
#[must_use = "a span is as long as it is held"]
pub struct Span(Option<Context>);

/// While it is held, spans that begin on this thread are children of one.
#[derive(Debug)]
#[must_use = "the span is left when it is dropped"]
pub struct Entered {
    _guard: Option<ContextGuard>,
}

impl Span {
    /// Of an append of some events that came with a trace context. `stream` if it is one.
    pub fn append(traceparent: Option<&str>, stream: Option<&str>, events: usize) -> Self {
        let Some(tracer) = TRACER.get() else { return Self::default() };
        let parent = traceparent.and_then(context_of);
        let parent = parent.map_or_else(Context::new, |parent| Context::new().with_remote_span_context(parent));
        let mut attributes = messaging("append", "send", events);
        attributes.extend(stream.map(|stream| KeyValue::new("messaging.destination.name", stream.to_owned())));
        let span = tracer.span_builder("append").with_kind(SpanKind::Producer).with_attributes(attributes);
        Self(Some(parent.with_span(span.start_with_context(tracer, &parent))))
    }

    /// Of a batch that is handed to a partition of a plugin: a trace of its own, linked to those of its events.
    pub fn batch<'a>(
        (plugin, partition): (&str, u32),
        (first, events, attempt): (u64, usize, u32),
        traceparents: impl Iterator<Item = &'a str>,
    ) -> Self {
        let Some(tracer) = TRACER.get() else { return Self::default() };
        let links =
            traceparents.filter_map(context_of).take(LINKS_MAX).map(|context| Link::new(context, Vec::new(), 0));
        let mut attributes = messaging("handle", "process", events);
        attributes.extend([
            KeyValue::new("messaging.consumer.group.name", plugin.to_owned()),
            KeyValue::new("messaging.destination.partition.id", partition.to_string()),
            KeyValue::new("tidemill.first_position", i64::try_from(first).unwrap_or(i64::MAX)),
            KeyValue::new("tidemill.attempt", i64::from(attempt)),
        ]);
        let name = format!("handle {plugin}");
        let span = tracer.span_builder(name).with_kind(SpanKind::Consumer).with_attributes(attributes);
        let root = Context::new();
        Self(Some(root.with_span(span.with_links(links.collect()).start_with_context(tracer, &root))))
    }

    /// Of something that is done for the span that was entered on this thread; none where there is none.
    pub fn call(name: impl Into<Cow<'static, str>>) -> Self {
        Self::child(name, SpanKind::Internal)
    }

    /// Of a request to the outside, for the span that was entered on this thread; none where there is none.
    pub fn request(method: &str, host: &str, port: u16) -> Self {
        let span = Self::child(method.to_owned(), SpanKind::Client);
        if let Some(context) = &span.0 {
            context.span().set_attributes([
                KeyValue::new("http.request.method", method.to_owned()),
                KeyValue::new("server.address", host.to_owned()),
                KeyValue::new("server.port", i64::from(port)),
            ]);
        }
        span
    }

    fn child(name: impl Into<Cow<'static, str>>, kind: SpanKind) -> Self {
        let Some(tracer) = TRACER.get() else { return Self::default() };
        let current = Context::current();
        let left = CALLS_LEFT.get();
        if !current.span().is_recording() || left == 0 {
            return Self::default();
        }
        CALLS_LEFT.set(left - 1);
        let span = tracer.span_builder(name).with_kind(kind).start_with_context(tracer, &current);
        Self(Some(current.with_span(span)))
    }

    /// Makes it the parent of what begins on this thread.
    pub fn enter(&self) -> Entered {
        CALLS_LEFT.set(CALLS_MAX);
        Entered { _guard: self.0.clone().map(Context::attach) }
    }

    /// Its context, as it goes over the wire.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        self.0.as_ref().and_then(traceparent_of)
    }

    /// Notes the status of an answer.
    pub fn answered(&self, status: u16) {
        if let Some(context) = &self.0 {
            context.span().set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        }
    }

    /// Notes that it failed, by a name for the kind of failure and why.
    pub fn fail(&self, kind: &str, reason: &str) {
        if let Some(context) = &self.0 {
            context.span().set_attribute(KeyValue::new("error.type", kind.to_owned()));
            context.span().set_status(Status::error(reason.to_owned()));
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(context) = &self.0 {
            context.span().end();
        }
    }
}

/// The context of the span that was entered on this thread, as it goes over the wire.
#[must_use]
pub fn current() -> Option<String> {
    TRACER.get().and_then(|_| traceparent_of(&Context::current()))
}

fn messaging(name: &'static str, kind: &'static str, events: usize) -> Vec<KeyValue> {
    vec![
        KeyValue::new("messaging.system", SYSTEM),
        KeyValue::new("messaging.operation.name", name),
        KeyValue::new("messaging.operation.type", kind),
        KeyValue::new("messaging.batch.message_count", i64::try_from(events).unwrap_or(i64::MAX)),
    ]
}

fn traceparent_of(context: &Context) -> Option<String> {
    let span = context.span();
    let context = span.span_context();
    let flags = context.trace_flags().to_u8();
    context.is_valid().then(|| format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id()))
}

/// Reads a `traceparent`; none when it is malformed.
fn context_of(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if version.len() != 2 || version == "ff" || trace.len() != 32 || span.len() != 16 || flags.len() != 2 {
        return None;
    }
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    Some(SpanContext::new(trace, span, flags, true, TraceState::default())).filter(SpanContext::is_valid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_read_as_it_is_written_or_not_at_all() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let context = context_of(text).unwrap();
        assert!(context.is_sampled() && context.is_remote());
        let context = Context::new().with_remote_span_context(context);
        assert_eq!(traceparent_of(&context).as_deref(), Some(text));
        for bad in [
            "",
            "00",
            &text[..50],
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            &format!("ff{}", &text[2..]),
        ] {
            assert!(context_of(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn nothing_is_recorded_unless_it_is_enabled() {
        let span = Span::append(None, None, 1);
        assert!(span.traceparent().is_none());
        let _entered = span.enter();
        assert!(Span::call("state.get").traceparent().is_none() && current().is_none());
    }
}
