"""Sums up orders, and answers queries about them."""

from dataclasses import dataclass

from tidemill import Context, Invalid, Plugin, Query, state

plugin = Plugin("{{name}}", version="0.1.0", summary="{{about}}")


@dataclass
class OrderPlaced:
    order: str
    total_cents: int


@plugin.on(OrderPlaced)
def placed(event: OrderPlaced, ctx: Context):
    state.set(f"order/{event.order}", event.total_cents)
    state.set("orders", state.get("orders", 0) + 1)
    state.set("cents", state.get("cents", 0) + event.total_cents)


# Queries read the state as of one moment; what they try to change is denied.
@plugin.query("totals")
def totals(query: Query):
    return {"orders": state.get("orders", 0), "cents": state.get("cents", 0)}


@plugin.query("order")
def order(query: Query):
    order = query.require("order")
    total_cents = state.get(f"order/{order}")
    if total_cents is None:
        raise Invalid(f"there is no order {order}")
    return {"order": order, "total_cents": total_cents}


Subscriber, Projection, Description = plugin.exports()
