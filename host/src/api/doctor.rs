//! `GET /v1/doctor`: how large the parts of the store are, and what of that is unusual.

use std::collections::BTreeMap;

use axum::extract::{RawQuery, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::blocking::{Json, blocking};
use super::event_view::timestamp;
use super::params::Params;
use super::problem::Problem;
use super::state::ApiState;
use crate::store::Counts;
use crate::store::embedded::{Part, Sizes};

/// Index files of one level beyond which merging is behind; eight are merged into one of the next level.
const LEVEL_FILES_USUAL: usize = 16;
/// Journals beyond which sealing is behind. A few are in use, and kept to be used again.
const JOURNALS_USUAL: usize = 8;
/// Bytes below which nothing about a part's share of the whole is unusual.
const SHARE_BYTES_MIN: u64 = 64 << 20;

/// What the store is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Doctor)]
pub(crate) struct DoctorView {
    /// Events in the log, and the streams that ever had one; null when the log could not be opened.
    pub(crate) events: Option<u64>,
    pub(crate) streams: Option<u64>,
    /// Position of the last event.
    pub(crate) head: Option<u64>,
    /// Position of the last event that stands in a segment; those after it stand in journals.
    pub(crate) sealed: u64,
    /// Times of the first and the last event that stand in segments.
    pub(crate) sealed_from: Option<String>,
    pub(crate) sealed_until: Option<String>,
    pub(crate) segments: PartView,
    pub(crate) index: PartView,
    /// Index files of each level, from level 0.
    pub(crate) index_files_by_level: Vec<usize>,
    pub(crate) journals: PartView,
    /// Bytes of the file of plugins' data.
    pub(crate) state_bytes: u64,
    /// Bytes of the sealed events as they are encoded.
    pub(crate) payload_bytes: u64,
    /// Sealed events that were removed and whose space was given back.
    #[serde(default)]
    pub(crate) stubs: u64,
    /// The position before which events of a category are removed, by category.
    #[serde(default)]
    pub(crate) removed_before: BTreeMap<String, u64>,
    /// Bytes of everything.
    pub(crate) total_bytes: u64,
    /// `total_bytes` over `payload_bytes`; null while nothing is sealed.
    pub(crate) amplification: Option<f64>,
    /// What is unusual.
    pub(crate) findings: Vec<Finding>,
}

/// Files of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = StorePart)]
pub(crate) struct PartView {
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    /// For each sealed event; null while nothing is sealed, and for journals, which are of a fixed size.
    pub(crate) bytes_per_event: Option<f64>,
}

/// Something unusual.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Finding {
    /// What.
    pub(crate) what: String,
    /// What to do.
    pub(crate) advice: String,
}

impl DoctorView {
    /// Puts together what is known of a store; without `counts` if its log could not be opened.
    pub(crate) fn new(sizes: &Sizes, counts: Option<Counts>) -> Self {
        let part = |part: Part| PartView {
            files: part.files,
            bytes: part.bytes,
            bytes_per_event: ratio(part.bytes, sizes.sealed.0),
        };
        let total_bytes = sizes.total_bytes();
        Self {
            events: counts.map(|counts| counts.events),
            streams: counts.map(|counts| counts.streams),
            head: counts.map(|counts| counts.events),
            sealed: sizes.sealed.0,
            sealed_from: sizes.sealed_us.map(|(first, _)| timestamp(first)),
            sealed_until: sizes.sealed_us.map(|(_, last)| timestamp(last)),
            segments: part(sizes.segments),
            index: part(sizes.runs),
            index_files_by_level: sizes.runs_by_level.clone(),
            journals: PartView { bytes_per_event: None, ..part(sizes.journals) },
            state_bytes: sizes.state_bytes,
            payload_bytes: sizes.payload_bytes,
            stubs: sizes.stubs,
            removed_before: sizes.removals.iter().map(|(category, at)| (category.to_owned(), at.0)).collect(),
            total_bytes,
            amplification: ratio(total_bytes, sizes.payload_bytes),
            findings: findings(sizes),
        }
    }
}

impl Finding {
    /// Something unusual, and what to do.
    pub(crate) fn new(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what: what.into(), advice: advice.into() }
    }
}

/// One number over another, to three places; none when that is nothing.
fn ratio(bytes: u64, by: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "it is shown to three places")]
    let ratio = bytes as f64 / by as f64;
    (by > 0).then(|| (ratio * 1000.0).round() / 1000.0)
}

/// What is unusual about sizes.
fn findings(sizes: &Sizes) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (level, files) in sizes.runs_by_level.iter().enumerate().filter(|(_, files)| **files > LEVEL_FILES_USUAL) {
        findings.push(Finding::new(
            format!("{files} index files of level {level} wait to be merged: reads look into each of them"),
            "merging goes on by itself while a server runs; if the number does not fall, its log says why",
        ));
    }
    if sizes.journals.files > JOURNALS_USUAL {
        findings.push(Finding::new(
            format!("{} journals: events are written faster than they are sealed", sizes.journals.files),
            "sealing goes on by itself while a server runs; if the number does not fall, its log says why, \
             or the disk is too slow for what is written",
        ));
    }
    if sizes.runs.bytes > sizes.segments.bytes.max(SHARE_BYTES_MIN) {
        findings.push(Finding::new(
            "the index is larger than the events it is about",
            "events are tiny, or have many or long tags; larger events or fewer tags make it smaller",
        ));
    }
    if sizes.state_bytes > sizes.segments.bytes.max(SHARE_BYTES_MIN) {
        findings.push(Finding::new(
            "what plugins keep is larger than the sealed events",
            "`tidemill plugins ls` and `tidemill state scan` show who keeps what; \
             a plugin that keeps less makes room in the file, which does not shrink",
        ));
    }
    if let Some(error) = &sizes.compaction_failed {
        findings.push(Finding::new(
            format!("the space of removed events is not given back: {error}"),
            "`tidemill verify` tells what is damaged; it is tried again when the server is started again",
        ));
    }
    findings
}

/// Tells the sizes.
pub(super) async fn doctor(State(state): State<ApiState>, RawQuery(query): RawQuery) -> Result<Json, Problem> {
    Params::parse(query.as_deref(), &[])?;
    let maintenance = state.maintenance()?.clone();
    blocking(&state, move |store| {
        let sizes = maintenance.sizes()?;
        Json::render(&DoctorView::new(&sizes, Some(store.counts()?)))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Position;

    const MIB: u64 = 1 << 20;

    fn part(files: usize, bytes: u64) -> Part {
        Part { files, bytes }
    }

    fn usual() -> Sizes {
        Sizes {
            segments: part(8, 240 * MIB),
            runs: part(3, 40 * MIB),
            runs_by_level: vec![2, 1],
            journals: part(3, 96 * MIB),
            state_bytes: MIB,
            payload_bytes: 200 * MIB,
            sealed: Position(1000),
            sealed_us: Some((0, 1_000_000)),
            ..Sizes::default()
        }
    }

    #[test]
    fn sizes_are_related_to_events() {
        let view = DoctorView::new(&usual(), Some(Counts { events: 1200, streams: 7 }));
        assert_eq!((view.events, view.head, view.streams), (Some(1200), Some(1200), Some(7)));
        assert_eq!(view.total_bytes, 377 * MIB);
        assert_eq!(view.amplification, Some(1.885));
        assert_eq!((view.segments.bytes_per_event, view.journals.bytes_per_event), (Some(251_658.24), None));
        assert_eq!(view.sealed_until.as_deref(), Some("1970-01-01T00:00:01.000000Z"));
        assert_eq!(view.findings, []);
        let empty = DoctorView::new(&Sizes::default(), None);
        assert_eq!((empty.events, empty.amplification, empty.segments.bytes_per_event), (None, None, None));
        assert_eq!(empty.findings, []);
    }

    #[test]
    fn what_is_unusual_is_told_with_what_to_do() {
        for (sizes, what) in [
            (Sizes { runs_by_level: vec![2, 17], ..usual() }, "17 index files of level 1 wait to be merged"),
            (Sizes { journals: part(9, MIB), ..usual() }, "9 journals"),
            (Sizes { runs: part(3, 241 * MIB), ..usual() }, "the index is larger"),
            (Sizes { state_bytes: 300 * MIB, ..usual() }, "what plugins keep is larger"),
            (Sizes { compaction_failed: Some("bad".to_owned()), ..usual() }, "not given back: bad"),
        ] {
            let findings = findings(&sizes);
            assert_eq!(findings.len(), 1, "{findings:?}");
            assert!(findings[0].what.contains(what) && !findings[0].advice.is_empty(), "{findings:?}");
        }
    }
}
