//! What commands are held to, on disk: JSON Schemas in `schemas/commands/AGGREGATE/TYPE.json`, and components in the
//! folder `validators`, both in the plugins directory.
//!
//! Each of the two is taken as a whole when it has stood still for two looks, or refused as a whole, and then what was
//! there before goes on. Where that is nothing, commands are not decided until the files are mended.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::SourceError;
use super::hurried::Hurried;
use super::steady::{Contents, Steady, is_absent};
use super::upcasters::text;
use super::validators::{VALIDATORS_FOLDER, Validators};
use crate::command::Checks;
use crate::event::{Category, NameError, check_name};
use crate::plugin::Loader;
use crate::schema::{CommandSchemaFile, CommandSchemas};

/// Where schemas of commands are in the plugins directory.
const SCHEMAS_FOLDER: &str = "schemas/commands";

/// Looks at both folders, and puts what it finds where commands are checked.
pub(crate) struct CommandFiles {
    checks: Arc<Checks>,
    schemas: Watched,
    validators: Watched,
    components: Validators,
    /// Where validators failed for lack of time, the same files may do.
    hurried: Hurried,
}

/// A folder, and what was made of it.
struct Watched {
    files: Steady,
    /// What was dealt with last, and what was wrong with it.
    taken: Option<(Contents, Option<SourceError>)>,
    /// Whether something was taken that goes on while the files are wrong.
    holds: bool,
}

/// What a look found.
pub(crate) struct CommandLook {
    /// What is wrong, by the folder.
    pub(crate) problems: BTreeMap<PathBuf, SourceError>,
    /// Whether another look is due one debounce later.
    pub(crate) settling: bool,
}

/// A folder, what is wrong with its files, and whether another look is due.
type Looked = (PathBuf, Result<(Option<SourceError>, bool), SourceError>);

impl CommandFiles {
    /// Takes schemas that are there; of validators it notes that they are not known yet. Blocks.
    pub(crate) fn new(directory: &Path, checks: Arc<Checks>, loader: Arc<dyn Loader>) -> Self {
        let mut all = Self::over(directory, checks, loader, false);
        if !is_absent(all.validators.files.folder()) {
            all.checks.set_validators(Err("they are not read yet".into()));
        }
        match all.schemas.files.look() {
            Ok((contents, _)) => all.take_schemas(contents),
            Err(error) => all.checks.set_schemas(Err(error.to_string())),
        }
        all
    }

    /// Looks anew, while what was put there before goes on.
    pub(crate) fn again(directory: &Path, checks: Arc<Checks>, loader: Arc<dyn Loader>) -> Self {
        Self::over(directory, checks, loader, true)
    }

    /// Nothing is seen yet. Whether something was taken that goes on while the files are wrong, is `holds`.
    fn over(directory: &Path, checks: Arc<Checks>, loader: Arc<dyn Loader>, holds: bool) -> Self {
        let schemas = Steady::nested(Self::schemas_in(directory), &["json"]);
        let validators = Steady::new(directory.join(VALIDATORS_FOLDER), &["toml", "wasm"]);
        let watched = |files| Watched { files, taken: None, holds };
        Self {
            checks,
            schemas: watched(schemas),
            validators: watched(validators),
            components: Validators::new(loader),
            hurried: Hurried::default(),
        }
    }

    /// Where schemas of commands are in a plugins directory.
    pub(crate) fn schemas_in(directory: &Path) -> PathBuf {
        directory.join(SCHEMAS_FOLDER)
    }

    /// Looks at both. Blocks: components that it has not met are compiled.
    pub(crate) fn look(&mut self) -> CommandLook {
        let (mut problems, mut settling) = (BTreeMap::new(), false);
        let looks: [fn(&mut Self) -> Looked; 2] = [Self::look_at_schemas, Self::look_at_validators];
        for look in looks {
            let (folder, looked) = look(self);
            match looked {
                Ok((None, more)) => settling |= more,
                Ok((Some(problem), more)) => {
                    settling |= more;
                    problems.insert(folder, problem);
                }
                Err(problem) => {
                    problems.insert(folder, problem);
                }
            }
        }
        CommandLook { problems, settling }
    }

    fn look_at_schemas(&mut self) -> Looked {
        let folder = self.schemas.files.folder().to_owned();
        let looked = self.schemas.news();
        if let (Err(error), false) = (&looked, self.schemas.holds) {
            self.checks.set_schemas(Err(error.to_string()));
        }
        let looked = looked.map(|(news, settling)| {
            if let Some(contents) = news {
                self.take_schemas(contents);
            }
            (self.schemas.problem(), settling)
        });
        (folder, looked)
    }

    fn look_at_validators(&mut self) -> Looked {
        let folder = self.validators.files.folder().to_owned();
        let looked = self.validators.news();
        if let (Err(error), false) = (&looked, self.validators.holds) {
            self.checks.set_validators(Err(error.to_string()));
        }
        let looked = looked.map(|(news, settling)| {
            let same = news.is_none();
            let again = (same && !settling && self.hurried.is_due()).then(|| self.validators.contents()).flatten();
            if let Some(contents) = news.or(again) {
                self.take_validators(contents);
                self.hurried.tried(same, self.components.hurried());
            }
            (self.validators.problem(), settling)
        });
        (folder, looked)
    }

    fn take_schemas(&mut self, contents: Contents) {
        let read = read_schemas(&contents);
        let problem = self.schemas.took(contents, read.as_ref().err());
        match read {
            Ok(schemas) => self.checks.set_schemas(Ok(schemas)),
            Err(error) if problem => self.checks.set_schemas(Err(error.to_string())),
            Err(_) => {}
        }
    }

    fn take_validators(&mut self, contents: Contents) {
        let read = self.components.read(&contents);
        let problem = self.validators.took(contents, read.as_ref().err());
        match read {
            Ok(validators) => self.checks.set_validators(Ok(validators)),
            Err(error) if problem => self.checks.set_validators(Err(error.to_string())),
            Err(_) => {}
        }
    }
}

impl Watched {
    /// What stands still and was not dealt with yet, and whether another look is due.
    fn news(&mut self) -> Result<(Option<Contents>, bool), SourceError> {
        let (contents, settled) = self.files.look()?;
        let known = self.taken.as_ref().is_some_and(|(taken, _)| *taken == contents);
        Ok(((settled && !known).then_some(contents), !settled))
    }

    /// Notes what came of files; whether nothing goes on in their place.
    fn took(&mut self, contents: Contents, problem: Option<&SourceError>) -> bool {
        self.taken = Some((contents, problem.cloned()));
        self.holds |= problem.is_none();
        !self.holds
    }

    fn problem(&self) -> Option<SourceError> {
        self.taken.as_ref().and_then(|(_, problem)| problem.clone())
    }

    fn contents(&self) -> Option<Contents> {
        self.taken.as_ref().map(|(contents, _)| contents.clone())
    }
}

fn read_schemas(contents: &Contents) -> Result<CommandSchemas, SourceError> {
    let files = contents.keys().map(|path| file(path)).collect::<Result<_, _>>()?;
    CommandSchemas::read(files).map_err(|error| SourceError::Schemas { reason: error.to_string() })
}

/// A document; its folder is the aggregate, its name the type of command.
fn file(path: &Path) -> Result<CommandSchemaFile, SourceError> {
    let origin = path.display().to_string();
    let name = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let (aggregate, command_type) = (name(path.parent().and_then(Path::file_name)), name(path.file_stem()));
    let unnamed = |error: NameError| SourceError::Schemas {
        reason: format!("{origin}: {error}; it is named for what it describes, such as account/Withdraw.json"),
    };
    Category::new(aggregate.clone()).map_err(unnamed)?;
    check_name("command type", &command_type).map_err(unnamed)?;
    Ok(CommandSchemaFile { text: text(path)?, origin, aggregate, command_type })
}
