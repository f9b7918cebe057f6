//! On poison, writes to the body of a request that is never sent, which waits for ever in the host.

use test_guests::{Event, Failure, Verdict, count, each, is_poison};
use wasip2::http::types::{Fields, OutgoingRequest};

fn handle(events: &[Event]) -> Result<(), Failure> {
    each(events, |event| {
        if is_poison(event) {
            let request = OutgoingRequest::new(Fields::new());
            let body = request.body().map_err(|()| (Verdict::Stop, "no body".to_owned()))?;
            let stream = body.write().map_err(|()| (Verdict::Stop, "no stream".to_owned()))?;
            while stream.blocking_write_and_flush(&[0; 4096]).is_ok() {}
        }
        count()
    })
}

test_guests::subscriber!(handle);
