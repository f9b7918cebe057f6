//! Embeds a table of texts by their paths in a project: for each language `sdk/<language>` and its `template/`, beside
//! `wit/` and `common/`; and for each role of a language, `roles/<role>` of here and of its template. A later file stands
//! before an earlier one of the same path. Which roles a language has follows from the folders of its template.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const LANGUAGES: &[&str] = &["rust", "js", "python", "go", "c"];
/// What lies beside sources and is none: output of builds, and files of this workspace.
const LEFT_OUT: &[&str] = &["target", "build", "node_modules", "__pycache__", "template", "tests"];
/// The folder of roles, within a template and here.
const ROLES: &str = "roles";

/// Path within a project, to the file that is embedded.
type Files = BTreeMap<String, PathBuf>;

fn main() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let sdk = here.parent().ok_or("this package is in sdk/")?;
    let root = sdk.parent().ok_or("sdk/ is in the workspace")?;
    let mut text = String::from("const FILES: &[(&str, &[(&str, &str)])] = &[\n");
    for language in LANGUAGES {
        let own = sdk.join(language);
        let template = own.join("template");
        let mut files = Files::new();
        add(&mut files, &own, &format!("sdk/{language}/"), LEFT_OUT)?;
        add(&mut files, &root.join("wit"), "wit/", &["releases", "CHANGELOG.md"])?;
        add(&mut files, &here.join("common"), "", &[])?;
        add(&mut files, &template, "", &[ROLES])?;
        list(&mut text, language, &files)?;
        for role in folders(&template.join(ROLES))? {
            let mut files = Files::new();
            add(&mut files, &here.join(ROLES).join(&role), "", &[])?;
            add(&mut files, &template.join(ROLES).join(&role), "", &[])?;
            list(&mut text, &format!("{language}/{role}"), &files)?;
        }
    }
    text.push_str("];\n");
    for source in [sdk, &root.join("wit")] {
        println!("cargo::rerun-if-changed={}", source.display());
    }
    fs::write(Path::new(&env::var("OUT_DIR")?).join("files.rs"), text)?;
    Ok(())
}

/// Writes one entry of the table.
fn list(text: &mut String, name: &str, files: &Files) -> Result<(), Box<dyn Error>> {
    writeln!(text, "    ({name:?}, &[")?;
    for (path, file) in files {
        writeln!(text, "        ({path:?}, include_str!({:?})),", file.display().to_string())?;
    }
    text.push_str("    ]),\n");
    Ok(())
}

/// The names of the folders in a folder, in their order.
fn folders(place: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(place)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(entry.file_name().into_string().map_err(|_| "a folder's name is not text")?);
        }
    }
    names.sort();
    Ok(names)
}

/// Adds every file below a folder, hidden ones and those of some names left out.
fn add(files: &mut Files, folder: &Path, prefix: &str, left_out: &[&str]) -> Result<(), Box<dyn Error>> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).ok_or("a file name is not text")?.to_owned();
        if name.starts_with('.') || left_out.contains(&name.as_str()) {
            continue;
        }
        match path.is_dir() {
            true => add(files, &path, &format!("{prefix}{name}/"), left_out)?,
            false => drop(files.insert(format!("{prefix}{name}"), path)),
        }
    }
    Ok(())
}
