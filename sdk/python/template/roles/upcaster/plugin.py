"""Lifts `PriceSet` from schema version 1, with a price in whole euros, to version 2, in cents."""

from dataclasses import dataclass

from tidemill import Lifts, Reject

lifts = Lifts()


@dataclass
class Before:
    """What version 1 held."""

    product: str
    price: int


@dataclass
class After:
    """What version 2 holds."""

    product: str
    price_cents: int


@lifts.lift("PriceSet", 1, Before)
def cents(before: Before) -> After:
    # `Reject` is a fault of that event: it is set aside, never handed over as it is.
    if before.price < 0:
        raise Reject(f"price is {before.price}")
    return After(before.product, before.price * 100)


Upcaster = lifts.exports()
