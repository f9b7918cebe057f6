//! `profiles.toml`: whom commands talk to, by a name each.
//!
//! A table for each profile; its keys are the flags that every command takes. What a profile says counts where
//! neither a flag nor a variable says otherwise.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Command;

use super::file::{ConfigError, Said, text_of};
use super::layers::with_defaults;
use super::setting::Setting;
use crate::document::{Document, Known};
use crate::nearest::unknown;

/// The file within a user's folder of configuration.
const PROFILES: &str = "tidemill/profiles.toml";

/// Where this user's profiles are: `$XDG_CONFIG_HOME/tidemill/profiles.toml`, by default below `~/.config`.
#[must_use]
pub fn profiles_file() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let configuration = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")))?;
    Some(configuration.join(PROFILES))
}

/// The command with what a profile says as defaults of the flags that every command takes.
///
/// # Errors
/// When there is no such profile, or the file is not understood.
pub fn with_profile(root: Command, name: &str, file: Option<&Path>) -> Result<Command, ConfigError> {
    let file = file.ok_or(ConfigError::Homeless)?;
    let text = text_of(file)?.ok_or_else(|| ConfigError::NoProfiles { file: file.to_owned() })?;
    let said = read(file, &text, name, &Setting::all(&root))?;
    Ok(with_defaults(root, &[], &said))
}

fn read(file: &Path, text: &str, name: &str, settings: &[Setting]) -> Result<Vec<Said>, ConfigError> {
    let keys: Vec<&str> = settings.iter().map(Setting::key).collect();
    let shown = file.display().to_string();
    let (document, table) = Document::parse(&shown, text, &[])?;
    let root = document.root(table.get_ref(), &Known { any: true, ..Known::table("", &[], &[]) })?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let (mut said, mut names) = (None, Vec::new());
    for (profile, value) in root.values() {
        names.push(profile);
        // Each is checked: a typo in another one would be found at the worst time.
        let table = value.table(&Known::table(profile, &keys, &[]))?;
        let mut values = Vec::new();
        for setting in settings {
            let Some(value) = table.get(setting.key()) else { continue };
            let texts = setting.texts(&value, folder)?.into_iter().map(OsString::from).collect();
            values.push(Said { id: setting.id().to_owned(), texts, line: value.line() });
        }
        if profile == name {
            said = Some(values);
        }
    }
    let reason = || unknown("profile", name, &names);
    said.ok_or_else(|| ConfigError::UnknownProfile { file: file.to_owned(), reason: reason() })
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    fn read_profile(text: &str, name: &str) -> Result<Vec<(String, Vec<OsString>)>, String> {
        let root = Command::new("t").arg(Arg::new("server").long("server")).arg(Arg::new("profile").long("profile"));
        let said = read(Path::new("/home/p.toml"), text, name, &Setting::all(&root));
        said.map(|said| said.into_iter().map(|said| (said.id, said.texts)).collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_profile_says_what_flags_would() {
        let text = "[prod]\nserver = \"https://a\"\n[test]\nserver = \"http://b\"\n";
        assert_eq!(read_profile(text, "test").unwrap(), [("server".to_owned(), vec![OsString::from("http://b")])]);
        let error = read_profile(text, "prd").unwrap_err();
        assert_eq!(error, "/home/p.toml: unknown profile `prd`; did you mean `prod`?");
        let error = read_profile("[a]\n[b]\nsevrer = \"x\"", "a").unwrap_err();
        let expected = "/home/p.toml:3: unknown key \"sevrer\" in [b]; did you mean \"server\"? known here: server";
        assert_eq!(error, expected);
        assert!(read_profile("[a]\nprofile = \"b\"", "a").unwrap_err().contains("unknown key \"profile\""));
    }
}
