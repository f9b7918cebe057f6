//! Accounts: what the literature's example of an aggregate comes to.

use std::fmt;

use serde::{Deserialize, Serialize};
use tidemill_sdk::{Aggregate, Asked, export_aggregate};

/// What can be asked of an account.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub enum Command {
    /// Open it.
    Open {
        /// Whose it is.
        owner: String,
    },
    /// Pay in.
    Deposit {
        /// How much, at least 1.
        cents: u64,
    },
    /// Pay out, if there is enough.
    Withdraw {
        /// How much, at least 1.
        cents: u64,
    },
    /// Close it, if it is empty; closing it again does nothing.
    Close,
}

/// What can happen to an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountEvent {
    /// It was opened.
    AccountOpened {
        /// Whose it is.
        owner: String,
    },
    /// Somebody paid in.
    MoneyDeposited {
        /// How much.
        cents: u64,
    },
    /// Somebody was paid out.
    MoneyWithdrawn {
        /// How much.
        cents: u64,
    },
    /// It was closed.
    AccountClosed,
}

/// Why nothing happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Refusal {
    /// There is no such account yet.
    NotOpen,
    /// There is one already.
    AlreadyOpen,
    /// It is closed for good.
    Closed,
    /// There is not enough on it.
    InsufficientFunds {
        /// What is there.
        balance_cents: u64,
    },
    /// There is money left on it.
    NotEmpty {
        /// What is there.
        balance_cents: u64,
    },
    /// An amount of nothing, or more than can be counted.
    BadAmount,
}

/// An account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Whose it is; none before it is opened.
    pub owner: Option<String>,
    /// What is on it.
    pub balance_cents: u64,
    /// Whether it is closed.
    pub closed: bool,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOpen => f.write_str("the account is not open"),
            Self::AlreadyOpen => f.write_str("the account is open already"),
            Self::Closed => f.write_str("the account is closed"),
            Self::InsufficientFunds { balance_cents } => write!(f, "only {balance_cents} cents are on the account"),
            Self::NotEmpty { balance_cents } => write!(f, "{balance_cents} cents are still on the account"),
            Self::BadAmount => f.write_str("the amount is nothing, or too much"),
        }
    }
}

impl Account {
    fn usable(&self) -> Result<(), Refusal> {
        match self {
            Self { owner: None, .. } => Err(Refusal::NotOpen),
            Self { closed: true, .. } => Err(Refusal::Closed),
            Self { .. } => Ok(()),
        }
    }
}

impl Aggregate for Account {
    type Command = Command;
    type Event = AccountEvent;
    type Rejection = Refusal;

    fn new(_id: &str) -> Self {
        Self::default()
    }

    fn apply(&mut self, event: AccountEvent) {
        match event {
            AccountEvent::AccountOpened { owner } => self.owner = Some(owner),
            AccountEvent::MoneyDeposited { cents } => self.balance_cents += cents,
            AccountEvent::MoneyWithdrawn { cents } => self.balance_cents -= cents,
            AccountEvent::AccountClosed => self.closed = true,
        }
    }

    fn decide(&self, command: Command, _asked: &Asked) -> Result<Vec<AccountEvent>, Refusal> {
        let event = match command {
            Command::Open { .. } if self.owner.is_some() => return Err(Refusal::AlreadyOpen),
            Command::Open { owner } => AccountEvent::AccountOpened { owner },
            Command::Close if self.closed => return Ok(Vec::new()),
            other => {
                self.usable()?;
                self.moved(&other)?
            }
        };
        Ok(vec![event])
    }
}

impl Account {
    /// What follows from a command to an account that is open.
    fn moved(&self, command: &Command) -> Result<AccountEvent, Refusal> {
        let balance_cents = self.balance_cents;
        match *command {
            Command::Deposit { cents } if cents == 0 || balance_cents.checked_add(cents).is_none() => {
                Err(Refusal::BadAmount)
            }
            Command::Deposit { cents } => Ok(AccountEvent::MoneyDeposited { cents }),
            Command::Withdraw { cents: 0 } => Err(Refusal::BadAmount),
            Command::Withdraw { cents } if cents > balance_cents => Err(Refusal::InsufficientFunds { balance_cents }),
            Command::Withdraw { cents } => Ok(AccountEvent::MoneyWithdrawn { cents }),
            Command::Close if balance_cents > 0 => Err(Refusal::NotEmpty { balance_cents }),
            Command::Close => Ok(AccountEvent::AccountClosed),
            Command::Open { .. } => Err(Refusal::AlreadyOpen),
        }
    }
}

export_aggregate!(Account, name = "account");

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tidemill_sdk::testing::Decider;

    use super::*;

    fn account(balance_cents: u64) -> Decider<Account> {
        let opened = AccountEvent::AccountOpened { owner: "ada".into() };
        let paid = (balance_cents > 0).then_some(AccountEvent::MoneyDeposited { cents: balance_cents });
        Decider::new("7").given([opened].into_iter().chain(paid))
    }

    fn code(answer: Result<Vec<(String, Value)>, (String, String)>) -> String {
        answer.expect_err("it is refused").0
    }

    #[test]
    fn money_comes_and_goes_and_never_below_zero() {
        let mut account = account(500);
        let paid = account.when("Withdraw", &json!({ "cents": 200 }));
        assert_eq!(paid, Ok(vec![("MoneyWithdrawn".into(), json!({ "cents": 200 }))]));
        let (code, reason) = account.when("Withdraw", &json!({ "cents": 301 })).unwrap_err();
        assert_eq!((code.as_str(), reason.as_str()), ("InsufficientFunds", "only 300 cents are on the account"));
        assert_eq!(account.state().balance_cents, 300);
    }

    #[test]
    fn an_account_is_opened_once_and_closed_when_it_is_empty() {
        let mut fresh = Decider::<Account>::new("7");
        assert_eq!(code(fresh.when("Deposit", &json!({ "cents": 1 }))), "NotOpen");
        fresh.when("Open", &json!({ "owner": "ada" })).unwrap();
        assert_eq!(code(fresh.when("Open", &json!({ "owner": "bob" }))), "AlreadyOpen");
        fresh.when("Deposit", &json!({ "cents": 1 })).unwrap();
        assert_eq!(code(fresh.when("Close", &Value::Null)), "NotEmpty");
        fresh.when("Withdraw", &json!({ "cents": 1 })).unwrap();
        assert_eq!(fresh.when("Close", &Value::Null), Ok(vec![("AccountClosed".into(), Value::Null)]));
        assert_eq!(fresh.when("Close", &Value::Null), Ok(Vec::new()), "nothing is left to do");
        assert_eq!(code(fresh.when("Deposit", &json!({ "cents": 1 }))), "Closed");
    }

    #[test]
    fn what_is_no_amount_or_no_command_is_refused() {
        let mut account = account(1);
        for (command, data) in [("Deposit", json!({ "cents": 0 })), ("Deposit", json!({ "cents": u64::MAX }))] {
            assert_eq!(code(account.when(command, &data)), "BadAmount");
        }
        for (command, data) in [("Deposit", json!({ "cents": -1 })), ("Steal", json!({})), ("Withdraw", Value::Null)] {
            assert_eq!(code(account.when(command, &data)), "InvalidCommand");
        }
    }
}
