//! What the build leaves in `OUT_DIR`, and what it tells the outer cargo.
#![expect(clippy::print_stdout, reason = "a build script speaks to cargo on stdout")]

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::guests::Component;
use crate::place::Place;
use crate::{BuildError, GENERATED_FILE, Guests};

/// Tells cargo to run the build script again when a source of the guests changes.
pub(crate) fn rerun_if_changed(workspace: &Path, guests: &Guests) {
    for source in guests.sources() {
        let path = workspace.join(source);
        // A path that is not there would make cargo run the script every time.
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
}

/// Shows an error and its causes as cargo shows its own.
pub(crate) fn report(error: &BuildError) {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    for line in text.lines() {
        println!("cargo::error={line}");
    }
}

/// Copies the components to `OUT_DIR`, leaving those that did not change.
pub(crate) fn copy(place: &Place, guests: &Guests, components: &[Component]) -> Result<(), BuildError> {
    for component in components {
        let from = place.artifacts(guests.profile_name()).join(&component.artifact);
        if !from.is_file() {
            return Err(BuildError::ComponentMissing { name: component.name.clone(), path: from });
        }
        let bytes = fs::read(&from).map_err(BuildError::io("reading", &from))?;
        write_if_changed(&place.out_dir.join(component.file()), &bytes)?;
    }
    Ok(())
}

/// Writes the Rust file that embeds the components.
pub(crate) fn generate(place: &Place, guests: &Guests, components: &[Component]) -> Result<(), BuildError> {
    let text = render(components, guests.macro_name());
    write_if_changed(&place.out_dir.join(GENERATED_FILE), text.as_bytes())
}

fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::write(path, bytes).map_err(BuildError::io("writing", path))
}

fn render(components: &[Component], for_each_macro: Option<&str>) -> String {
    let mut text = String::from("// Written by component-build; the components lie beside this file.\n");
    for component in components {
        let (name, constant, file) = (&component.name, component.constant(), component.file());
        let _ = writeln!(text, "/// The component `{name}`.");
        let _ = writeln!(text, "{}", embedded(&constant, &file));
    }
    text.push_str("/// Every component, with its name.\npub const ALL: &[(&str, &[u8])] = &[\n");
    for component in components {
        let _ = writeln!(text, "    ({:?}, {}),", component.name, component.constant());
    }
    text.push_str("];\n");
    if let Some(macro_name) = for_each_macro {
        text.push_str("/// Calls a macro with the name of each component.\n#[macro_export]\n");
        let _ = writeln!(text, "macro_rules! {macro_name} {{\n    ($each:ident) => {{");
        for component in components {
            let _ = writeln!(text, "        $each!({});", component.name.replace('-', "_"));
        }
        text.push_str("    };\n}\n");
    }
    text
}

/// A constant that refers to a static: of a constant's own bytes every crate that names it would have a copy.
fn embedded(constant: &str, file: &str) -> String {
    let bytes = format!("include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{file}\"))");
    format!("pub const {constant}: &[u8] = {{\n    static BYTES: [u8; {bytes}.len()] = *{bytes};\n    &BYTES\n}};")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generated_file_embeds_and_lists_each_component() {
        let component = Component { name: "git-history".into(), artifact: "plugin_git_history.wasm".into() };
        let text = render(&[component], Some("for_each_guest"));
        assert!(text.contains("pub const GIT_HISTORY: &[u8] = {"));
        assert!(text.contains("*include_bytes!(concat!(env!(\"OUT_DIR\"), \"/git-history.wasm\"));"));
        assert!(text.contains("(\"git-history\", GIT_HISTORY),"));
        assert!(text.contains("macro_rules! for_each_guest"));
        assert!(text.contains("$each!(git_history);"));
    }
}
