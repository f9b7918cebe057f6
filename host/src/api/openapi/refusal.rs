//! Problems as answers of the document: a status, and the types that a problem of it may have.

use std::collections::{BTreeMap, BTreeSet};

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Type};
use utoipa::openapi::{Content, Ref, Response};

use crate::api::problem::{PROBLEM_CONTENT_TYPE, TYPE_PREFIX};

/// Answers that several operations refer to, by name.
pub(super) type Refusals = BTreeMap<String, Response>;

/// A reference to the answer with this status and these types, which is made if it is not there.
pub(super) fn refusal(status: u16, kinds: &BTreeSet<&'static str>, refusals: &mut Refusals) -> Ref {
    let words = kinds.iter().copied().collect::<Vec<_>>();
    let name = format!("{status}.{}", words.join("."));
    refusals.entry(name.clone()).or_insert_with(|| response(status, &words));
    Ref::from_response_name(name)
}

fn response(status: u16, kinds: &[&str]) -> Response {
    let types = kinds.iter().map(|kind| format!("{TYPE_PREFIX}{kind}"));
    let narrowed = ObjectBuilder::new()
        .property("type", ObjectBuilder::new().schema_type(Type::String).enum_values(Some(types)))
        .property("status", ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([status])));
    let schema = AllOfBuilder::new().item(Ref::from_schema_name("Problem")).item(narrowed);
    let mut response = Response::new(format!("A problem: {}.", kinds.join(", ")));
    response.content.insert(PROBLEM_CONTENT_TYPE.into(), Content::new(Some(schema)).into());
    if status == 401 {
        let text = ObjectBuilder::new().schema_type(Type::String);
        let header = HeaderBuilder::new().schema(Some(text)).description(Some("`Bearer`: how a key is presented."));
        response.headers.insert("WWW-Authenticate".into(), header.build().into());
    }
    if matches!(status, 429 | 503) {
        let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0_usize));
        let header =
            HeaderBuilder::new().schema(Some(seconds)).description(Some("Seconds until it is worth another try."));
        response.headers.insert("Retry-After".into(), header.build().into());
    }
    response
}
