//! Environment variables that look like a setting's and are none: nothing refuses them, so they are told.

use std::collections::BTreeSet;

use clap::Command;

use super::setting::Setting;
use crate::nearest::nearest;

/// What every variable of the program begins with.
const PREFIX: &str = "TIDEMILL_";

/// Variables that are no setting, and no slip either: the SDKs' scripts read them, and this project's own tests.
pub const OF_SCRIPTS: [&str; 6] = [
    "TIDEMILL_ALL_LANGUAGES",
    "TIDEMILL_CC",
    "TIDEMILL_CLIENTS",
    "TIDEMILL_GO_PKG",
    "TIDEMILL_TOOLS",
    "TIDEMILL_WORLD",
];

/// A variable that nobody reads, and the one that was most likely meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slip {
    /// The variable that is set.
    pub name: String,
    /// The setting's.
    pub meant: String,
}

/// The slips in the process's environment, in the order of names.
pub(super) fn slips(root: &Command, settings: &[Setting]) -> Vec<Slip> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    among(names, root, settings)
}

fn among(names: BTreeSet<String>, root: &Command, settings: &[Setting]) -> Vec<Slip> {
    let own: Vec<_> = settings.iter().filter_map(Setting::variable).collect();
    let shared = Setting::all(root).into_iter().filter_map(|setting| setting.variable());
    let scripts = OF_SCRIPTS.into_iter().map(str::to_owned);
    let known: BTreeSet<_> = shared.chain(own.iter().cloned()).chain(scripts).collect();
    let ends: Vec<_> = own.iter().filter_map(|name| name.strip_prefix(PREFIX)).map(str::to_lowercase).collect();
    let ends: Vec<&str> = ends.iter().map(String::as_str).collect();
    let slip = |name: String| {
        let meant = nearest(name.strip_prefix(PREFIX)?, &ends)?;
        Some(Slip { meant: format!("{PREFIX}{}", meant.to_uppercase()), name })
    };
    names.into_iter().filter(|name| !known.contains(name)).filter_map(slip).collect()
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    #[test]
    fn what_is_nearly_a_variable_is_told() {
        let flag = |name: &'static str, variable: &'static str| Arg::new(name).long(name).env(variable);
        let root = Command::new("t").arg(flag("key", "TIDEMILL_KEY"));
        let serve = Command::new("serve").arg(flag("keys", "TIDEMILL_KEYS")).arg(flag("listen", "TIDEMILL_LISTEN"));
        let names = ["TIDEMILL_KEY", "TIDEMILL_LISTEN", "TIDEMILL_LISEN", "TIDEMILL_TOOLS", "LISEN"].map(String::from);
        let slip = Slip { name: "TIDEMILL_LISEN".into(), meant: "TIDEMILL_LISTEN".into() };
        assert_eq!(among(names.into(), &root, &Setting::all(&serve)), [slip]);
    }

    #[test]
    fn a_variable_of_scripts_is_no_slip() {
        let serve = Command::new("serve").arg(Arg::new("tool").long("tool").env("TIDEMILL_TOOL"));
        assert_eq!(among(["TIDEMILL_TOOLS".into()].into(), &Command::new("t"), &Setting::all(&serve)), []);
    }
}
