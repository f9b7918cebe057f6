//! The gate that every request of a guest passes: is it granted, is the batch's number used up, what does the
//! host add.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method, Request, Response, Uri};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpHooks};

use super::address::{AddressGrant, to_grant};
use super::client::{self, Exchanged, Unsent, bounded_request};
use super::trust::Trust;
use super::url::Origin;
use crate::document::grant;
use crate::runtime::component::InstanceOptions;
use crate::trace::Span;

/// Most bytes of a request's or a response's headers in the guest's hands.
const FIELD_BYTES_MAX: usize = 64 << 10;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What goes on while a response is read.
type Moving = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Answer = Result<(Response<WasiBody>, Moving), Error>;

/// The HTTP of one instance.
pub(in crate::runtime) struct Outbound {
    options: Arc<InstanceOptions>,
    trust: Trust,
    /// Requests that the batch in progress may still send; none outside of one.
    left: Option<u32>,
}

/// A request that may be sent.
struct Allowed {
    request: Request<WasiBody>,
    origin: Origin,
}

impl Allowed {
    /// Tells whoever is asked of the trace, unless the guest does.
    fn within(mut self, span: &Span) -> Self {
        if let Some(context) = span.traceparent().and_then(|context| HeaderValue::try_from(context).ok()) {
            self.request.headers_mut().entry(TRACEPARENT).or_insert(context);
        }
        self
    }
}

impl Outbound {
    pub(in crate::runtime) fn new(options: Arc<InstanceOptions>, trust: Trust) -> Self {
        Self { options, trust, left: None }
    }

    /// What the library keeps beside: a bound on headers.
    pub(in crate::runtime) fn context() -> WasiHttpCtx {
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(FIELD_BYTES_MAX);
        context
    }

    /// Begins a call: all of its requests are still to be sent.
    pub(in crate::runtime) fn begin_call(&mut self) {
        self.left = Some(self.options.limits.http_requests_per_batch);
    }

    /// Requests that were let through in this call.
    pub(in crate::runtime) fn sent(&self) -> u32 {
        let max = self.options.limits.http_requests_per_batch;
        self.left.map_or(0, |left| max.saturating_sub(left))
    }

    fn admit(&mut self, mut request: Request<WasiBody>) -> Result<Allowed, Error> {
        let access = &self.options.grants.http;
        let left = self.left.as_mut().ok_or(Error::HttpRequestDenied)?;
        if *left == 0 {
            let max = self.options.limits.http_requests_per_batch;
            let reason = format!(
                "more than {max} HTTP requests in one batch; raise [limits] http_requests_per_batch, or lower \
                 [delivery] batch_events_max"
            );
            denied(&self.options, &reason);
            return Err(Error::ConnectionLimitReached);
        }
        access.check(request.uri()).map_err(|reason| {
            denied(&self.options, &reason);
            Error::HttpRequestDenied
        })?;
        if is_refused(request.method()) {
            return Err(Error::HttpRequestMethodInvalid);
        }
        *left -= 1;
        let origin = Origin::of(request.uri()).map_err(|_| Error::HttpRequestUriInvalid)?;
        for header in &access.headers {
            header.add(&mut request);
        }
        let bytes_max = self.options.limits.http_request_bytes;
        let request = request.map(|body| bounded_request(body, bytes_max));
        Ok(Allowed { request, origin })
    }
}

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Moving,
    ) -> Box<dyn Future<Output = Answer> + Send> {
        let uri = request.uri().clone();
        let method = request.method().clone();
        let admitted = self.admit(request).map(|allowed| {
            let span = Span::request(method.as_str(), &allowed.origin.host, allowed.origin.port);
            (allowed.within(&span), span)
        });
        let (instance, trust) = (Arc::clone(&self.options), self.trust.clone());
        Box::new(async move {
            let (Allowed { request, origin }, span) = admitted?;
            let believed = (&*instance.grants.http.private, &trust);
            let sent = client::send(request, origin, believed, &instance.limits, options.unwrap_or_default()).await;
            let sent = sent.map_err(|unsent| match unsent {
                Unsent::Inside(addresses) => {
                    denied(&instance, &inside(&uri, &addresses, &instance.grants.http.private));
                    Error::DestinationIpProhibited
                }
                Unsent::Failed(error) => error,
            });
            match &sent {
                Ok((response, _)) => span.answered(response.status().as_u16()),
                Err(error) => span.fail("http", &error.to_string()),
            }
            sent.map(answer)
        })
    }
}

/// Whether nobody may send it: `CONNECT` leads elsewhere, and `TRACE` is answered with what was sent, secrets of the
/// host included. In whichever case, since some servers do not mind it.
fn is_refused(method: &Method) -> bool {
    [Method::CONNECT, Method::TRACE].iter().any(|refused| method.as_str().eq_ignore_ascii_case(refused.as_str()))
}

fn denied(options: &InstanceOptions, reason: &str) {
    options.denials.note(&options.plugin, reason, None);
}

/// Why none of a host's addresses was connected to; `granted` are the private ones that are.
fn inside(uri: &Uri, addresses: &[IpAddr], granted: &[AddressGrant]) -> String {
    let host = uri.host().unwrap_or_default();
    let line = grant("http_private", granted.iter().map(ToString::to_string).chain(to_grant(host, addresses)));
    format!(
        "HTTP to {host}: its addresses are private, loopback or reserved; to allow them, add them in the plugin's \
         manifest, {line}"
    )
}

fn answer((response, connection): Exchanged) -> (Response<WasiBody>, Moving) {
    let moving = async move {
        connection.await;
        Ok(())
    };
    (response, Box::new(moving))
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Empty};

    use super::*;
    use crate::event::PluginName;
    use crate::runtime::{HttpAccess, Limits};

    #[test]
    fn an_address_inside_is_named_in_the_line_that_allows_it() {
        let granted = ["10.0.0.0/8".parse().unwrap()];
        let told = inside(&"http://db.example.com/x".parse().unwrap(), &["192.168.0.7".parse().unwrap()], &granted);
        assert!(told.starts_with("HTTP to db.example.com: "), "{told}");
        assert!(told.ends_with("in [grants]: http_private = ['10.0.0.0/8', '192.168.0.7/32']"), "{told}");
    }

    #[test]
    fn connect_and_trace_are_refused_where_all_else_is_granted() {
        let mut options = InstanceOptions::new(PluginName::new("p").unwrap(), Limits::default());
        let granted = vec!["https://a.example.com".parse().unwrap()];
        options.grants.http = HttpAccess { granted, ..HttpAccess::default() };
        let mut outbound = Outbound::new(Arc::new(options), Trust::default());
        outbound.begin_call();
        let mut admit = |method: &str| {
            let body = Empty::<bytes::Bytes>::new().map_err(Error::from).boxed_unsync();
            let request = Request::builder().method(method).uri("https://a.example.com/x").body(body).unwrap();
            outbound.admit(request).map(drop)
        };
        for refused in ["CONNECT", "TRACE", "trace"] {
            assert!(matches!(admit(refused), Err(Error::HttpRequestMethodInvalid)), "{refused}");
        }
        for sent in ["GET", "POST", "OPTIONS", "TRACES"] {
            assert!(admit(sent).is_ok(), "{sent}");
        }
        assert_eq!(outbound.sent(), 4);
    }
}
