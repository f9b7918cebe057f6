//! Putting plugins into a directory, as an operator does.

use std::fs;
use std::path::Path;

use tidemill_plugins::Example;

/// Writes a plugin in its folder form, under a name.
///
/// # Panics
/// When the directory cannot be written.
pub fn install(plugins: &Path, name: &str, example: &Example) {
    let folder = plugins.join(name);
    fs::create_dir_all(&folder).expect("a folder in a temporary directory");
    replace(&folder.join("plugin.toml"), example.manifest.as_bytes());
    replace(&folder.join("plugin.wasm"), example.component);
}

/// Puts a file in place in one step.
///
/// # Panics
/// When it cannot be written.
pub fn replace(file: &Path, bytes: &[u8]) {
    let beside = file.with_extension("tmp");
    fs::write(&beside, bytes).expect("a file in a temporary directory");
    fs::rename(&beside, file).expect("renaming within a directory");
}

/// The same component with another digest: a custom section that nobody reads is added.
#[must_use]
pub fn another_version(component: &[u8], number: u8) -> Vec<u8> {
    // Section 0, 3 bytes: a name of 1 byte, then the number.
    [component, &[0, 3, 1, b'v', number]].concat()
}
