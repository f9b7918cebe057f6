//! Gets the manifest's `url` for each event, `times` times (1), and writes what came of the last under
//! `http/<position>`: the status and the length of the body, or the error. Follows a redirect if `follow` is true.

use test_guests::{Answer, Event, Failure, config, config_number, count, each, put};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{ErrorCode, Fields, IncomingResponse, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

fn handle(events: &[Event]) -> Result<(), Failure> {
    each(events, |event| {
        let url = config::get("url").unwrap_or_default();
        let mut told = String::new();
        for _ in 0..config_number("times", 1) {
            told = got(&url).unwrap_or_else(|error| format!("error: {error}"));
        }
        note(event, &told)
    })
}

fn note(event: &Event, told: &str) -> Answer {
    put(&format!("http/{}", event.position), told)?;
    count()
}

fn got(url: &str) -> Result<String, String> {
    let mut response = get(url)?;
    if config::get("follow").as_deref() == Some("true") && (300..400).contains(&response.status()) {
        let to = response.headers().get("location").pop().unwrap_or_default();
        response = get(&String::from_utf8_lossy(&to))?;
    }
    Ok(format!("{} {}", response.status(), body_bytes(&response)?))
}

fn get(url: &str) -> Result<IncomingResponse, String> {
    let (scheme, rest) = url.split_once("://").ok_or("no scheme")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let headers = Fields::new();
    headers.append("authorization", b"the guest's own").map_err(|error| error.to_string())?;
    let request = OutgoingRequest::new(headers);
    let scheme = if scheme == "http" { Scheme::Http } else { Scheme::Https };
    let set = request.set_scheme(Some(&scheme)).and_then(|()| request.set_authority(Some(authority)));
    set.and_then(|()| request.set_path_with_query(Some(&format!("/{path}")))).map_err(|()| "no URL".to_owned())?;
    let named = |error: ErrorCode| format!("{error:?}");
    let future = outgoing_handler::handle(request, None).map_err(named)?;
    future.subscribe().block();
    let answer = future.get().ok_or("nothing came")?;
    answer.map_err(|()| "taken twice".to_owned())?.map_err(named)
}

fn body_bytes(response: &IncomingResponse) -> Result<usize, String> {
    let body = response.consume().map_err(|()| "no body".to_owned())?;
    let stream = body.stream().map_err(|()| "no stream".to_owned())?;
    let mut bytes = 0;
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(chunk) => bytes += chunk.len(),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(error)) => {
                return Err(format!("after {bytes} bytes: {}", error.to_debug_string()));
            }
        }
    }
}

test_guests::subscriber!(handle);
