//! Looks at a plugins directory once, without running anything: what would be refused, and why.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::registry::try_out;
use super::source::{Found, Scan, Scanner};
use super::{Loader, SecretResolver, SourceError};
use crate::error::with_sources;

/// Time between two looks: what changes in it is still being written.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);
/// Looks after which what still changes is told to.
const LOOKS_MAX: usize = 5;

/// What was found of one plugin, or of files that belong to none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// The plugin's name; none for files of no plugin.
    pub name: Option<String>,
    /// Where its files are.
    pub source: PathBuf,
    /// Why it would not be loaded; none when it would.
    pub problem: Option<String>,
}

/// Checks every manifest in a directory, and compiles, links and tries every component as the host would. Blocks,
/// maybe for seconds.
///
/// # Errors
/// When the directory cannot be listed.
pub fn inspect(
    directory: &Path,
    loader: &dyn Loader,
    secrets: &dyn SecretResolver,
) -> Result<Vec<Inspected>, SourceError> {
    let Scan { plugins, strays, .. } = settled(directory)?;
    let strays = strays.into_iter().map(|(source, problem)| Inspected {
        name: None,
        source,
        problem: Some(with_sources(&problem)),
    });
    let plugins = plugins.into_iter().map(|(name, found)| {
        let (source, problem) = match found {
            Found::Settling => (directory.join(name.as_str()), Some("its files are still being written".to_owned())),
            Found::Broken(broken) => (directory.join(name.as_str()), Some(with_sources(&broken.problem))),
            Found::Ready(candidate) => {
                let tried = try_out(&name, &candidate, loader, secrets);
                (candidate.source.clone(), tried.err().map(|error| with_sources(&error)))
            }
        };
        Inspected { name: Some(name.to_string()), source, problem }
    });
    Ok(plugins.chain(strays).collect())
}

/// Looks until everything stands still, or for long enough.
fn settled(directory: &Path) -> Result<Scan, SourceError> {
    let mut scanner = Scanner::new(directory.to_owned());
    let mut scan = scanner.scan()?;
    for _ in 1..LOOKS_MAX {
        if !scan.settling {
            break;
        }
        thread::sleep(BETWEEN_LOOKS);
        scan = scanner.scan()?;
    }
    Ok(scan)
}
