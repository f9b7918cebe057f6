//! Reads a body that is taken as a whole, within bounds of size and time.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest as _, Request};
use axum::http::{HeaderMap, StatusCode, header};

use super::problem::{Kind, Problem};
use super::state::ApiState;

/// Reads a body; `bytes_max` is what the route's layer allows, and `advice` is told to who sends more.
pub(super) async fn whole_body(
    state: &ApiState,
    request: Request,
    bytes_max: usize,
    advice: &str,
) -> Result<Bytes, Problem> {
    let seconds = state.limits().body_time;
    let arrived = tokio::time::timeout(Duration::from_secs(seconds), Bytes::from_request(request, &()));
    let read = arrived.await.map_err(|_| {
        let detail = format!("the body did not arrive within {seconds} s");
        Problem::http(StatusCode::REQUEST_TIMEOUT, Kind::TimedOut, detail)
    })?;
    read.map_err(|rejection| unreadable(&rejection, bytes_max, advice))
}

/// Refuses a body that says that it is something else than JSON.
pub(super) fn must_be_json(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).map(|given| given.to_str().unwrap_or_default());
    let essence = given.unwrap_or("application/json").split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let detail = format!("content type {:?} is not understood; send application/json", given.unwrap_or_default());
    Err(Problem::http(StatusCode::UNSUPPORTED_MEDIA_TYPE, Kind::UnsupportedMediaType, detail))
}

fn unreadable(rejection: &BytesRejection, bytes_max: usize, advice: &str) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let detail = format!("the body is larger than {bytes_max} bytes; {advice}");
        return Problem::http(StatusCode::PAYLOAD_TOO_LARGE, Kind::TooLarge, detail);
    }
    Problem::invalid(format!("the body could not be read: {}", rejection.body_text()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn refusal(content_type: &[u8]) -> Option<String> {
        let value = HeaderValue::from_bytes(content_type).unwrap();
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, value)]);
        must_be_json(&headers).err().map(|problem| problem.detail().to_owned())
    }

    #[test]
    fn json_is_known_by_its_type_and_what_is_not_is_told_as_it_came() {
        must_be_json(&HeaderMap::new()).unwrap();
        for json in ["application/json", "Application/JSON ; charset=utf-8"] {
            assert_eq!(refusal(json.as_bytes()), None, "{json}");
        }
        let told = refusal(b"text/plain; charset=utf-8").unwrap();
        assert!(told.starts_with("content type \"text/plain; charset=utf-8\" is not understood"), "{told}");
        assert!(refusal(b"").is_some() && refusal(b"application/json\xff").is_some());
    }
}
