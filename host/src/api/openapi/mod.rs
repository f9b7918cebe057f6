//! `GET /v1/openapi.json`: the API described in OpenAPI 3.1, made from the code that answers.
//!
//! Shapes are those of the views that are written, as far as they are derived; names, bounds, media types and types of
//! problems are the constants that are enforced. What could still differ is held by tests: every route is in the
//! document and the other way round, every parameter is one that its route takes, every answer that a test of the API
//! gets fits the document, and `docs/openapi.json` is the document.

mod appending;
mod deciding;
mod names;
mod operating;
mod operation;
mod parameter;
mod plugin_shapes;
mod plugins;
mod querying;
mod reading;
mod refusal;
mod shapes;

use std::sync::LazyLock;

use axum::extract::RawQuery;
use utoipa::openapi::path::{PathItem, PathsBuilder};
use utoipa::openapi::schema::{AllOf, Schema};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, License, OpenApi, OpenApiBuilder, RefOr, Server, Tag};
use utoipa::{PartialSchema as _, ToSchema as _};

use self::operation::{BEARER, Op, Schemas};
use self::plugin_shapes::Lag;
use self::refusal::Refusals;
pub(super) use self::shapes::Problem as ProblemShape;
use super::blocking::Json;
use super::params::Params;
use super::problem::Problem;
use crate::delivery::PartitionStatus;

const ABOUT: &str = "An event store that runs its subscribers inside itself. Errors are problems (RFC 9457) with a \
                     stable `type`; unknown parameters and fields are refused. Routes beside these do not exist.";

const KEY: &str = "A key made by `tidemill keys new`. A server without keys asks for none.";

/// The document, made once.
static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(document);

/// Answers the document.
pub(super) async fn get(RawQuery(query): RawQuery) -> Result<Json, Problem> {
    Params::parse(query.as_deref(), &[])?;
    Json::render(&*DOCUMENT)
}

fn operations() -> impl Iterator<Item = Op> {
    let events = appending::operations().into_iter().chain(reading::operations());
    events.chain(deciding::operations()).chain(plugins::operations()).chain(operating::operations())
}

/// The document.
pub(super) fn document() -> OpenApi {
    let (mut refusals, mut schemas) = (Refusals::new(), Schemas::from_iter(names::all()));
    schemas.insert(ProblemShape::name().into_owned(), ProblemShape::schema());
    let paths = operations().fold(PathsBuilder::new(), |paths, op| {
        let described = op.build(&mut refusals);
        schemas.extend(described.schemas);
        paths.path(described.path, PathItem::new(described.method, described.operation))
    });
    tell_lags(&mut schemas);
    let components = ComponentsBuilder::new().schemas_from_iter(schemas).responses_from_iter(refusals);
    let key = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(KEY)).build();
    let components = components.security_scheme(BEARER, SecurityScheme::Http(key));
    let info = InfoBuilder::new()
        .title("Tidemill")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(License::new("Apache-2.0")));
    OpenApiBuilder::new()
        .info(info)
        .servers(Some([Server::new("/")]))
        .paths(paths)
        .components(Some(components.build()))
        .tags(Some(tags()))
        .build()
}

fn tags() -> [Tag; 4] {
    let tag = |name: &str, about: &str| TagBuilder::new().name(name).description(Some(about)).build();
    [
        tag("events", "The log and its streams."),
        tag("commands", "Commands to aggregates, and aggregates as of any point."),
        tag("plugins", "Subscribers, what they keep, and what they have set aside."),
        tag("server", "The server and its store."),
    ]
}

/// Adds what is told beside the status of a partition.
fn tell_lags(schemas: &mut Schemas) {
    if let Some(RefOr::T(Schema::AllOf(AllOf { items, .. }))) = schemas.get_mut(&*PartitionStatus::name()) {
        items.push(Lag::schema());
    }
}
