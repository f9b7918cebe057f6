//! What happens in the demo, in order.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tidemill_plugins::{Example, NOTIFICATION_V2, SHOP};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::DemoError;
use super::board::{Board, Row};
use super::order::{lead, receive};
use super::proof::{Proof, Totals};
use super::shop::Shop;
use crate::app::{Host, HostError, HostOptions};
use crate::command::{Commands, Point};
use crate::config::DemoOptions;
use crate::delivery::Retry;
use crate::event::{PluginName, Position, StreamName};
use crate::plugin::PluginInfo;
use crate::store::{ReadRequest, Store, StoreError};

/// Fewest orders that make a story.
const ORDERS_MIN: u32 = 8;
/// The one that meets an order it cannot take.
const FRAIL: &str = "notification";
/// Orders on their way at a time.
const CONCURRENT_ORDERS: usize = 16;
/// How often the table is drawn, and conditions are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the demo and proves its outcome.
///
/// # Errors
/// When the host fails, something does not happen in time, or the proof fails.
pub async fn run(options: DemoOptions) -> Result<Totals, DemoError> {
    let temporary = |source| directory(Path::new("the temporary directory"), source);
    let mut root = tempfile::tempdir().map_err(temporary)?;
    root.disable_cleanup(options.keep);
    let mut story = Story::begin(root.path(), &options).await?;
    let told = story.tell().await;
    story.board.finish();
    story.stop().await;
    if options.keep {
        story.board.say(&format!("the data and the plugins are kept in {}", root.path().display()));
    }
    told
}

struct Story {
    options: HostOptions,
    orders: u32,
    /// None only while it restarts.
    host: Option<Host>,
    shop: Shop,
    board: Board,
    placed: BTreeSet<Uuid>,
}

impl Story {
    async fn begin(root: &Path, demo: &DemoOptions) -> Result<Self, DemoError> {
        let (data, plugins) = (root.join("data"), Some(root.join("plugins")));
        let options = HostOptions { plugins, compiler: demo.compiler.clone(), ..HostOptions::new(data) };
        for example in SHOP {
            install(root, example)?;
        }
        let orders = u32::try_from(demo.orders).unwrap_or(u32::MAX).max(ORDERS_MIN);
        let board = Board::new(orders);
        board.say(&format!("a shop opens: {} plugins, {orders} orders, seed {}", SHOP.len(), demo.seed));
        let host = Some(Host::start(options.clone()).await?);
        Ok(Self { options, orders, host, shop: Shop::new(demo.seed, orders), board, placed: BTreeSet::new() })
    }

    async fn tell(&mut self) -> Result<Totals, DemoError> {
        self.wait_for("the plugins to load", |story| story.rows().len() == SHOP.len()).await?;
        self.receive_goods().await?;

        let quarter = self.orders / 4;
        self.place(0..quarter, None).await?;
        self.board.say(&format!("order {quarter:06} comes from a customer whose name makes {FRAIL} 1 panic"));
        self.place(quarter..2 * quarter, Some(quarter)).await?;
        self.show_dead_letter().await?;

        self.board.say(&format!("{FRAIL} 2 is dropped into the plugins directory, while orders go on"));
        self.replace_frail()?;
        self.place(2 * quarter..3 * quarter, None).await?;
        self.retry_dead_letters().await?;

        let head = self.store()?.head();
        self.draw();
        self.board.keep();
        self.stop().await;
        self.board.say(&format!("the host was stopped at position {head} and starts again"));
        self.host = Some(start_again(&self.options).await?);
        self.wait_for("the plugins to load again", |story| story.rows().len() == SHOP.len()).await?;
        self.place(3 * quarter..self.orders, None).await?;
        self.wait_for("the plugins to handle everything", Self::is_settled).await?;
        self.prove().await
    }

    async fn stop(&mut self) {
        let Some(host) = self.host.take() else { return };
        let store = Arc::downgrade(&host.store());
        host.shutdown().await;
        // A snapshot may still be written: whoever has the store last closes it.
        for _ in 0..PATIENCE.as_millis() / LOOK.as_millis() {
            if store.strong_count() == 0 {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn store(&self) -> Result<Arc<dyn Store>, StoreError> {
        self.host.as_ref().map(Host::store).ok_or(StoreError::ShuttingDown)
    }

    /// The way to the aggregates of the host that runs.
    fn commands(&self) -> Result<Commands, StoreError> {
        self.host.as_ref().map(Host::commands).ok_or(StoreError::ShuttingDown)
    }

    async fn receive_goods(&mut self) -> Result<(), DemoError> {
        let commands = self.commands()?;
        for (sku, quantity) in self.shop.deliveries() {
            receive(&commands, sku, quantity).await?;
        }
        Ok(())
    }

    /// Leads orders to their end, several at a time; one of them may be poison.
    async fn place(&mut self, numbers: std::ops::Range<u32>, poison: Option<u32>) -> Result<(), DemoError> {
        let (mut on_their_way, commands) = (JoinSet::new(), self.commands()?);
        for number in numbers {
            let order = self.shop.order(number, poison == Some(number));
            if on_their_way.len() == CONCURRENT_ORDERS {
                self.acknowledge(on_their_way.join_next().await)?;
            }
            let commands = commands.clone();
            on_their_way.spawn(async move { lead(&commands, &order).await });
        }
        while let Some(answer) = on_their_way.join_next().await {
            self.acknowledge(Some(answer))?;
        }
        self.draw();
        Ok(())
    }

    fn acknowledge(
        &mut self,
        answer: Option<Result<Result<Uuid, DemoError>, tokio::task::JoinError>>,
    ) -> Result<(), DemoError> {
        let Some(answer) = answer else { return Ok(()) };
        let id = answer.map_err(|_| StoreError::ShuttingDown)??;
        self.placed.insert(id);
        if self.placed.len().is_multiple_of(CONCURRENT_ORDERS) {
            self.draw();
        }
        Ok(())
    }

    async fn show_dead_letter(&mut self) -> Result<(), DemoError> {
        self.wait_for("the dead letter", |story| story.dead_letters().is_ok_and(|letters| !letters.is_empty())).await?;
        // Later events of the same order wait behind it, untried.
        for letter in self.dead_letters()?.into_iter().filter(|letter| letter.attempts + letter.faults > 0) {
            let (position, attempts, kind) = (letter.position, letter.attempts + letter.faults, letter.kind);
            let text = format!("event {position} is set aside after {attempts} attempts ({kind}): {}", letter.reason);
            self.board.say(&text);
        }
        Ok(())
    }

    fn dead_letters(&self) -> Result<Vec<crate::store::DeadLetter>, StoreError> {
        self.store()?.dead_letters(&name(FRAIL).into(), Position::START, 100)
    }

    /// Puts version 2 in place of version 1, in one step, as an operator would.
    fn replace_frail(&self) -> Result<(), DemoError> {
        let Some(plugins) = &self.options.plugins else { return Ok(()) };
        let file = plugins.join(FRAIL).join(format!("{FRAIL}.wasm"));
        let beside = file.with_extension("tmp");
        fs::write(&beside, NOTIFICATION_V2.component).map_err(|source| directory(&beside, source))?;
        fs::rename(&beside, &file).map_err(|source| directory(&file, source))
    }

    async fn retry_dead_letters(&mut self) -> Result<(), DemoError> {
        let replaced = |story: &Self| story.rows().iter().any(|row| row.plugin == FRAIL && row.generation > 1);
        self.wait_for("version 2 to run", replaced).await?;
        let frail = self.host.as_ref().and_then(|host| host.dispatcher(&name(FRAIL)));
        let Some(dispatcher) = frail else { return Ok(()) };
        let redriven = dispatcher.retry_dead_letters(Retry::All).await?;
        let failing = redriven.failing.iter().map(|failing| failing.reason.clone()).chain(redriven.interrupted);
        let failing: Vec<_> = failing.map(|reason| format!("version 2 fails as well: {reason}")).collect();
        if !failing.is_empty() {
            return Err(DemoError::Disproved(failing));
        }
        let events = if redriven.handled == 1 { "event is" } else { "events are" };
        self.board.say(&format!("{} {events} retried and handled", redriven.handled));
        Ok(())
    }

    /// Whether every plugin has settled everything there is.
    fn is_settled(&self) -> bool {
        let head = || self.store().map(|store| store.head()).unwrap_or_default();
        let before = head();
        let rows = self.rows();
        rows.len() == SHOP.len() && rows.iter().all(|row| row.lag == 0) && before == head()
    }

    async fn wait_for(&mut self, what: &'static str, done: impl Fn(&Self) -> bool) -> Result<(), DemoError> {
        let looks = PATIENCE.as_millis() / LOOK.as_millis();
        for _ in 0..looks {
            self.draw();
            if done(self) {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(DemoError::TooLong { what, seconds: PATIENCE.as_secs() })
    }

    fn draw(&mut self) {
        let rows = self.rows();
        self.board.show(self.placed.len() as u64, rows);
    }

    /// The running plugins of the shop.
    fn rows(&self) -> Vec<Row> {
        let Some(host) = &self.host else { return Vec::new() };
        let head = host.store().head();
        let mut rows: Vec<_> = host.plugins().into_iter().filter_map(|info| row(host, head, info)).collect();
        rows.sort_by_key(|row| SHOP.iter().position(|example| example.name == row.plugin));
        rows
    }

    async fn prove(&mut self) -> Result<Totals, DemoError> {
        let (store, placed) = (self.store()?, self.placed.clone());
        let proved = tokio::task::spawn_blocking(move || prove(&*store, &placed)).await;
        let totals = proved.map_err(|_| StoreError::ShuttingDown)??;
        self.prove_stock(&totals).await?;
        Ok(totals)
    }

    /// Holds what the aggregates of the stock say to what the log adds up to.
    async fn prove_stock(&self, totals: &Totals) -> Result<(), DemoError> {
        let (commands, mut faults) = (self.commands()?, Vec::new());
        for (product, left) in &totals.stock {
            let found =
                commands.state_at(StreamName::from_stored(format!("stock-{product}")), None, Point::Now).await?;
            let state: serde_json::Value = serde_json::from_slice(&found.state).unwrap_or_default();
            let fields = ["available", "held"].map(|key| state.get(key).cloned().unwrap_or_default());
            if fields != [serde_json::json!(left), serde_json::json!({})] {
                faults.push(format!("the stock of {product} is {state}; the log adds up to {left}, and nothing held"));
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(DemoError::Disproved(faults)) }
    }
}

/// Starts a host on what another was stopped on.
async fn start_again(options: &HostOptions) -> Result<Host, DemoError> {
    for _ in 0..PATIENCE.as_millis() / LOOK.as_millis() {
        match Host::start(options.clone()).await {
            // Nobody has the store any more, and whoever had it last is still closing it.
            Err(HostError::Store(StoreError::InUse { .. })) => tokio::time::sleep(LOOK).await,
            started => return started.map_err(DemoError::Host),
        }
    }
    Err(DemoError::TooLong { what: "the store to be closed", seconds: PATIENCE.as_secs() })
}

/// What a plugin does; none while it does not run.
fn row(host: &Host, head: Position, info: PluginInfo) -> Option<Row> {
    let plugin = info.name.as_str().to_owned();
    if let Some(deciding) = info.deciding {
        let claimed =
            host.commands().claims().list().into_iter().find(|claimed| claimed.category == deciding.aggregate)?;
        let (results, state) = (claimed.counts.results, "decides".to_owned());
        let (handled, generation) = (results.accepted + results.rejected, deciding.generation);
        return Some(Row { plugin, generation, state, handled, emitted: results.accepted, ..Row::default() });
    }
    let running = info.running?;
    let status = running.status;
    Some(Row {
        plugin,
        generation: running.generation,
        state: status.state.as_str().replace('_', " "),
        handled: status.counters.handled,
        emitted: status.counters.emitted,
        failures: status.counters.retried,
        parked: status.counters.parked,
        lag: head.0.saturating_sub(status.checkpoint.0),
    })
}

/// Folds the log, and holds the plugins' states to the result. Blocks.
fn prove(store: &dyn Store, placed: &BTreeSet<Uuid>) -> Result<Totals, DemoError> {
    let (mut proof, mut after) = (Proof::default(), Position::START);
    loop {
        let page = store.read(&ReadRequest { after, ..ReadRequest::default() })?;
        page.events.iter().for_each(|event| proof.add(event));
        after = page.through;
        if page.complete {
            break;
        }
    }
    let totals = proof.finish(placed).map_err(DemoError::Disproved)?;
    let mut faults = Vec::new();
    let mut held = |plugin: &str, key: &str, expected: u64| -> Result<(), StoreError> {
        let value = store.state_get(&name(plugin).into(), key)?.unwrap_or_else(|| b"0".to_vec());
        let value = String::from_utf8_lossy(&value).into_owned();
        if value != expected.to_string() {
            faults.push(format!("{plugin} holds {key} = {value}; the log adds up to {expected}"));
        }
        Ok(())
    };
    held("dashboard", "revenue_cents", totals.taken_cents)?;
    held("dashboard", "orders/confirmed", totals.confirmed)?;
    held("dashboard", "orders/cancelled", totals.cancelled)?;
    held("dashboard", "orders/open", 0)?;
    for example in SHOP {
        let parked = store.dead_letter_count(&name(example.name).into())?;
        if parked > 0 {
            faults.push(format!("{} has {parked} dead letters", example.name));
        }
    }
    if faults.is_empty() { Ok(totals) } else { Err(DemoError::Disproved(faults)) }
}

/// Writes a plugin in its folder form.
fn install(root: &Path, example: &Example) -> Result<(), DemoError> {
    let folder = root.join("plugins").join(example.name);
    fs::create_dir_all(&folder).map_err(|source| directory(&folder, source))?;
    let write = |file: PathBuf, bytes: &[u8]| fs::write(&file, bytes).map_err(|source| directory(&file, source));
    write(folder.join("plugin.toml"), example.manifest.as_bytes())?;
    write(folder.join(format!("{}.wasm", example.name)), example.component)
}

fn directory(path: &Path, source: std::io::Error) -> DemoError {
    DemoError::Directory { path: path.into(), source }
}

/// The name of a plugin of the shop, all of which are names.
fn name(plugin: &str) -> PluginName {
    PluginName::from_stored(plugin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::store::embedded::{EmbeddedStore, OpenOptions};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_host_starts_again_once_the_store_is_closed() {
        let directory = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(&OpenOptions::new(directory.path()), Arc::new(SystemClock)).unwrap();
        let options = HostOptions::new(directory.path().to_owned());
        let mut starting = Box::pin(start_again(&options));
        let early = tokio::time::timeout(3 * LOOK, &mut starting).await;
        assert!(early.is_err(), "the store is still open");
        drop(store);
        starting.await.unwrap();
    }
}
