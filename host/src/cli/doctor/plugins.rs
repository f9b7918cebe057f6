//! The plugins directory: what a server that starts now would refuse.

use std::path::Path;

use super::check::{Area, Check};
use crate::config::HostSecrets;
use crate::plugin::{Inspected, inspect};
use crate::runtime::{Compiler, Engine, EngineOptions};

/// Checks each manifest, and compiles and tries each component.
pub(super) fn checks(directory: &Path, compiler: Option<Compiler>) -> Vec<Check> {
    if !directory.exists() {
        let what = format!("there is no plugins directory {}; the server makes one", directory.display());
        return vec![Check::ok(Area::Plugins, what)];
    }
    let engine = match Engine::new(EngineOptions { compiler, ..EngineOptions::default() }) {
        Ok(engine) => engine,
        Err(error) => {
            let what = crate::error::with_sources(&error);
            return vec![Check::wrong(Area::Plugins, what, "no plugin runs on this machine until that is mended")];
        }
    };
    match inspect(directory, &engine, &HostSecrets) {
        Ok(found) => told(directory, &found),
        Err(error) => {
            let what = crate::error::with_sources(&error);
            vec![Check::wrong(Area::Plugins, what, "give a directory by --plugins that the server can read")]
        }
    }
}

fn told(directory: &Path, found: &[Inspected]) -> Vec<Check> {
    let sound = found.iter().filter(|plugin| plugin.problem.is_none()).count();
    let mut checks =
        vec![Check::ok(Area::Plugins, format!("plugins in {} that can be loaded: {sound}", directory.display()))];
    checks.extend(found.iter().filter_map(|plugin| Some((plugin, plugin.problem.as_ref()?))).map(
        |(plugin, problem)| {
            let what = match &plugin.name {
                Some(name) => format!("plugin {name} is refused: {problem}"),
                None => format!("no plugin: {problem}"),
            };
            let advice = format!("mend or remove {}; a server picks it up by itself", plugin.source.display());
            Check::wrong(Area::Plugins, what, advice)
        },
    ));
    checks
}
