"""Accounts: what the literature's example of an aggregate comes to."""

from dataclasses import dataclass

from tidemill import Asked, Decider, Rejection

CENTS_MAX = 2**64 - 1
"""Most that can be counted."""


@dataclass
class Open:
    owner: str


@dataclass
class Amount:
    cents: int

    def __post_init__(self):
        if self.cents < 0:
            raise ValueError(f"cents is {self.cents}")


class Deposit(Amount):
    pass


class Withdraw(Amount):
    pass


@dataclass
class Close:
    pass


@dataclass
class AccountOpened:
    owner: str


@dataclass
class MoneyDeposited:
    cents: int


@dataclass
class MoneyWithdrawn:
    cents: int


@dataclass
class AccountClosed:
    pass


@dataclass
class Account:
    owner: str | None = None
    """Whose it is; none before it is opened."""
    balance_cents: int = 0
    closed: bool = False

    def apply(self, event):
        match event:
            case AccountOpened(owner):
                self.owner = owner
            case MoneyDeposited(cents):
                self.balance_cents += cents
            case MoneyWithdrawn(cents):
                self.balance_cents -= cents
            case AccountClosed():
                self.closed = True

    def decide(self, command, asked: Asked):
        match command:
            case Open(owner):
                if self.owner is not None:
                    raise Rejection("AlreadyOpen", "the account is open already")
                return [AccountOpened(owner)]
            case Close() if self.closed:
                return []
        self.check_usable()
        balance_cents = self.balance_cents
        match command:
            case Deposit(cents):
                if cents == 0 or balance_cents + cents > CENTS_MAX:
                    raise bad_amount()
                return [MoneyDeposited(cents)]
            case Withdraw(cents):
                if cents == 0:
                    raise bad_amount()
                if cents > balance_cents:
                    reason = f"only {balance_cents} cents are on the account"
                    raise Rejection("InsufficientFunds", reason, balance_cents=balance_cents)
                return [MoneyWithdrawn(cents)]
            case Close():
                if balance_cents > 0:
                    reason = f"{balance_cents} cents are still on the account"
                    raise Rejection("NotEmpty", reason, balance_cents=balance_cents)
                return [AccountClosed()]

    def check_usable(self):
        if self.owner is None:
            raise Rejection("NotOpen", "the account is not open")
        if self.closed:
            raise Rejection("Closed", "the account is closed")


def bad_amount() -> Rejection:
    return Rejection("BadAmount", "the amount is nothing, or too much")


Aggregate, Description = Decider(
    Account,
    name="account",
    summary="Accounts: open, deposit, withdraw, close; never below zero.",
    commands=(Open, Deposit, Withdraw, Close),
    events=(AccountOpened, MoneyDeposited, MoneyWithdrawn, AccountClosed),
).exports()
