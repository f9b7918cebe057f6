"""Points out big orders."""

from dataclasses import dataclass

from tidemill import Context, Plugin, config, state

plugin = Plugin("{{name}}", version="0.1.0", summary="Points out big orders.", append=("BigOrderSeen",))


@dataclass
class OrderPlaced:
    order: str
    total_cents: int


@plugin.on(OrderPlaced)
def placed(event: OrderPlaced, ctx: Context):
    if event.total_cents < config.integer("big_cents", 100_000):
        return
    nth = state.get("big_orders", 0) + 1
    state.set("big_orders", nth)
    ctx.append("BigOrderSeen", {"order": event.order, "nth": nth}, stream=f"order-{event.order}")


Subscriber, Description = plugin.exports()
