//! The crate as a plugin author meets it.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::*;
use crate::{Error, NewCommand, NewEvent, OrFail, State, Verdict, typed};

#[derive(Deserialize)]
enum Shop {
    OrderPlaced { order: String, total_cents: u64 },
    OrderCancelled { order: String },
}

#[derive(Default, Deserialize, Serialize)]
struct Order {
    total_cents: u64,
}

fn keep_orders(event: Shop, ctx: &mut Context) -> Outcome {
    match event {
        Shop::OrderPlaced { order, total_cents } => {
            ctx.state().update(&format!("order/{order}"), |kept: &mut Order| kept.total_cents = total_cents)?;
            ctx.append(NewEvent::json("OrderKept", &json!({ "order": order })).stream(format!("order-{order}")))?;
        }
        Shop::OrderCancelled { order } => {
            let key = format!("order/{order}");
            let kept: Order = ctx.state().get_json(&key)?.or_reject("no such order")?;
            ctx.state().delete(&key)?;
            ctx.state().add("cancelled_cents", kept.total_cents)?;
        }
    }
    Ok(())
}

fn placed(order: &str, total_cents: u64) -> Given {
    Given::json("OrderPlaced", &json!({ "order": order, "total_cents": total_cents }))
}

#[test]
fn a_typed_handler_keeps_state_and_appends() {
    let mut plugin = Harness::new(typed(keep_orders));
    let appended = plugin.handle(placed("7", 100)).unwrap();
    assert_eq!((appended.len(), appended[0].stream.as_deref()), (1, Some("order-7")));
    plugin.handle(Given::json("OrderCancelled", &json!({ "order": "7" }))).unwrap();
    assert_eq!(plugin.keys().collect::<Vec<_>>(), ["cancelled_cents"]);
    assert_eq!(plugin.state_json::<u64>("cancelled_cents"), Some(100));
}

#[test]
fn an_event_that_does_not_decode_is_rejected_with_the_path() {
    let mut plugin = Harness::new(typed(keep_orders));
    let failure = plugin.handle(Given::json("OrderPlaced", &json!({ "order": 7 }))).unwrap_err();
    assert_eq!(failure.verdict(), Verdict::Reject);
    assert!(failure.reason().starts_with("payload of OrderPlaced: order: invalid type"), "{failure}");
    let failure = plugin.handle(Given::json("OrderCancelled", &json!({ "order": "8" }))).unwrap_err();
    assert_eq!(failure, Failure::reject("no such order"));
}

#[test]
fn a_failed_attempt_leaves_nothing() {
    fn write_then_fail(_: &Event, ctx: &mut Context) -> Outcome {
        ctx.state().set("k", b"v")?;
        ctx.append(NewEvent::json("Seen", &()))?;
        Err(Failure::retry("not yet"))
    }
    let mut plugin = Harness::new(write_then_fail);
    assert_eq!(plugin.handle(placed("1", 1)).unwrap_err(), Failure::retry("not yet"));
    assert_eq!(plugin.keys().count(), 0);
}

#[test]
fn a_missing_grant_stops_the_plugin() {
    let mut plugin = Harness::new(typed(keep_orders)).grant(&["SomethingElse"]);
    assert_eq!(plugin.handle(placed("1", 1)).unwrap_err().verdict(), Verdict::Stop);
}

#[test]
fn settings_are_read_at_the_start() {
    #[derive(Default)]
    struct Limited {
        limit_cents: u64,
    }
    impl Subscriber for Limited {
        fn start(&mut self, config: Config) -> Outcome {
            self.limit_cents = config.require("limit_cents")?;
            Ok(())
        }
        fn handle(&mut self, _: &Event, ctx: &mut Context) -> Outcome {
            Ok(ctx.state().set_count("limit", self.limit_cents)?)
        }
    }
    let mut plugin = Harness::new(Limited::default()).config("limit_cents", 500);
    plugin.handle(placed("1", 1)).unwrap();
    assert_eq!(plugin.state_json::<u64>("limit"), Some(500));
    let failure = Harness::new(Limited::default()).handle(placed("1", 1)).unwrap_err();
    assert_eq!(failure.verdict(), Verdict::Stop);
    assert!(failure.reason().contains("`limit_cents`"), "{failure}");
}

#[test]
fn a_scan_pages_through_everything_with_the_prefix() {
    fn fill_and_scan(_: &Event, ctx: &mut Context) -> Outcome {
        for n in 0..600_u32 {
            ctx.state().set_json(&format!("n/{n:03}"), &n)?;
        }
        ctx.state().set("o", b"beyond the prefix")?;
        let numbers = ctx.state().scan_json::<u32>("n/").collect::<Result<Vec<_>, Error>>()?;
        assert!(numbers.iter().map(|(_, n)| *n).eq(0..600));
        let rest: Vec<_> = ctx.state().scan("n/").after("n/597").collect();
        assert_eq!(rest.len(), 2);
        assert_eq!(ctx.state().scan("p").count(), 0);
        Ok(())
    }
    Harness::new(fill_and_scan).handle(placed("1", 1)).unwrap();
}

#[test]
fn log_macros_format() {
    fn chat(event: &Event, _: &mut Context) -> Outcome {
        crate::info!("position {}", event.position());
        crate::log::warn("odd");
        Ok(())
    }
    let mut plugin = Harness::new(chat);
    plugin.handle(placed("1", 1)).unwrap();
    assert_eq!(plugin.log_lines(), [(Level::Info, "position 1".to_owned()), (Level::Warn, "odd".to_owned())]);
}

#[test]
fn state_that_another_version_wrote_stops_the_plugin() {
    fn read(_: &Event, ctx: &mut Context) -> Outcome {
        State::set(ctx.state(), "order/1", b"not json")?;
        ctx.state().get_json::<Order>("order/1")?;
        Ok(())
    }
    assert_eq!(Harness::new(read).handle(placed("1", 1)).unwrap_err().verdict(), Verdict::Stop);
}

#[test]
fn commands_that_are_sent_are_seen_of_the_last_call_if_it_did_not_fail() {
    fn handle(event: &Event, ctx: &mut Context) -> Outcome {
        let amount: u64 = event.json()?;
        ctx.dispatch(NewCommand::json("account", "7", "Deposit", &amount))?;
        if amount == 0 { Err(Failure::reject("nothing is paid")) } else { Ok(()) }
    }
    let mut plugin = Harness::new(handle).grant_dispatch(&["account:*"]);
    plugin.handle(Given::json("Paid", &5)).unwrap();
    let [sent] = plugin.dispatched() else { panic!("one: {:?}", plugin.dispatched()) };
    assert_eq!((&*sent.id, &*sent.aggregate, &*sent.key), ("plugin/1/0", "account", "7"));
    assert_eq!((&*sent.command_type, sent.json::<u64>()), ("Deposit", 5));
    plugin.handle(Given::json("Paid", &0)).unwrap_err();
    assert_eq!(plugin.dispatched(), []);
    plugin.handle(Given::json("Paid", &6)).unwrap();
    assert_eq!(plugin.dispatched().len(), 1);
    let failure = Harness::new(handle).grant_dispatch(&["order:*"]).handle(Given::json("Paid", &5)).unwrap_err();
    assert!(failure.reason().contains("account:Deposit is not granted"), "{failure}");
}
