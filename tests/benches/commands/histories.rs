//! Deciding for aggregates that are not in memory, by how much has happened to them.

use std::time::Duration;

use anyhow::Context as _;
use tidemill::command::Commands;
use tidemill_tests::bench::{Table, micros, ratio, thousands};
use tokio::runtime::Runtime;

use crate::{TMP, account, bus, decided, deposit, fill, open};

/// How often each is measured; the best counts.
const ROUNDS: usize = 5;
/// Longest wait for a snapshot.
const PATIENCE: Duration = Duration::from_secs(60);

/// Prints a row for each length of a history, in events.
pub(crate) fn measure(runtime: &Runtime, lengths: &[u64]) -> anyhow::Result<()> {
    let directory = tempfile::TempDir::new_in(TMP)?;
    let (store, code) = (open(directory.path())?, account()?);
    let title = "Deciding for an aggregate that is not in memory, without the commit; its instance is started, too";
    let table = Table::begin(title, &[10], &["events", "of its events, µs", "of a snapshot, µs", "ratio"]);
    for events in lengths {
        let name = events.to_string();
        fill(&store, &name, *events)?;
        let decide = |how: &str, round: usize| -> anyhow::Result<Duration> {
            let bus = bus(&store, &code, 0)?;
            let command = deposit(&name, &format!("{how}-{name}-{round}"))?;
            runtime.block_on(bus.send(command, Commands::allow_all()))?;
            decided(&bus).map(|(_, took)| took)
        };
        let best = |how: &str| -> anyhow::Result<Duration> {
            let rounds = (0..ROUNDS).map(|round| decide(how, round)).collect::<anyhow::Result<Vec<_>>>()?;
            rounds.into_iter().min().context("there is a round")
        };
        let cold = best("events")?;
        snapshot(runtime, &store, &code, &name)?;
        let restored = best("snapshot")?;
        let row = [
            thousands(*events as f64),
            micros(cold),
            micros(restored),
            ratio(cold.as_secs_f64(), restored.as_secs_f64()),
        ];
        table.row(&row);
    }
    Ok(())
}

/// Has a snapshot written, by a command that is due for one.
fn snapshot(
    runtime: &Runtime,
    store: &std::sync::Arc<dyn tidemill::store::Store>,
    code: &std::sync::Arc<dyn tidemill::command::AggregateCode>,
    account: &str,
) -> anyhow::Result<()> {
    let bus = bus(store, code, 1)?;
    runtime.block_on(async {
        bus.send(deposit(account, &format!("snapshot-{account}"))?, Commands::allow_all()).await?;
        let begin = std::time::Instant::now();
        loop {
            let tidemill::command::SnapshotPage { snapshots, .. } =
                bus.snapshots(format!("account-{account}"), None, 100).await?;
            if snapshots.iter().any(|snapshot| snapshot.stream.as_str() == format!("account-{account}")) {
                return Ok(());
            }
            anyhow::ensure!(begin.elapsed() < PATIENCE, "the snapshot does not come");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
}
