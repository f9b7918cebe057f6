//! The folder of JSON Schemas: `schemas/TYPE.VERSION.json` in the plugins directory.
//!
//! They are taken when they have stood still for two looks, each by itself: a broken one changes nothing for others.
//! What is there at the start is taken at once, so that nothing is appended unseen.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::SourceError;
use super::steady::{Each, Steady};
use super::upcasters::text;
use crate::event::EventType;
use crate::schema::{SchemaCell, SchemaFile, TypeSchemas};

/// Its name in the plugins directory.
pub(super) const SCHEMAS_FOLDER: &str = "schemas";

/// Looks at the folder, and puts what it finds where appends are checked.
pub(crate) struct TypeFiles {
    files: Steady,
    schemas: Arc<SchemaCell>,
    /// What was dealt with last, and what was wrong with it.
    taken: Option<(Each, Option<SourceError>)>,
}

impl TypeFiles {
    /// Takes what is there; where the folder cannot be listed, nothing is appended until it can. Blocks.
    pub(crate) fn new(directory: &Path, schemas: Arc<SchemaCell>) -> Self {
        let mut all = Self::again(directory, schemas);
        match all.files.look_at_each() {
            Ok((contents, _)) => all.take(contents),
            Err(error) => all.schemas.set(Arc::new(TypeSchemas::unknown(error.to_string()))),
        }
        all
    }

    /// Looks anew, while what was put there before goes on.
    pub(crate) fn again(directory: &Path, schemas: Arc<SchemaCell>) -> Self {
        Self { files: Steady::new(directory.join(SCHEMAS_FOLDER), &["json"]), schemas, taken: None }
    }

    /// Looks at the folder; answers what is wrong with it, and whether another look is due one debounce later. Blocks.
    pub(crate) fn look(&mut self) -> (Option<(PathBuf, SourceError)>, bool) {
        let folder = self.files.folder().to_owned();
        let (contents, settled) = match self.files.look_at_each() {
            Ok(found) => found,
            Err(error) => return (Some((folder, error)), false),
        };
        if settled && self.taken.as_ref().is_none_or(|(taken, _)| *taken != contents) {
            self.take(contents);
        }
        let problem = self.taken.as_ref().and_then(|(_, problem)| problem.clone());
        (problem.map(|problem| (folder, problem)), !settled)
    }

    fn take(&mut self, contents: Each) {
        let (mut files, mut problems) = (Vec::new(), Vec::new());
        for (path, found) in &contents {
            match file(path, found) {
                Ok(file) => files.push(file),
                Err(problem) => problems.push(problem),
            }
        }
        let (schemas, invalid) = TypeSchemas::read(files, &self.schemas.get());
        self.schemas.set(Arc::new(schemas));
        problems.extend(invalid.iter().map(ToString::to_string));
        let problem = (!problems.is_empty()).then(|| SourceError::Schemas { reason: problems.join("; ") });
        self.taken = Some((contents, problem));
    }
}

/// A document, whose type and version its name says; where it says none, what is wrong.
fn file(path: &Path, found: &Result<String, SourceError>) -> Result<SchemaFile, String> {
    let origin = path.display().to_string();
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let named = stem.rsplit_once('.').and_then(|(name, version)| {
        let version = version.parse().ok().filter(|version| *version > 0)?;
        Some((EventType::new(name).ok()?, version))
    });
    let (event_type, version) =
        named.ok_or_else(|| format!("{origin}: its name must say what it describes, such as OrderPlaced.2.json"))?;
    let text = found.clone().and_then(|_| text(path)).map_err(|error| error.to_string());
    Ok(SchemaFile { origin, event_type, version, text })
}
