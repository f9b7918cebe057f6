//! Fixtures as a test of `cargo test`: two files in, a readable failure out.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

use super::{Disturbance, Fixture, Kit, KitError, Report};
use crate::error::with_sources;
use crate::event::PluginName;
use crate::plugin::{Kind, NoSecrets, Proposed, read_component};
use crate::runtime::{Engine, EngineOptions};

/// Why fixtures did not pass. Shown and debugged alike, so that a test that returns or unwraps it is readable.
#[derive(Error)]
pub enum CheckError {
    /// They were not run.
    #[error("{}", with_sources(.0))]
    NotRun(#[from] KitError),
    /// Something else came of them.
    #[error("{} of {all} fixtures failed\n{}", failed.len(), told(failed))]
    Failed {
        /// Those that failed.
        failed: Vec<Report>,
        /// How many there are.
        all: usize,
    },
}

impl fmt::Debug for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Kit {
    /// Loads the component in a file under the manifest in another one, as the host would, without any secret. Blocks:
    /// it is compiled, in this process.
    ///
    /// A whole test:
    /// ```no_run
    /// # use tidemill::kit::{CheckError, Kit};
    /// fn it_does_what_its_fixtures_say() -> Result<(), CheckError> {
    ///     Kit::open("target/wasm32-wasip2/release/big_orders.wasm", "plugin.toml")?.check("fixtures")
    /// }
    /// ```
    ///
    /// # Errors
    /// When a file cannot be read, the manifest is none, or the host would not run the component.
    pub fn open(component: impl AsRef<Path>, manifest: impl AsRef<Path>) -> Result<Self, KitError> {
        let (component_path, manifest_path) = (component.as_ref(), manifest.as_ref());
        let component = read_component(component_path).map_err(|error| KitError::unreadable(component_path, &error))?;
        let text = fs::read_to_string(manifest_path).map_err(|error| KitError::unreadable(manifest_path, &error))?;
        let manifest = Kind::of_component(&component).manifest(&manifest_path.display().to_string(), &text)?;
        let stem = component_path.file_stem().and_then(|stem| PluginName::new(stem.to_str()?).ok());
        let name = stem.unwrap_or_else(|| PluginName::from_stored("plugin"));
        let proposed =
            Proposed { name: &name, component: &component, component_path, manifest: &manifest, manifest_path };
        Self::new(&proposed, Arc::new(engine()?), Box::new(NoSecrets))
    }

    /// Loads what lifts events, which needs no manifest: a component, a file of rules, or a folder of them as one chain.
    /// Blocks: components are compiled, in this process.
    ///
    /// # Errors
    /// When a file cannot be read, or they are no chain.
    pub fn open_upcasters(place: impl AsRef<Path>) -> Result<Self, KitError> {
        Self::upcasters(place.as_ref(), &engine()?)
    }

    /// Runs the fixtures at a place, a file or a folder of them, also with every batch handed over twice, and with a
    /// crash before every commit. Blocks.
    ///
    /// # Errors
    /// When one fails, or is none.
    pub fn check(&self, fixtures: impl AsRef<Path>) -> Result<(), CheckError> {
        let (mut failed, mut all) = (Vec::new(), 0);
        for file in Fixture::files(fixtures.as_ref())? {
            let text = fs::read_to_string(&file).map_err(|error| KitError::unreadable(&file, &error))?;
            let fixture = Fixture::parse(&file, &text)?;
            for (twice, crash) in [(false, false), (true, false), (false, true)] {
                let report = self.run(&file, &fixture, Disturbance { twice, crash, partitions: 0 })?;
                all += 1;
                if !report.passed() {
                    let how = [(twice, " (every batch twice)"), (crash, " (crashing)")];
                    let how = how.iter().filter(|(is, _)| *is).map(|(_, how)| *how).collect::<String>();
                    failed.push(Report { name: report.name.clone() + &how, ..report });
                }
            }
        }
        if failed.is_empty() { Ok(()) } else { Err(CheckError::Failed { failed, all }) }
    }
}

fn engine() -> Result<Engine, KitError> {
    Engine::new(EngineOptions::default()).map_err(|error| KitError::Host { reason: with_sources(&error) })
}

fn told(reports: &[Report]) -> String {
    let told = |report: &Report| {
        let differences: Vec<_> = report.differences.iter().map(ToString::to_string).collect();
        format!("{}: {}\n{}", report.name, report.about, differences.join("\n"))
    };
    reports.iter().map(told).collect::<Vec<_>>().join("\n")
}
