//! Embeds, for each language, `sdk/<language>` and its `template/`, beside `wit/` and `common/`: one table of
//! paths and texts, which `src/lib.rs` includes. A file of the template stands before the SDK's file of the
//! same path.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const LANGUAGES: &[&str] = &["rust", "js", "python", "go", "c"];
/// What lies beside sources and is none: output of builds, and files of this workspace.
const LEFT_OUT: &[&str] = &["target", "build", "node_modules", "__pycache__", "template", "tests"];

/// Path within a project, to the file that is embedded.
type Files = BTreeMap<String, PathBuf>;

fn main() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let sdk = here.parent().ok_or("this package is in sdk/")?;
    let root = sdk.parent().ok_or("sdk/ is in the workspace")?;
    let mut text = String::from("const FILES: &[(&str, &[(&str, &str)])] = &[\n");
    for language in LANGUAGES {
        let own = sdk.join(language);
        let mut files = Files::new();
        add(&mut files, &own, &format!("sdk/{language}/"), LEFT_OUT)?;
        add(&mut files, &root.join("wit"), "wit/", &["releases", "CHANGELOG.md"])?;
        add(&mut files, &here.join("common"), "", &[])?;
        add(&mut files, &own.join("template"), "", &[])?;
        writeln!(text, "    ({language:?}, &[")?;
        for (path, file) in files {
            writeln!(text, "        ({path:?}, include_str!({:?})),", file.display().to_string())?;
        }
        text.push_str("    ]),\n");
    }
    text.push_str("];\n");
    for source in [sdk, &root.join("wit")] {
        println!("cargo::rerun-if-changed={}", source.display());
    }
    fs::write(Path::new(&env::var("OUT_DIR")?).join("files.rs"), text)?;
    Ok(())
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
