//! Projects the history of a git repository: commits per author and per week, most-changed files.
//!
//! `git-events.sh REPO` in this folder turns any repository into one `CommitMade` event per commit.

mod week;

use serde::{Deserialize, Serialize};
use tidemill_sdk::{Context, OrFail, Outcome, State, export, typed};

/// How many files the list of the most-changed holds.
const TOP_FILES: usize = 25;
/// Longest part of a name that is used in a key, in bytes; the host's bound for keys is 1,024.
const NAME_BYTES_MAX: usize = 900;

/// What it listens to.
#[derive(Clone, Debug, Deserialize)]
pub enum Git {
    /// Somebody made a commit.
    CommitMade(Commit),
}

/// One commit.
#[derive(Clone, Debug, Deserialize)]
pub struct Commit {
    /// The author's name.
    pub author: String,
    /// When it was written, by the author's clock, such as `2024-05-01T12:00:00+02:00`.
    pub authored_at: String,
    /// The files it changed, or the first of them.
    pub files: Vec<String>,
}

/// A file with the number of commits that changed it: an entry of `top_files`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct File {
    /// Its path.
    pub path: String,
    /// How many commits changed it.
    pub commits: u64,
}

/// Counts one commit.
///
/// # Errors
/// Rejects a commit whose date is none.
pub fn handle(event: Git, ctx: &mut Context) -> Outcome {
    let Git::CommitMade(commit) = event;
    let state = ctx.state();
    let week = week::of_date(&commit.authored_at).or_reject(format_args!("`{}` is no date", commit.authored_at))?;
    state.add("commits", 1)?;
    state.add(&format!("author/{}", short(&commit.author)), 1)?;
    state.add(&format!("week/{week}"), 1)?;
    count_files(&commit.files, state)
}

fn count_files(files: &[String], state: State) -> Outcome {
    let mut top: Vec<File> = state.get_json("top_files")?.unwrap_or_default();
    for path in files {
        let path = short(path);
        let commits = state.add(&format!("file/{path}"), 1)?;
        rank(&mut top, File { path: path.into(), commits });
    }
    Ok(state.set_json("top_files", &top)?)
}

/// Puts a file with its new number into the list, most changes first; by path where they are equal.
pub fn rank(top: &mut Vec<File>, file: File) {
    let before =
        |other: &File| other.commits > file.commits || (other.commits == file.commits && other.path < file.path);
    // Most files of a large commit stand below a full list: nothing is moved for them.
    if top.len() >= TOP_FILES && top.last().is_some_and(before) {
        return;
    }
    top.retain(|other| other.path != file.path);
    let place = top.partition_point(before);
    top.insert(place, file);
    top.truncate(TOP_FILES);
}

/// The name, cut to what fits a key.
fn short(name: &str) -> &str {
    let end = (0..=NAME_BYTES_MAX.min(name.len())).rev().find(|end| name.is_char_boundary(*end));
    name.get(..end.unwrap_or(0)).unwrap_or_default()
}

export!(typed(handle), name = "git-history");

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tidemill_sdk::testing::{Given, Harness};

    use super::*;

    fn commit(author: &str, authored_at: &str, files: &[&str]) -> Given {
        Given::json("CommitMade", &json!({ "author": author, "authored_at": authored_at, "files": files }))
    }

    #[test]
    fn authors_weeks_and_files_are_counted() {
        let mut history = Harness::new(typed(handle));
        history.handle(commit("Ada", "2024-12-31T23:00:00+01:00", &["a", "b"])).unwrap();
        history.handle(commit("Ada", "2025-01-02T00:00:00Z", &["b"])).unwrap();
        history.handle(commit("Grace", "2025-01-06T00:00:00Z", &[])).unwrap();
        for (key, count) in
            [("commits", 3), ("author/Ada", 2), ("author/Grace", 1), ("week/2025-W01", 2), ("week/2025-W02", 1)]
        {
            assert_eq!(history.state_json::<u64>(key), Some(count), "{key}");
        }
        let top: Vec<File> = history.state_json("top_files").unwrap();
        assert_eq!(top, [File { path: "b".into(), commits: 2 }, File { path: "a".into(), commits: 1 }]);
    }

    #[test]
    fn the_list_of_files_stays_short_and_in_order() {
        let mut top = Vec::new();
        for n in 0..60 {
            rank(&mut top, File { path: format!("f{n:02}"), commits: 1 });
        }
        assert_eq!((top.len(), top[0].path.as_str()), (TOP_FILES, "f00"));
        rank(&mut top, File { path: "f59".into(), commits: 2 });
        assert_eq!((top.len(), top[0].path.as_str()), (TOP_FILES, "f59"));
    }

    #[test]
    fn long_names_are_cut_at_a_letter() {
        let name = "ø".repeat(1_000);
        assert_eq!(short(&name).len(), NAME_BYTES_MAX);
        assert_eq!(short(&format!("a{name}")).len(), NAME_BYTES_MAX - 1);
        assert_eq!(short("Ada"), "Ada");
    }

    #[test]
    fn a_commit_without_a_date_is_rejected() {
        let failure = Harness::new(typed(handle)).handle(commit("Ada", "yesterday", &[])).unwrap_err();
        assert_eq!(failure.reason(), "`yesterday` is no date");
    }
}
