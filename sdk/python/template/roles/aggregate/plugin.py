"""Decides commands to orders: each is placed once, and may be cancelled."""

from dataclasses import dataclass

from tidemill import Asked, Decider, Rejection


@dataclass
class Place:
    total_cents: int

    def __post_init__(self):
        if self.total_cents < 0:
            raise ValueError(f"total_cents is {self.total_cents}")


@dataclass
class Cancel:
    pass


@dataclass
class OrderPlaced:
    total_cents: int


@dataclass
class OrderCancelled:
    pass


@dataclass
class Order:
    """One order: what its events make of it. It is kept as a snapshot, as JSON."""

    placed: bool = False
    cancelled: bool = False
    total_cents: int = 0

    def apply(self, event):
        """It has happened: there is no refusing it here."""
        match event:
            case OrderPlaced(total_cents):
                self.placed, self.cancelled, self.total_cents = True, False, total_cents
            case OrderCancelled():
                self.cancelled = True

    def decide(self, command, asked: Asked):
        """Changes nothing: what follows is applied when it is stored."""
        match command:
            case Place(_) if self.placed:
                raise Rejection("PlacedAlready", "the order was placed already")
            case Place(0):
                raise Rejection("TooSmall", "an order comes to at least 1 cents", least_cents=1)
            case Place(total_cents):
                return [OrderPlaced(total_cents)]
            case Cancel() if not self.placed:
                raise Rejection("NotPlaced", "there is no such order")
            case Cancel() if self.cancelled:
                return []
            case Cancel():
                return [OrderCancelled()]


Aggregate, Description = Decider(
    Order,
    name="{{name}}",
    version="0.1.0",
    summary="{{about}}",
    commands=(Place, Cancel),
    events=(OrderPlaced, OrderCancelled),
).exports()
