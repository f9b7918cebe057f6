//! The environment, and the addresses that a server would listen on.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use clap::CommandFactory as _;

use super::check::{Area, Check};
use crate::cli::args::Cli;
use crate::config::OF_SCRIPTS;

/// What variables of this program begin with.
const PREFIX: &str = "TIDEMILL_";
/// How alike two names must be for one to be a slip of the other.
const ALIKE_MIN: f64 = 0.8;

/// Tells which variables of the environment count, and which nobody knows.
pub(super) fn environment() -> Vec<Check> {
    let set = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    variables(set.filter(|name| name.starts_with(PREFIX)).collect(), &known())
}

fn variables(set: BTreeSet<String>, known: &BTreeSet<String>) -> Vec<Check> {
    let set = set.into_iter().filter(|name| !OF_SCRIPTS.contains(&name.as_str()));
    let (counts, unknown): (Vec<_>, Vec<_>) = set.partition(|name| known.contains(name));
    let mut checks = vec![match counts.as_slice() {
        [] => Check::ok(Area::Configuration, "no setting comes from the environment"),
        names => Check::ok(Area::Configuration, format!("the environment sets {}", names.join(", "))),
    }];
    checks.extend(unknown.iter().map(|name| {
        let what = format!("the environment sets {name}, which is no setting of this release");
        let words = |name: &str| name.trim_start_matches(PREFIX).to_owned();
        let nearest = known.iter().map(|other| (strsim::jaro_winkler(&words(name), &words(other)), other));
        let nearest =
            nearest.filter(|(alike, _)| *alike >= ALIKE_MIN).max_by(|(one, _), (other, _)| one.total_cmp(other));
        let advice = match nearest {
            Some((_, nearest)) => format!("did you mean {nearest}? `tidemill serve --help` names all of them"),
            None => "`tidemill serve --help` names all of them".to_owned(),
        };
        Check::unusual(Area::Configuration, what, advice)
    }));
    checks
}

/// The names of all variables that some command takes.
fn known() -> BTreeSet<String> {
    let mut commands = vec![Cli::command()];
    let mut known = BTreeSet::new();
    while let Some(command) = commands.pop() {
        let names = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str());
        known.extend(names.map(str::to_owned));
        commands.extend(command.get_subcommands().cloned());
    }
    known
}

/// Tells of the file of settings that a server would read.
pub(super) fn file(read: &Result<Option<PathBuf>, String>) -> Check {
    match read {
        Ok(Some(file)) => Check::ok(Area::Configuration, format!("settings are read from {}", file.display())),
        Ok(None) => Check::ok(Area::Configuration, "no file of settings is read"),
        Err(reason) => {
            let advice = "mend it: a server does not start with it; `tidemill config schema` prints what it may say";
            Check::wrong(Area::Configuration, format!("the settings are not understood: {reason}"), advice)
        }
    }
}

/// Tells whether a server could listen there.
pub(super) fn port(address: SocketAddr) -> Check {
    match TcpListener::bind(address) {
        Ok(_) => Check::ok(Area::Ports, format!("{address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Check::unusual(
            Area::Ports,
            format!("something listens on {address} already"),
            "if that is not the server you mean, start yours on another address: `tidemill serve --listen ADDR`",
        ),
        Err(error) => Check::unusual(
            Area::Ports,
            format!("{address} cannot be listened on: {error}"),
            "give an address of this machine, and a port above 1023, by `tidemill serve --listen ADDR`",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::cli::doctor::check::State;

    #[test]
    fn a_slip_in_a_variable_is_told_with_what_was_meant() {
        let known = known();
        assert!(known.contains("TIDEMILL_DATA") && known.contains("TIDEMILL_SERVER"), "{known:?}");
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let found = variables(set(&["TIDEMILL_DATA", "TIDEMILL_LISTN", "TIDEMILL_Q"]), &known);
        assert_eq!(found[0].what, "the environment sets TIDEMILL_DATA");
        assert_eq!((found.len(), found[1].state), (3, State::Unusual), "{found:?}");
        assert!(found[1].advice.as_ref().unwrap().starts_with("did you mean TIDEMILL_LISTEN?"), "{found:?}");
        assert_eq!(variables(BTreeSet::new(), &known).len(), 1);
        let found = variables(set(&["TIDEMILL_GO_PKG", "TIDEMILL_WORLD"]), &known);
        assert_eq!((found.len(), found[0].state), (1, State::Ok), "they are for scripts: {found:?}");
    }

    /// The scripts and the words for people of a folder, and of those in it.
    fn texts(folder: &Path, depth: usize) -> Vec<String> {
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let texts = paths.map(|path| match path.extension().and_then(|ending| ending.to_str()) {
            _ if path.is_dir() && depth > 0 => texts(&path, depth - 1),
            Some("sh" | "md") => vec![fs::read_to_string(&path).unwrap()],
            _ => Vec::new(),
        });
        texts.flatten().collect()
    }

    #[test]
    fn what_the_sdks_name_is_known() {
        let text = texts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk"), 1).concat();
        let is_of_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let named: BTreeSet<_> = text.split(|c| !is_of_name(c)).filter(|word| word.starts_with(PREFIX)).collect();
        assert!(named.contains("TIDEMILL_GO_PKG") && named.contains("TIDEMILL_CC"), "{named:?}");
        let settings = known();
        let is_known = |name: &str| OF_SCRIPTS.contains(&name) || settings.contains(name);
        let unknown: Vec<_> = named.into_iter().filter(|name| !is_known(name)).collect();
        assert!(unknown.is_empty(), "neither settings nor variables of scripts: {unknown:?}");
    }

    #[test]
    fn a_port_is_free_or_not() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(port(taken.local_addr().unwrap()).state, State::Unusual);
        // A port that is let go may be given to another test at once.
        let let_go = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!((0..100).any(|_| port(let_go()).state == State::Ok));
    }
}
