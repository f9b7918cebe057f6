//! One operation of the document: what a route takes, what it answers, and how it refuses.
//!
//! What holds for every route under `/v1` (bounds, places for requests, failures of the store) is added here and
//! not said again by each.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::path::{HttpMethod, Operation, OperationBuilder, Parameter};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, Header, Ref, RefOr, Required, Response};

use super::parameter;
use super::refusal::{Refusals, refusal};
use crate::api::access::{Demand, demand_of};
use crate::api::append_stream::NDJSON_CONTENT_TYPE;
use crate::api::problem::Kind;

/// The name of the way to present a key.
pub(super) const BEARER: &str = "key";
/// Schemas by name.
pub(super) type Schemas = BTreeMap<String, RefOr<Schema>>;
/// Beside the schema of a body of lines: the schema of each line.
const LINES: &str = "x-lines";

/// An operation in the making.
pub(super) struct Op {
    path: &'static str,
    method: HttpMethod,
    operation: OperationBuilder,
    body: RequestBody,
    /// Media type of the body that was named last.
    media: String,
    answers: Vec<(u16, Response)>,
    refusals: BTreeMap<u16, BTreeSet<&'static str>>,
    schemas: Schemas,
}

/// An operation with what it refers to.
pub(super) struct Described {
    pub(super) path: &'static str,
    pub(super) method: HttpMethod,
    pub(super) operation: Operation,
    pub(super) schemas: Schemas,
}

impl Op {
    /// A read under `/v1`.
    pub(super) fn get(path: &'static str, id: &str, summary: &str) -> Self {
        Self::bare(HttpMethod::Get, path, id, summary).bounded()
    }

    /// Something that is done, under `/v1`.
    pub(super) fn post(path: &'static str, id: &str, summary: &str) -> Self {
        Self::bare(HttpMethod::Post, path, id, summary).bounded()
    }

    /// Something that is taken away, under `/v1`.
    pub(super) fn delete(path: &'static str, id: &str, summary: &str) -> Self {
        Self::bare(HttpMethod::Delete, path, id, summary).bounded()
    }

    /// A read that answers however busy the server is.
    pub(super) fn probe(path: &'static str, id: &str, summary: &str) -> Self {
        Self::bare(HttpMethod::Get, path, id, summary)
    }

    fn bare(method: HttpMethod, path: &'static str, id: &str, summary: &str) -> Self {
        let named = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let operation = OperationBuilder::new().operation_id(Some(id)).summary(Some(summary));
        let op = Self {
            path,
            method,
            operation: named.fold(operation, |operation, name| operation.parameter(parameter::in_path(name))),
            body: RequestBody::new(),
            media: String::new(),
            answers: Vec::new(),
            refusals: BTreeMap::new(),
            schemas: Schemas::new(),
        };
        op.guarded().refuses(500, &[Kind::Bug])
    }

    /// How who may not do it is refused.
    fn guarded(mut self) -> Self {
        let method = match self.method {
            HttpMethod::Post => Method::POST,
            HttpMethod::Delete => Method::DELETE,
            _ => Method::GET,
        };
        if demand_of(&method, self.path) == Some(Demand::Open) {
            return self;
        }
        // Either may be: a server without keys asks for none.
        self.operation = self.operation.security(SecurityRequirement::default());
        self.operation = self.operation.security(SecurityRequirement::new(BEARER, Vec::<String>::new()));
        self.refuses(401, &[Kind::KeyNeeded, Kind::KeyUnknown]).refuses(403, &[Kind::Denied])
    }

    /// What every route under `/v1` may answer.
    fn bounded(self) -> Self {
        self.refuses(400, &[Kind::InvalidRequest])
            .refuses(414, &[Kind::UriTooLong])
            .refuses(429, &[Kind::TooManyRequests])
            .refuses(431, &[Kind::HeadersTooLarge])
            .refuses(500, &[Kind::Corrupted])
            .refuses(503, &[Kind::Unavailable])
    }

    /// Which group it belongs to.
    pub(super) fn tag(mut self, tag: &str) -> Self {
        self.operation = self.operation.tag(tag);
        self
    }

    /// More about it.
    pub(super) fn about(mut self, text: &str) -> Self {
        self.operation = self.operation.description(Some(text));
        self
    }

    /// Parameters beside those of the path.
    pub(super) fn takes(mut self, parameters: impl IntoIterator<Item = Parameter>) -> Self {
        self.operation = parameters.into_iter().fold(self.operation, OperationBuilder::parameter);
        self
    }

    /// A body that is JSON of a shape, under a media type.
    pub(super) fn accepts<T: ToSchema>(mut self, media: &str) -> Self {
        let content = Content::new(Some(self.shape::<T>()));
        self.accept(media, content)
    }

    /// A body that is a JSON list of a shape, under a media type.
    pub(super) fn accepts_list<T: ToSchema>(mut self, media: &str) -> Self {
        let content = Content::new(Some(self.shape::<T>().to_list()));
        self.accept(media, content)
    }

    /// A body that is lines of JSON, each of a shape.
    pub(super) fn accepts_lines<T: ToSchema>(mut self) -> Self {
        let content = self.lines_of::<T>();
        self.accept(NDJSON_CONTENT_TYPE, content)
    }

    /// A body that is no JSON.
    pub(super) fn accepts_bytes(self, media: &str) -> Self {
        self.accept(media, Content::new(None::<RefOr<Schema>>))
    }

    fn accept(mut self, media: &str, content: Content) -> Self {
        self.body.required = Some(Required::True);
        self.body.content.insert(media.into(), content.into());
        self.media = media.into();
        self
    }

    /// An example of the body, of the media type that was named last.
    pub(super) fn example(mut self, name: &str, summary: &str, value: Value) -> Self {
        if let Some(RefOr::T(content)) = self.body.content.get_mut(&self.media) {
            let example = ExampleBuilder::new().summary(summary).value(Some(value)).build();
            content.examples.insert(name.into(), example.into());
        }
        self
    }

    /// A good answer; what follows is about it.
    pub(super) fn answers(mut self, status: u16, description: &str) -> Self {
        self.answers.push((status, Response::new(description)));
        self
    }

    /// The answer is JSON of a shape.
    pub(super) fn json<T: ToSchema>(self) -> Self {
        self.media::<T>("application/json")
    }

    /// The answer is a JSON object of a shape that is said elsewhere.
    pub(super) fn object(self) -> Self {
        self.give("application/json", Content::new(Some(ObjectBuilder::new().schema_type(Type::Object))))
    }

    /// The answer is JSON of any shape.
    pub(super) fn any_json(self) -> Self {
        self.give("application/json", Content::new(Some(ObjectBuilder::new().schema_type(SchemaType::AnyValue))))
    }

    /// The answer may be JSON of a shape, under a media type.
    pub(super) fn media<T: ToSchema>(mut self, media: &str) -> Self {
        let content = Content::new(Some(self.shape::<T>()));
        self.give(media, content)
    }

    /// The answer may be a JSON list of a shape, under a media type.
    pub(super) fn list<T: ToSchema>(mut self, media: &str) -> Self {
        let content = Content::new(Some(self.shape::<T>().to_list()));
        self.give(media, content)
    }

    /// The answer may be lines of JSON, each of a shape.
    pub(super) fn lines<T: ToSchema>(mut self) -> Self {
        let content = self.lines_of::<T>();
        self.give(NDJSON_CONTENT_TYPE, content)
    }

    /// The answer is a text that is no JSON.
    pub(super) fn text(self, media: &str) -> Self {
        self.give(media, Content::new(Some(ObjectBuilder::new().schema_type(Type::String))))
    }

    /// The answer is no text.
    pub(super) fn bytes(self, media: &str) -> Self {
        self.give(media, Content::new(None::<RefOr<Schema>>))
    }

    fn give(mut self, media: &str, content: Content) -> Self {
        if let Some((_, answer)) = self.answers.last_mut() {
            answer.content.insert(media.into(), content.into());
        }
        self
    }

    /// The answer has a header.
    pub(super) fn header(mut self, name: &str, header: Header) -> Self {
        if let Some((_, answer)) = self.answers.last_mut() {
            answer.headers.insert(name.into(), header.into());
        }
        self
    }

    /// Problems that it may answer.
    pub(super) fn refuses(mut self, status: u16, kinds: &[Kind]) -> Self {
        self.refusals.entry(status).or_default().extend(kinds.iter().map(|kind| kind.slug()));
        self
    }

    /// A reference to a shape, which is taken into the document.
    fn shape<T: ToSchema>(&mut self) -> Shape {
        let mut needed = Vec::new();
        T::schemas(&mut needed);
        self.schemas.extend(needed);
        self.schemas.insert(T::name().into_owned(), T::schema());
        Shape(Ref::from_schema_name(T::name()))
    }

    fn lines_of<T: ToSchema>(&mut self) -> Content {
        let each = self.shape::<T>().0.ref_location;
        let lines = ExtensionsBuilder::new().add(LINES, serde_json::json!({ "$ref": each })).build();
        let text = ObjectBuilder::new().schema_type(Type::String).content_media_type(NDJSON_CONTENT_TYPE);
        ContentBuilder::new().schema(Some(text)).extensions(Some(lines)).build()
    }

    /// The whole; problems are told as `responses` of the document.
    pub(super) fn build(self, responses: &mut Refusals) -> Described {
        let body = Some(self.body).filter(|body| !body.content.is_empty());
        let answers = self.answers.into_iter().map(|(status, answer)| (status, RefOr::T(answer)));
        let refusals = self.refusals.iter().map(|(status, kinds)| (*status, refusal(*status, kinds, responses).into()));
        let all = answers.chain(refusals);
        let operation = all.fold(self.operation.request_body(body), |operation, (status, answer)| {
            operation.response(status.to_string(), answer)
        });
        Described { path: self.path, method: self.method, operation: operation.build(), schemas: self.schemas }
    }
}

/// A reference to a schema of the document.
struct Shape(Ref);

impl Shape {
    fn to_list(&self) -> utoipa::openapi::schema::Array {
        utoipa::openapi::schema::Array::new(self.0.clone())
    }
}

impl From<Shape> for RefOr<Schema> {
    fn from(shape: Shape) -> Self {
        Self::Ref(shape.0)
    }
}
