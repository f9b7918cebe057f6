//! What is kept from run to run: what was built, and what is loaded.

use std::hash::Hasher as _;
use std::path::Path;
use std::sync::Arc;

use tokio::task::spawn_blocking;
use xxhash_rust::xxh3::Xxh3Default;

use super::build::build;
use super::feed::{self, Feed};
use super::project::Project;
use super::show::{Show, Tally};
use super::sources::State;
use super::{DevArgs, LIVE_EVENTS};
use crate::cli::client::Client;
use crate::cli::component_file::ComponentFile;
use crate::cli::error::{CliError, Exit};
use crate::clock::Stopwatch;
use crate::config::own_compiler;
use crate::error::with_sources;
use crate::kit::{Disturbance, Kit, KitError, Report, Traced};
use crate::runtime::{Engine, EngineOptions};

/// The operator's word on the plugin, in its project.
const MANIFEST: &str = "plugin.toml";

/// A plugin under development.
pub(super) struct Session<'a> {
    args: &'a DevArgs,
    client: Arc<Client>,
    /// The sources of the last build that went well.
    built_from: Option<u64>,
    /// What is loaded, with the digest of its component, its manifest, and what lies in `upcasters`.
    loaded: Option<(u64, Arc<Kit>)>,
    /// What a server's log has given so far.
    fed: Fed,
}

/// Events of a server's log.
#[derive(Clone, Copy)]
struct Fed {
    events: usize,
    /// Where the next one may stand.
    next: u64,
}

impl<'a> Session<'a> {
    pub(super) fn new(args: &'a DevArgs, client: Client) -> Self {
        let fed = Fed { events: 0, next: args.from };
        Self { args, client: Arc::new(client), built_from: None, loaded: None, fed }
    }

    /// Whether the server has more events for the plugin. One that does not answer has none.
    pub(super) async fn has_news(&self) -> bool {
        let Some((_, kit)) = &self.loaded else { return false };
        if !self.args.live || self.fed.events as u64 >= self.live_limit() {
            return false;
        }
        let Some(filter) = kit.filter().cloned() else { return false };
        let (client, next) = (Arc::clone(&self.client), self.fed.next);
        let more = blocking(move || feed::of_server(next, 1, &filter, &client)).await;
        more.is_ok_and(|more| !more.fixture.when.is_empty())
    }

    /// Builds and loads if need be, and runs. With news, only what is new is shown.
    pub(super) async fn step(&mut self, state: &State, news: bool, show: &mut Show<'_, '_>) -> Result<(), CliError> {
        let project = Project::read(&self.args.folder)?;
        if self.built_from != Some(state.built_from) {
            self.built_from = None;
            self.build(&project, show).await?;
            self.built_from = Some(state.built_from);
        }
        let kit = self.load(&project, state.chained_with, show).await?;
        let mut tally = Tally::default();
        let shown = if news { self.fed.events } else { 0 };
        for feed in self.feeds(&kit, shown).await? {
            match feed {
                Ok(feed) => self.run(&kit, feed, &mut tally, show).await?,
                Err(error) if self.args.once => return Err(error),
                Err(error) => {
                    tally.failed += 1;
                    show.error(&error)?;
                }
            }
        }
        show.done(&tally)?;
        if tally.failed == 0 {
            return Ok(());
        }
        Err(CliError::new(Exit::Failure, tally.verdict()))
    }

    fn live_limit(&self) -> u64 {
        self.args.limit.unwrap_or(LIVE_EVENTS)
    }

    async fn build(&self, project: &Project, show: &mut Show<'_, '_>) -> Result<(), CliError> {
        project.check_tools()?;
        show.building(project)?;
        let built = build(project).await?;
        show.built(project, &built)?;
        if built.status.success() {
            return Ok(());
        }
        let error = CliError::new(Exit::Failure, format_args!("`{}` failed: {}", project.build, built.status));
        Err(match project.language {
            Some(language) => error.hint(format_args!("what it needs, once: {}", language.install.join("; "))),
            None => error,
        })
    }

    /// Loads what was built, as the host would.
    async fn load(
        &mut self,
        project: &Project,
        chained_with: u64,
        show: &mut Show<'_, '_>,
    ) -> Result<Arc<Kit>, CliError> {
        let (component, folder) = (project.component.clone(), project.folder.clone());
        let known = self.loaded.take();
        let (digest, loaded) = blocking(move || load(&component, &folder, chained_with, known)).await?;
        if loaded.is_new {
            show.loaded(project, &loaded)?;
        }
        let kit = loaded.kit;
        self.loaded = Some((digest, Arc::clone(&kit)));
        let is_real = self.args.live || self.args.events.is_some();
        if is_real && kit.filter().is_none() {
            let what = format!("it is {}, which handles no events of a server or a file", kit.title());
            return Err(CliError::usage(what).hint("run it on its fixtures: without --live, --server and --events"));
        }
        if is_real && !self.args.http && !kit.is_replayable() {
            let what = "it may send HTTP requests, and would send them for these events";
            return Err(CliError::new(Exit::Denied, what).hint("give --http to have them sent"));
        }
        Ok(kit)
    }

    async fn feeds(&mut self, kit: &Arc<Kit>, shown: usize) -> Result<Vec<Result<Feed, CliError>>, CliError> {
        let args = self.args;
        if let Some(file) = &args.events {
            return Ok(vec![feed::of_file(file, args.limit)]);
        }
        if !args.live {
            return feed::fixtures(&args.folder);
        }
        let client = Arc::clone(&self.client);
        let filter = kit.filter().cloned().unwrap_or_default();
        let (from, limit) = (args.from, self.live_limit());
        let feed = blocking(move || feed::of_server(from, limit, &filter, &client)).await?;
        let next = feed.positions.last().map_or(from, |last| last.saturating_add(1));
        self.fed = Fed { events: feed.fixture.when.len(), next };
        Ok(vec![Ok(Feed { shown, ..feed })])
    }

    async fn run(
        &self,
        kit: &Arc<Kit>,
        feed: Feed,
        tally: &mut Tally,
        show: &mut Show<'_, '_>,
    ) -> Result<(), CliError> {
        let kit = Arc::clone(kit);
        let (feed, ran) = blocking(move || {
            let ran = run(&kit, &feed).map_err(|error| feed::failed(&error))?;
            Ok((feed, ran))
        })
        .await?;
        show.feed(&feed, &ran, tally)
    }
}

/// A component that the host would run.
pub(super) struct Loaded {
    pub(super) kit: Arc<Kit>,
    pub(super) bytes: usize,
    pub(super) ms: u64,
    /// Whether it is another one than before.
    pub(super) is_new: bool,
}

/// What came of a feed.
pub(super) struct Ran {
    /// Event by event.
    pub(super) traced: Traced,
    /// In batches, as a server hands them over; none where nothing is expected.
    pub(super) batched: Option<Report>,
}

impl Ran {
    /// What counts.
    pub(super) fn report(&self) -> &Report {
        self.batched.as_ref().unwrap_or(&self.traced.report)
    }

    /// Events that were set aside although nobody expected it.
    pub(super) fn set_aside(&self) -> usize {
        match self.batched {
            Some(_) => 0,
            None => self.traced.report.found.dead_letters.as_ref().map_or(0, Vec::len),
        }
    }
}

/// Loads a component of a project under its manifest, unless both are those that are loaded, with the same beside them.
/// Answers their digest too.
fn load(
    component: &Path,
    project: &Path,
    chained_with: u64,
    known: Option<(u64, Arc<Kit>)>,
) -> Result<(u64, Loaded), CliError> {
    let watch = Stopwatch::start();
    let manifest = project.join(MANIFEST);
    let file = ComponentFile::read(component, manifest.is_file().then_some(manifest.as_path()))?;
    let proposed = file.proposed();
    let bytes = proposed.component.len();
    let mut digest = Xxh3Default::new();
    digest.write(proposed.component);
    digest.write(format!("{:?}", proposed.manifest).as_bytes());
    digest.write_u64(chained_with);
    let digest = digest.finish();
    let known = known.filter(|(loaded, _)| *loaded == digest).map(|(_, kit)| kit);
    let is_new = known.is_none();
    let kit = match known {
        Some(kit) => kit,
        None => Arc::new(file.kit(Some(project), engine()?)?),
    };
    let ms = u64::try_from(watch.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok((digest, Loaded { kit, bytes, ms, is_new }))
}

fn engine() -> Result<Engine, CliError> {
    Engine::new(EngineOptions { compiler: own_compiler(), ..EngineOptions::default() })
        .map_err(|error| CliError::new(error.class().into(), with_sources(&error)))
}

fn run(kit: &Kit, feed: &Feed) -> Result<Ran, KitError> {
    let Feed { from, fixture, .. } = feed;
    let traced = kit.trace(from, fixture)?;
    let expects = fixture.then != Default::default();
    let batched = expects.then(|| kit.run(from, fixture, Disturbance::default())).transpose()?;
    Ok(Ran { traced, batched })
}

/// Does what blocks on a thread of its own, so that an interruption is heard.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CliError> + Send + 'static,
) -> Result<T, CliError> {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(CliError::new(Exit::Failure, format_args!("a thread of this program died: {error}")))
    })
}
