//! `GET /v1/streams`: which streams there are.

use axum::extract::{RawQuery, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::blocking::{Json, blocking};
use super::params::Params;
use super::problem::Problem;
use super::selection::Link;
use super::state::ApiState;
use super::wait::for_log;
use crate::event::{Filter, PAGE_STREAMS_MAX, Pattern, Position, StreamName, Version};
use crate::gate::Caller;
use crate::store::{Store, StoreError, StreamHead, StreamPage};

const PARAMS: &[&str] = &["prefix", "after", "limit", "at_least", "timeout_ms"];
/// Streams on a page unless told.
pub(super) const PAGE_DEFAULT: usize = 100;

/// Some of the streams, in the order of their names by bytes.
#[derive(Serialize, ToSchema)]
#[schema(as = StreamList)]
pub(super) struct PageView<'a> {
    streams: Vec<RowView<'a>>,
    next: Option<String>,
}

/// A stream and where it ends.
#[derive(Serialize, ToSchema)]
#[schema(as = StreamRow)]
pub(super) struct RowView<'a> {
    stream: &'a str,
    version: Version,
    position: Position,
    deleted: bool,
}

impl<'a> RowView<'a> {
    fn new((name, head): &'a (StreamName, StreamHead)) -> Self {
        let StreamHead { version, position, deleted } = *head;
        Self { stream: name.as_str(), version, position, deleted }
    }
}

/// Lists streams.
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json, Problem> {
    let params = Params::parse(query.as_deref(), PARAMS)?;
    let limit = params.limit(PAGE_DEFAULT, PAGE_STREAMS_MAX)?;
    let after = params.one("after")?.map(StreamName::new).transpose()?;
    let prefixes = prefixes(params.one("prefix")?.unwrap_or_default(), &caller.reach());
    for_log(&state, &params).await?;
    blocking(&state, move |store| {
        let page = page(store, &prefixes, after.as_ref(), limit)?;
        let next = page.next.as_ref().map(|next| {
            let link = Link::to("/v1/streams").with("after", next.as_str());
            link.with_same(&params, &["prefix", "limit"]).into_text()
        });
        Json::render(&PageView { streams: page.streams.iter().map(RowView::new).collect(), next })
    })
    .await
}

/// What the names of streams begin with that are asked for and within reach, in their order; none begins with another.
fn prefixes(asked: &str, reach: &Filter) -> Vec<String> {
    let within = |pattern: &Pattern| {
        let prefix = pattern.as_str().trim_end_matches('*');
        let narrower = if prefix.starts_with(asked) { prefix } else { asked };
        narrower.starts_with(prefix).then(|| narrower.to_owned())
    };
    if reach.streams.is_empty() {
        return vec![asked.to_owned()];
    }
    let mut prefixes: Vec<_> = reach.streams.iter().filter_map(within).collect();
    prefixes.sort_unstable();
    prefixes.dedup_by(|later, earlier| later.starts_with(earlier.as_str()));
    prefixes
}

/// The streams of several beginnings, as if they were one.
fn page(
    store: &dyn Store,
    prefixes: &[String],
    after: Option<&StreamName>,
    limit: usize,
) -> Result<StreamPage, StoreError> {
    let mut page = StreamPage::default();
    for prefix in prefixes {
        let after = after.filter(|after| after.as_str() >= prefix.as_str());
        let part = store.streams(prefix, after, limit - page.streams.len())?;
        page.streams.extend(part.streams);
        page.next = part.next;
        if page.streams.len() == limit {
            let more = page.next.is_some() || prefixes.last() != Some(prefix);
            page.next = page.streams.last().map(|(name, _)| name.clone()).filter(|_| more);
            break;
        }
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_streams_within_reach_are_looked_for() {
        let reach = |prefixes: &[&str]| {
            let streams = prefixes.iter().map(|prefix| Pattern::new(format!("{prefix}*")).unwrap()).collect();
            Filter { streams, ..Filter::default() }
        };
        for (asked, within, found) in [
            ("", &[][..], &[""][..]),
            ("order-1", &[], &["order-1"]),
            ("", &["order-", "cart-"], &["cart-", "order-"]),
            ("order-1", &["order-", "cart-"], &["order-1"]),
            ("o", &["order-", "order-1", "o"], &["o"]),
            ("payment-", &["order-"], &[]),
        ] {
            assert_eq!(prefixes(asked, &reach(within)), found, "{asked:?} within {within:?}");
        }
    }
}
