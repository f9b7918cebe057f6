//! A candidate's component and manifest take the place of installed files as one.
//!
//! A filesystem renames one file at a time. So both are written aside and synced first; then a note beside the candidate
//! says what is about to happen; then both are renamed at once, and the note goes. A process that ends in between leaves
//! the note, and [`finish_promotions`] does the rest before anybody looks at the plugins directory: never does one
//! version run under the manifest of the other. Where somebody has put other files in place meanwhile, only the note goes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    COMPONENT, CandidateError, MANIFEST, NOTE, REPORT, aside, read, remove, replace, sync_folder, write_aside,
};
use crate::error::with_sources;
use crate::plugin::source::digest_of;

/// A file of a candidate that takes the place of an installed one.
#[derive(Serialize, Deserialize)]
pub(super) struct Exchange {
    /// Its name in the candidate's folder.
    file: String,
    /// What it takes the place of, below the plugins directory.
    place: PathBuf,
    /// SHA-256 of what was there, in hex; none for nothing.
    before: Option<String>,
    /// SHA-256 of what is to be there, in hex.
    after: String,
}

impl Exchange {
    /// Replaces an installed file by one of the candidate's folder.
    pub(super) fn of(file: &str, bytes: &[u8], place: &Path, plugins: &Path) -> Result<Self, CandidateError> {
        let before = read(place)?.map(|found| digest_of(&found));
        let place = place.strip_prefix(plugins).unwrap_or(place).to_owned();
        Ok(Self { file: file.to_owned(), place, before, after: digest_of(bytes) })
    }

    fn found(&self, plugins: &Path) -> Result<Option<String>, CandidateError> {
        Ok(read(&plugins.join(&self.place))?.map(|found| digest_of(&found)))
    }

    /// Whether nobody else has put something there.
    fn is_ours(&self, plugins: &Path) -> Result<bool, CandidateError> {
        let found = self.found(plugins)?;
        Ok(found == self.before || found.as_ref() == Some(&self.after))
    }

    /// Writes the file aside, durably, unless it is there or in place already; answers whether it is to be renamed.
    fn prepare(&self, folder: &Path, plugins: &Path) -> Result<bool, CandidateError> {
        if self.found(plugins)?.as_ref() == Some(&self.after) {
            return Ok(false);
        }
        let (place, file) = (plugins.join(&self.place), folder.join(&self.file));
        if read(&aside(&place))?.is_some_and(|found| digest_of(&found) == self.after) {
            return Ok(true);
        }
        let bytes = read(&file)?.filter(|bytes| digest_of(bytes) == self.after);
        let bytes = bytes.ok_or(CandidateError::Damaged { path: file })?;
        write_aside(&place, &bytes).map_err(|source| CandidateError::Files { path: place, source })?;
        Ok(true)
    }
}

/// Carries exchanges out, with files of a candidate's folder, and leaves no note.
pub(super) fn exchange(folder: &Path, plugins: &Path, exchanges: &[Exchange]) -> Result<(), CandidateError> {
    let mut places = Vec::new();
    for exchange in exchanges {
        if exchange.prepare(folder, plugins)? {
            places.push(plugins.join(&exchange.place));
        }
    }
    let note = folder.join(NOTE);
    let text = serde_json::to_vec(exchanges).map_err(io::Error::from);
    replace(&note, &text.map_err(|source| CandidateError::Files { path: note.clone(), source })?)?;
    for place in &places {
        fs::rename(aside(place), place).map_err(|source| CandidateError::Files { path: place.clone(), source })?;
    }
    for place in &places {
        sync_folder(place).map_err(|source| CandidateError::Files { path: place.clone(), source })?;
    }
    remove(&note)
}

/// Finishes the promotions in whose middle a process ended, from what is in the folder of candidates. To be called before
/// anything looks at the plugins directory. One that cannot be finished is logged, and tried again at the next start.
/// Blocks.
pub fn finish_promotions(candidates: &Path, plugins: &Path) {
    // Without the folder there is nothing to finish.
    let Ok(folders) = fs::read_dir(candidates) else { return };
    for folder in folders.flatten().map(|entry| entry.path()) {
        let plugin = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match finish(&folder, plugins) {
            Ok(None) => {}
            Ok(Some(true)) => tracing::info!(plugin, "a promotion is finished that was broken off"),
            Ok(Some(false)) => tracing::warn!(
                plugin,
                "a promotion was broken off, and other files were put in place since: they stay as they are"
            ),
            Err(error) => tracing::error!(
                plugin,
                error = with_sources(&error),
                "a promotion that was broken off cannot be finished: its component and manifest may not belong \
                 together; put both in place by hand"
            ),
        }
    }
}

/// Finishes the promotion of a candidate, if it was broken off; answers whether it could be.
fn finish(folder: &Path, plugins: &Path) -> Result<Option<bool>, CandidateError> {
    let note = folder.join(NOTE);
    let Some(text) = read(&note)? else { return Ok(None) };
    let exchanges: Vec<Exchange> =
        serde_json::from_slice(&text).map_err(|_| CandidateError::Damaged { path: note.clone() })?;
    for exchange in &exchanges {
        if !exchange.is_ours(plugins)? {
            remove(&note)?;
            return Ok(Some(false));
        }
    }
    exchange(folder, plugins, &exchanges)?;
    [REPORT, COMPONENT, MANIFEST].iter().try_for_each(|file| remove(&folder.join(file)))?;
    // It is tidier without, and does no harm.
    let _ = fs::remove_dir(folder);
    Ok(Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [(&str, &str); 2] = [(MANIFEST, "new manifest"), (COMPONENT, "new component")];

    /// A candidate and installed files, with the note of a promotion, as it stands when so many files are renamed.
    fn broken_off(renamed: usize) -> (tempfile::TempDir, PathBuf, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let [folder, plugins] = ["candidates/it", "plugins"].map(|name| directory.path().join(name));
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(plugins.join("it")).unwrap();
        fs::write(folder.join(REPORT), "{}").unwrap();
        let mut exchanges = Vec::new();
        for (file, text) in FILES {
            let place = plugins.join("it").join(file);
            fs::write(folder.join(file), text).unwrap();
            fs::write(&place, "old").unwrap();
            exchanges.push(Exchange::of(file, text.as_bytes(), &place, &plugins).unwrap());
            assert!(exchanges.last().unwrap().prepare(&folder, &plugins).unwrap());
        }
        fs::write(folder.join(NOTE), serde_json::to_vec(&exchanges).unwrap()).unwrap();
        for exchange in exchanges.iter().take(renamed) {
            let place = plugins.join(&exchange.place);
            fs::rename(aside(&place), &place).unwrap();
        }
        (directory, folder, plugins)
    }

    fn found(plugins: &Path) -> Vec<String> {
        FILES.iter().map(|(file, _)| fs::read_to_string(plugins.join("it").join(file)).unwrap()).collect()
    }

    #[test]
    fn a_promotion_that_was_broken_off_anywhere_is_finished() {
        for (renamed, lost) in [(0, false), (1, false), (1, true), (2, false)] {
            let (_directory, folder, plugins) = broken_off(renamed);
            if lost {
                fs::remove_file(aside(&plugins.join("it").join(COMPONENT))).unwrap();
            }
            finish_promotions(folder.parent().unwrap(), &plugins);
            assert_eq!(found(&plugins), ["new manifest", "new component"], "{renamed} renamed");
            assert!(!folder.exists(), "the candidate is used up");
            assert_eq!(fs::read_dir(plugins.join("it")).unwrap().count(), 2, "nothing is left aside");
            finish_promotions(folder.parent().unwrap(), &plugins);
        }
    }

    #[test]
    fn what_somebody_else_has_put_in_place_stays() {
        let (_directory, folder, plugins) = broken_off(1);
        fs::write(plugins.join("it").join(COMPONENT), "by hand").unwrap();
        finish_promotions(folder.parent().unwrap(), &plugins);
        assert_eq!(found(&plugins), ["new manifest", "by hand"]);
        assert!(!folder.join(NOTE).exists() && folder.join(COMPONENT).exists());
    }

    #[test]
    fn a_candidate_that_is_not_whole_is_no_reason_to_replace_half() {
        let (_directory, folder, plugins) = broken_off(0);
        fs::write(folder.join(COMPONENT), "cut off").unwrap();
        fs::remove_file(aside(&plugins.join("it").join(COMPONENT))).unwrap();
        finish_promotions(folder.parent().unwrap(), &plugins);
        assert_eq!(found(&plugins), ["old", "old"]);
        assert!(folder.join(NOTE).exists(), "it is tried again");
    }
}
