//! The environment, and the addresses that a server would listen on.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use clap::CommandFactory as _;

use super::check::{Area, Check};
use crate::cli::args::Cli;

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
    let (counts, unknown): (Vec<_>, Vec<_>) = set.into_iter().partition(|name| known.contains(name));
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
    }

    #[test]
    fn a_port_is_free_or_not() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        assert_eq!(port(address).state, State::Unusual);
        drop(taken);
        assert_eq!(port(address).state, State::Ok);
    }
}
