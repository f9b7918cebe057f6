//! What hosts with many plugins weigh, each in a process of its own: this one has grown.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tidemill::app::{Host, HostOptions};
use tidemill::event::{EventType, NewEvent, Position};
use tidemill::store::AppendRequest;
use tidemill_plugins::{ALL, COUNTER};
use tidemill_tests::another_version;
use tidemill_tests::bench::Figures;
use tokio::runtime::Runtime;

use crate::TMP;

/// Tells this program to weigh the host of a directory.
pub(crate) const MEASURE: &str = "--weigh";
/// Plugins of the smaller host.
const TEN: usize = 10;
/// Plugins of the larger host, all of them small and each its own component.
const MANY: u8 = 200;
/// Events that each of them handles.
const EVENTS: u64 = 1000;

/// A host with the plugins of this repository.
pub(crate) fn ten(_: &Runtime) -> anyhow::Result<()> {
    let plugins = ALL.iter().cycle().take(TEN);
    let plugins = plugins.map(|example| (example.name.to_owned(), example.manifest, example.component.to_vec()));
    weigh(
        plugins
            .enumerate()
            .map(|(number, (name, manifest, component))| (format!("{name}-{number}"), manifest, component)),
    )
}

/// A host with as many counters.
pub(crate) fn many(_: &Runtime) -> anyhow::Result<()> {
    weigh((0..MANY).map(|n| (format!("counter-{n}"), COUNTER.manifest, another_version(COUNTER.component, n))))
}

/// Weighs a host with these plugins twice: when it compiles them, and when it finds them compiled.
fn weigh(plugins: impl Iterator<Item = (String, &'static str, Vec<u8>)>) -> anyhow::Result<()> {
    let directory = tempfile::TempDir::new_in(TMP)?;
    for (name, manifest, component) in plugins {
        let folder = directory.path().join("plugins").join(name);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("plugin.toml"), manifest)?;
        std::fs::write(folder.join("plugin.wasm"), component)?;
    }
    println!();
    for compiled in ["all compiled by it", "all from the cache"] {
        print!("a host with {compiled}: ");
        std::io::Write::flush(&mut std::io::stdout())?;
        let status = Command::new(std::env::current_exe()?).arg(MEASURE).arg(directory.path()).status()?;
        anyhow::ensure!(status.success(), "the host failed");
    }
    Ok(())
}

/// Weighs the host of a directory: without plugins, with them, and when each has handled events.
pub(crate) fn measure(runtime: &Runtime, directory: &Path) -> anyhow::Result<()> {
    let data = directory.join("data");
    let expected = std::fs::read_dir(directory.join("plugins"))?.count();
    runtime.block_on(async {
        let empty = HostOptions::new(data.clone());
        Host::start(empty.clone()).await?.shutdown().await;
        let bare = mebibytes();
        let host = Host::start(HostOptions { plugins: Some(directory.join("plugins")), ..empty }).await?;
        host.plugins_loaded().await;
        let loaded = mebibytes();
        let event_type = EventType::new("Ticked")?;
        let events = (0..EVENTS).map(|_| NewEvent::json(event_type.clone(), "{\"n\":1}")).collect();
        let last = host.store().append(AppendRequest::unconditional(events)).await?.last_position();
        settled(&host, expected, last).await?;
        let worked = mebibytes();
        let each = (worked - bare) / expected as f64;
        println!(
            "{loaded:.0} MiB with {expected} plugins, {worked:.0} MiB when each has handled {EVENTS} events, {bare:.0} \
             MiB without: {each:.2} MiB a plugin"
        );
        host.shutdown().await;
        Ok(())
    })
}

/// Waits until so many plugins have come to a position.
async fn settled(host: &Host, expected: usize, last: Position) -> anyhow::Result<()> {
    let begin = Instant::now();
    loop {
        let plugins = host.plugins();
        let running = plugins.iter().filter_map(|plugin| plugin.running.as_ref());
        if running.filter(|running| running.status.checkpoint >= last).count() == expected {
            return Ok(());
        }
        let problem = plugins.iter().find_map(|plugin| plugin.problem.as_ref());
        anyhow::ensure!(problem.is_none(), "{problem:?}");
        (begin.elapsed() < Duration::from_secs(120)).then_some(()).context("the plugins do not come to the head")?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn mebibytes() -> f64 {
    Figures::now().resident_bytes as f64 / f64::from(1 << 20)
}
