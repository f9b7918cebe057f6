//! Deciding for an aggregate in memory, without the commit.

use std::time::Duration;

use tidemill::command::{Asked, Commands};
use tokio::runtime::Runtime;

use crate::{TMP, account, bus, decided, deposit, fill, open};

/// Prints what the bus takes for it, of which the call of the component is a part.
pub(crate) fn measure(runtime: &Runtime, commands: u32) -> anyhow::Result<()> {
    let directory = tempfile::TempDir::new_in(TMP)?;
    let (store, code) = (open(directory.path())?, account()?);
    fill(&store, "hot", 10)?;
    let bus = bus(&store, &code, 100)?;
    let send = |id: &str| -> anyhow::Result<()> {
        runtime.block_on(bus.send(deposit("hot", id)?, Commands::allow_all()))?;
        Ok(())
    };
    for number in 0..20 {
        send(&format!("warm-{number}"))?;
    }
    let (before, took_before) = decided(&bus)?;
    let begin = std::time::Instant::now();
    for number in 0..commands {
        send(&format!("hot-{number}"))?;
    }
    let whole = begin.elapsed() / commands;
    let (count, took) = decided(&bus)?;
    let each = (took - took_before).div_f64((count - before) as f64);
    println!("\nAn aggregate in memory, {commands} commands one after the other\n");
    print("looking for the outcome, taking in the last event, deciding", each);
    print("of that, the component's `decide`", guest(code.host(), commands)?);
    print("the whole command, commit included", whole);
    Ok(())
}

/// A call of `decide` alone.
fn guest(mut host: Box<dyn tidemill::command::AggregateHost>, commands: u32) -> anyhow::Result<Duration> {
    let failed = |faulted: tidemill::command::Faulted| anyhow::anyhow!("the account failed: {}", faulted.reason);
    let aggregate = host.make("hot").map_err(failed)?;
    let asked = Asked {
        id: "command".to_owned(),
        command_type: "Open".to_owned(),
        data: br#"{"owner":"ada"}"#.to_vec(),
        content_type: None,
        metadata: std::collections::BTreeMap::new(),
        timestamp_us: 1,
    };
    let begin = std::time::Instant::now();
    for _ in 0..commands {
        let events = host.decide(aggregate, &asked).map_err(failed)?;
        anyhow::ensure!(events.is_ok_and(|events| events.len() == 1), "an account is opened");
    }
    Ok(begin.elapsed() / commands)
}

fn print(what: &str, took: Duration) {
    println!("{what:<60} {:>8.1} us", took.as_secs_f64() * 1e6);
}
