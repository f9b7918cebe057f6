"""Totals per customer: what they ordered, and when they become a VIP."""

from dataclasses import dataclass

from tidemill import Context, Invalid, Plugin, Query, Reject, Retry, config, log, state

plugin = Plugin(
    "order-totals",
    summary="Totals per customer, and who becomes a VIP.",
    append=("CustomerGotVip",),
    state_schema=1,
)


@dataclass
class OrderPlaced:
    order: str
    customer: str
    total_cents: int

    def __post_init__(self):
        if self.total_cents < 0:
            raise ValueError(f"total_cents is {self.total_cents}")


@dataclass
class OrderCancelled:
    order: str
    customer: str


@dataclass
class CustomerLeft:
    customer: str


def order_key(customer: str, order: str) -> str:
    return f"order/{customer}/{order}"


def customer_key(customer: str) -> str:
    return f"customer/{customer}"


def totals_of(customer: str) -> dict:
    return state.get(customer_key(customer), {"orders": 0, "cents": 0, "vip": False})


@plugin.on(OrderPlaced)
def placed(event: OrderPlaced, ctx: Context):
    if config.text("hold_customer") == event.customer:
        raise Retry(f"customer {event.customer} is on hold")
    vip_cents = config.integer("vip_cents", 100_000)
    state.set(order_key(event.customer, event.order), event.total_cents)
    totals = totals_of(event.customer)
    totals["orders"] += 1
    totals["cents"] += event.total_cents
    got_vip = not totals["vip"] and totals["cents"] >= vip_cents
    totals["vip"] |= got_vip
    state.set(customer_key(event.customer), totals)
    if got_vip:
        log.info(f"customer {event.customer} is a VIP")
        ctx.append(
            "CustomerGotVip",
            {"customer": event.customer, "total_cents": totals["cents"]},
            stream=f"customer-{event.customer}",
            tags=[f"customer:{event.customer}"],
        )


@plugin.on(OrderCancelled)
def cancelled(event: OrderCancelled, ctx: Context):
    key = order_key(event.customer, event.order)
    total_cents = state.get(key)
    if total_cents is None:
        raise Reject(f"customer {event.customer} has no order {event.order}")
    state.delete(key)
    totals = totals_of(event.customer)
    totals["orders"] -= 1
    totals["cents"] -= total_cents
    state.set(customer_key(event.customer), totals)


@plugin.on(CustomerLeft)
def left(event: CustomerLeft, ctx: Context):
    for key, _ in state.scan(order_key(event.customer, "")):
        state.delete(key)
    state.delete(customer_key(event.customer))


@plugin.query("customer")
def customer(query: Query):
    name = query.require("customer")
    totals = state.get(customer_key(name))
    if totals is None:
        raise Invalid(f"there is no customer {name}")
    prefix = order_key(name, "")
    standing = [key.removeprefix(prefix) for key, _ in state.scan(prefix)]
    return {"customer": name, **totals, "standing": standing}


Subscriber, Projection, Description = plugin.exports()
