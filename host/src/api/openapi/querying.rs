//! Queries of projections.

use serde_json::json;
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, AnyOfBuilder, ArrayBuilder, ObjectBuilder, Schema, Type};

use super::operation::Op;
use super::parameter::{at_least, named, others, told};
use crate::api::problem::Kind;
use crate::api::query::CHECKPOINT;

const ABOUT: &str = "The answer is the plugin's own, under the content type that it says: JSON or anything else. It \
                     is of one moment of the plugin's live state. Queries change nothing and do not hold up delivery.";

/// Parameters of a query, each a text, or a list of texts for a name that comes several times.
#[derive(ToSchema)]
#[schema(as = QueryParameters)]
struct Parameters {
    /// Names and values; a number, true or false stand for the text that they are.
    #[schema(schema_with = values, required = false)]
    #[expect(dead_code, reason = "the shape is what matters")]
    parameters: (),
}

fn values() -> RefOr<Schema> {
    let scalar = || {
        let kinds = [Type::String, Type::Number, Type::Boolean].into_iter();
        kinds.fold(AnyOfBuilder::new(), |any_of, kind| any_of.item(ObjectBuilder::new().schema_type(kind)))
    };
    let list = ArrayBuilder::new().items(scalar());
    let value = RefOr::T(Schema::AnyOf(scalar().item(list).build()));
    ObjectBuilder::new().additional_properties(Some(AdditionalProperties::RefOr(value))).into()
}

pub(super) fn operations() -> Vec<Op> {
    let path = "/v1/plugins/{name}/query/{query}";
    let get = Op::get(path, "query", "Has a plugin answer a query.")
        .takes([others("parameters", "Parameters of the query: any names, any number of times.")]);
    let post = Op::post(path, "queryWithBody", "Has a plugin answer a query with long parameters.")
        .accepts::<Parameters>("application/json")
        .example("query", "A query with parameters.", json!({ "parameters": { "customer": "42", "limit": 10 } }))
        .refuses(408, &[Kind::TimedOut])
        .refuses(413, &[Kind::TooLarge])
        .refuses(415, &[Kind::UnsupportedMediaType]);
    let of_both = |op: Op| {
        op.about(ABOUT)
            .takes(at_least("the plugin"))
            .answers(200, "The plugin's answer.")
            .any_json()
            .bytes("*/*")
            .header(CHECKPOINT.as_str(), told(named("Position"), "The checkpoint that the answer is as of."))
            .refuses(400, &[Kind::InvalidQuery])
            .refuses(404, &[Kind::NotFound, Kind::UnknownQuery])
            .refuses(409, &[Kind::NoProjection])
            .refuses(502, &[Kind::QueryFailed])
            .refuses(503, &[Kind::TimedOut, Kind::QueryFault])
            .refuses(504, &[Kind::QueryFault])
    };
    [get, post].map(of_both).into()
}
