// Accounts: what the literature's example of an aggregate comes to.

import { decider, flag, nullable, rejection, text, whole } from "tidemill-sdk";

interface Account {
  /** Whose it is; none before it is opened. */
  owner: string | null;
  balance_cents: number;
  closed: boolean;
}

/** An open account; says why it is none. */
function usable(account: Account): Account {
  if (account.owner === null) throw rejection("NotOpen", "the account is not open");
  if (account.closed) throw rejection("Closed", "the account is closed");
  return account;
}

const badAmount = () => rejection("BadAmount", "the amount is nothing, or too much");

export const { aggregate, description } = decider({
  name: "account",
  summary: "Accounts: open, deposit, withdraw, close; never below zero.",

  events: {
    AccountOpened: { owner: text },
    MoneyDeposited: { cents: whole },
    MoneyWithdrawn: { cents: whole },
    AccountClosed: {},
  },
  commands: {
    Open: { owner: text },
    Deposit: { cents: whole },
    Withdraw: { cents: whole },
    Close: {},
  },

  state: { owner: nullable(text), balance_cents: whole, closed: flag },
  fresh: (): Account => ({ owner: null, balance_cents: 0, closed: false }),

  apply(account, event) {
    switch (event.type) {
      case "AccountOpened":
        return { ...account, owner: event.data.owner };
      case "MoneyDeposited":
        return { ...account, balance_cents: account.balance_cents + event.data.cents };
      case "MoneyWithdrawn":
        return { ...account, balance_cents: account.balance_cents - event.data.cents };
      case "AccountClosed":
        return { ...account, closed: true };
    }
  },

  decide(account, command) {
    switch (command.type) {
      case "Open": {
        if (account.owner !== null) throw rejection("AlreadyOpen", "the account is open already");
        return [{ type: "AccountOpened", data: { owner: command.data.owner } }];
      }
      case "Deposit": {
        const { cents } = command.data;
        const { balance_cents } = usable(account);
        if (cents === 0 || !Number.isSafeInteger(balance_cents + cents)) throw badAmount();
        return [{ type: "MoneyDeposited", data: { cents } }];
      }
      case "Withdraw": {
        const { cents } = command.data;
        const { balance_cents } = usable(account);
        if (cents === 0) throw badAmount();
        if (cents > balance_cents) {
          throw rejection("InsufficientFunds", `only ${balance_cents} cents are on the account`, { balance_cents });
        }
        return [{ type: "MoneyWithdrawn", data: { cents } }];
      }
      case "Close": {
        if (account.closed) return [];
        const { balance_cents } = usable(account);
        if (balance_cents > 0) {
          throw rejection("NotEmpty", `${balance_cents} cents are still on the account`, { balance_cents });
        }
        return [{ type: "AccountClosed" }];
      }
    }
  },
});
