//! What narrowed keys are told of commands.

use super::access::{Guarded, SHOP, TYPES};
use super::*;
use crate::command::{
    AggregateCode, AggregateHost, AggregatePolicy, AggregateSetup, Asked, Faulted, Handle, Misfit, Rejection, Stage,
};
use crate::delivery::{Evidence, Fault, Permit};
use crate::event::{Category, EventType, NewEvent, Pattern, RecordedEvent};

/// Decides on an event of the command's type, but for some commands.
struct Orders;

impl AggregateCode for Orders {
    fn snapshot_schema(&self) -> u32 {
        1
    }

    fn host(&self) -> Box<dyn AggregateHost> {
        Box::new(Self)
    }
}

impl AggregateHost for Orders {
    fn make(&mut self, _: &str) -> Result<Handle, Faulted> {
        Ok(Handle(1))
    }

    fn restore(&mut self, _: &str, _: &[u8]) -> Result<Result<Handle, String>, Faulted> {
        Ok(Ok(Handle(1)))
    }

    fn apply(&mut self, _: Handle, _: &[RecordedEvent]) -> Result<Result<(), Misfit>, Faulted> {
        Ok(Ok(()))
    }

    fn decide(&mut self, _: Handle, asked: &Asked) -> Result<Result<Vec<NewEvent>, Rejection>, Faulted> {
        Ok(match asked.command_type.as_str() {
            "Refuse" => Err(Rejection { code: "No".into(), reason: "not now".into(), details: None }),
            "Trap" => {
                let evidence = Evidence { stderr_tail: "42 cents".into(), backtrace: "here".into() };
                let (fault, reason) = (Fault::Trap, "42 cents are missing".to_owned());
                return Err(Faulted { stage: Stage::Decide, fault, reason, evidence });
            }
            name => Ok(vec![NewEvent::json(EventType::new(name).unwrap(), "1")]),
        })
    }

    fn snapshot(&mut self, _: Handle) -> Result<Option<Vec<u8>>, Faulted> {
        Ok(None)
    }

    fn forget(&mut self, _: Handle) -> Result<(), Faulted> {
        Ok(())
    }

    fn is_full(&self) -> bool {
        false
    }

    fn memory_bytes(&self) -> usize {
        0
    }
}

/// Who decides for orders.
pub(super) fn orders() -> AggregateSetup {
    AggregateSetup {
        plugin: PluginName::new("orders").unwrap(),
        category: Category::new("order").unwrap(),
        digest: String::new(),
        append: Permit::of([Pattern::all()]),
        chain: Arc::default(),
        code: Arc::new(Orders),
        policy: AggregatePolicy::default(),
    }
}

/// A key of all of an order's types, and one of some.
#[tokio::test]
async fn a_key_that_reads_some_types_learns_of_commands_what_those_tell() {
    let guarded = Guarded::new().await;
    guarded.api.state.commands().claims().claim(orders()).unwrap();
    let send = async |key: u8, id: &str, what: &str| {
        let body = json!({ "id": id, "type": what });
        guarded.json(key, "POST", "/v1/commands/order/7", &body).await
    };
    assert_eq!(send(SHOP, "placed", "OrderPlaced").await.0, 201);
    assert_eq!(send(SHOP, "paid", "Paid").await.0, 201);
    assert_eq!(send(SHOP, "refused", "Refuse").await.0, 422);
    for (id, of_types) in [("placed", 200), ("paid", 404), ("refused", 404)] {
        let path = format!("/v1/commands/{id}");
        assert_eq!((guarded.get(SHOP, &path).await.0, guarded.get(TYPES, &path).await.0), (200, of_types), "{id}");
    }
    assert_eq!(send(TYPES, "paid", "Paid").await.0, 403, "whoever sent it before, it may not append that");
    assert_eq!(send(TYPES, "placed", "OrderPlaced").await.0, 200);
    let _task = guarded.api.state.commands().work(async {});
    let late = json!({ "id": "off", "type": "OrderPlaced", "expected": 99 });
    assert_eq!(guarded.json(SHOP, "POST", "/v1/commands/order/7?wait=false", &late).await.0, 202);
    let given_up = loop {
        let (_, told) = guarded.get(SHOP, "/v1/commands/off").await;
        if told["outcome"] == "failed" {
            break told;
        }
        tokio::task::yield_now().await;
    };
    assert!(given_up["failure"]["reason"].as_str().unwrap().contains("99"), "{given_up}");
    let (status, told) = guarded.get(TYPES, "/v1/commands/off").await;
    assert_eq!((status, &told["failure"]["kind"]), (200, &json!("wrong-expected-version")));
    assert!(told["failure"]["reason"].as_str().unwrap().contains("may read all of the stream"), "{told}");
    for how in ["", "?wait=false"] {
        let path = format!("/v1/commands/order/7{how}");
        let (status, again) = guarded.json(SHOP, "POST", &path, &late).await;
        assert_eq!((status, &again["type"]), (409, &json!("urn:tidemill:problem:given-up")), "{again}");
        let placed = json!({ "id": "placed", "type": "OrderPlaced" });
        assert_eq!(guarded.json(SHOP, "POST", &path, &placed).await.0, 200, "its outcome is told");
    }
    let (status, told) = send(SHOP, "trapped", "Trap").await;
    assert_eq!((status, &told["evidence"]["stderr_tail"]), (500, &json!("42 cents")));
    let (status, told) = send(TYPES, "trapped", "Trap").await;
    assert_eq!((status, &told["fault"]), (500, &json!("trap")));
    assert!(!told.to_string().contains("42") && told.to_string().contains("may read all of the stream"), "{told}");
}
