//! What lifting events to today's schema adds to their delivery.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tidemill::clock::SystemClock;
use tidemill::delivery::{
    Effects, EventBatch, Evidence, Handled, Handler, Permit, Policy, Setup, Subscription, lifting, spawn,
};
use tidemill::event::{EventType, Filter, NewEvent, Pattern, PluginName};
use tidemill::runtime::{Engine, EngineOptions};
use tidemill::schema::{Chain, Step, rules};
use tidemill::store::{AppendRequest, Store};
use tidemill_tests::bench::{Table, thousands};
use tidemill_tests::guests;
use tokio::runtime::Runtime;

use crate::{FILL_EVENTS, TMP, open};

/// How often each is measured; the best counts.
const ROUNDS: usize = 3;
/// Rules that do what an ordinary change of a schema does.
const RULES: &str = "\
[[upcast]]
type = \"Bought\"
from = 1
rules = [
    { rename = \"/customer\", to = \"buyer\" },
    { add = \"/currency\", value = \"EUR\" },
    { convert = \"/cents\", to = \"string\" },
]
";
/// What an event carries.
const DATA: &str =
    r#"{"customer":"ada","cents":1250,"note":"a gift, please wrap it","lines":[{"sku":"tea","quantity":2}]}"#;

/// Prints a row for each way to lift.
pub(crate) fn measure(runtime: &Runtime, events: u64) -> anyhow::Result<()> {
    let directory = tempfile::TempDir::new_in(TMP)?;
    let store = open(directory.path())?;
    for first in (0..events).step_by(FILL_EVENTS as usize) {
        let event = |_| Ok(NewEvent::json(EventType::new("Bought")?, DATA));
        let batch = (first..events.min(first + FILL_EVENTS)).map(event).collect::<anyhow::Result<_>>()?;
        store.append(AppendRequest::unconditional(batch)).wait()?;
    }
    let declared = Chain::new(rules::read("rules.toml", RULES).map_err(|error| anyhow::anyhow!("{error}"))?)?;
    let chains = [("none", Chain::default()), ("rules", declared), ("a component", component()?)];
    let title = format!("Delivery of {} events to a native handler, lifted", thousands(events as f64));
    let table = Table::begin(&title, &[12], &["lifted by", "events/s", "µs an event", "more than none"]);
    let mut none = None;
    for (name, chain) in chains {
        let chain = Arc::new(chain);
        let rounds =
            (0..ROUNDS).map(|round| deliver(runtime, &store, &format!("{}-{round}", name.replace(' ', "-")), &chain));
        let best = rounds.collect::<anyhow::Result<Vec<_>>>()?.into_iter().min().context("there is a round")?;
        let each = best.as_secs_f64() * 1e6 / events as f64;
        let more = each - *none.get_or_insert(each);
        let row = [
            name.to_owned(),
            thousands(events as f64 / best.as_secs_f64()),
            format!("{each:.2}"),
            format!("{more:.2}"),
        ];
        table.row(&row);
    }
    Ok(())
}

fn component() -> anyhow::Result<Chain> {
    let (lifts, upcast) = Engine::new(EngineOptions::default())?.load_upcaster(guests::UPCASTER)?;
    let step =
        |lift| Step { lift, origin: "upcaster".into(), identity: "upcaster".into(), upcast: Arc::clone(&upcast) };
    Ok(Chain::new(lifts.into_iter().map(step).collect())?)
}

/// A handler that looks at its events, and does nothing.
struct Looks;

impl Handler for Looks {
    fn handle(&mut self, batch: EventBatch, effects: Effects) -> Handled {
        for event in batch.iter() {
            std::hint::black_box(event.data.len());
        }
        Handled { effects, outcome: Ok(()), evidence: Evidence::default() }
    }
}

/// Everything from the beginning.
fn deliver(runtime: &Runtime, store: &Arc<dyn Store>, name: &str, chain: &Arc<Chain>) -> anyhow::Result<Duration> {
    let filter = Filter { types: vec![Pattern::new("Bought")?], ..Filter::default() };
    let setup = Setup {
        plugin: PluginName::new(name)?,
        subscription: Subscription { filter, ..Subscription::default() },
        policy: Policy::default(),
        append: Permit::default(),
        component_digest: String::new(),
        manifest_digest: String::new(),
        handlers: vec![Box::new(Looks)],
    };
    let (head, begin) = (store.head(), Instant::now());
    runtime.block_on(async {
        let dispatcher = spawn(lifting(setup, chain), Arc::clone(store), Arc::new(SystemClock));
        let mut watch = dispatcher.watch();
        let status = watch.wait_for(|status| status.checkpoint >= head).await.context("delivery ended early")?.clone();
        let took = begin.elapsed();
        dispatcher.stop().await;
        anyhow::ensure!(status.counters.parked == 0, "an event was not lifted");
        Ok(took)
    })
}
