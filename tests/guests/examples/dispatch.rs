//! Sends a `Deposit` of one cent to the account that its configuration names, for each event; a `denied` event sends what
//! is not granted, and keeps what it is told in its state.

use serde_json::json;
use tidemill_sdk::{Context, Error, Event, NewCommand, Outcome, export};

fn handle(event: &Event<'_>, ctx: &mut Context) -> Outcome {
    let account: String = ctx.config().get_or("account", "7".to_owned())?;
    if event.event_type() == "denied" {
        let told = match ctx.dispatch(NewCommand::json("account", account, "Close", &())) {
            Err(Error::Denied(told)) => told,
            other => format!("{other:?}"),
        };
        ctx.state().set("told", told.as_bytes())?;
        return Ok(());
    }
    let id = ctx.dispatch(NewCommand::json("account", account, "Deposit", &json!({ "cents": 1 })))?;
    ctx.state().set("last", id.as_bytes())?;
    Ok(())
}

export!(handle, types = ["Tick", "denied"], dispatch = ["account:Deposit"]);
