// Totals per customer: what they ordered, and when they become a VIP.

import { config, invalid, log, on, plugin, type Query, reject, retry, state, text, whole } from "tidemill-sdk";

interface Totals {
  orders: number;
  cents: number;
  vip: boolean;
}

const NO_TOTALS: Totals = { orders: 0, cents: 0, vip: false };
const orderKey = (customer: string, order: string) => `order/${customer}/${order}`;
const customerKey = (customer: string) => `customer/${customer}`;

const placed = on({ order: text, customer: text, total_cents: whole }, ({ order, customer, total_cents }, ctx) => {
  if (config.text("hold_customer") === customer) throw retry(`customer ${customer} is on hold`);
  const vipCents = config.number("vip_cents", 100_000);
  state.set(orderKey(customer, order), total_cents);
  const before = state.get<Totals>(customerKey(customer)) ?? NO_TOTALS;
  const cents = before.cents + total_cents;
  const vip = before.vip || cents >= vipCents;
  state.set(customerKey(customer), { orders: before.orders + 1, cents, vip });
  if (vip && !before.vip) {
    log.info(`customer ${customer} is a VIP`);
    ctx.append({
      type: "CustomerGotVip",
      stream: `customer-${customer}`,
      tags: [`customer:${customer}`],
      data: { customer, total_cents: cents },
    });
  }
});

const cancelled = on({ order: text, customer: text }, ({ order, customer }) => {
  const key = orderKey(customer, order);
  const total_cents = state.get<number>(key);
  if (total_cents === undefined) throw reject(`customer ${customer} has no order ${order}`);
  state.delete(key);
  state.update(customerKey(customer), NO_TOTALS, ({ orders, cents, vip }) => ({
    orders: orders - 1,
    cents: cents - total_cents,
    vip,
  }));
});

const left = on({ customer: text }, ({ customer }) => {
  for (const [key] of state.scan(orderKey(customer, ""))) state.delete(key);
  state.delete(customerKey(customer));
});

const customer = (query: Query) => {
  const customer = query.require("customer");
  const totals = state.get<Totals>(customerKey(customer));
  if (!totals) throw invalid(`there is no customer ${customer}`);
  const prefix = orderKey(customer, "");
  const standing = [...state.scan(prefix)].map(([key]) => key.slice(prefix.length));
  return { customer, ...totals, standing };
};

export const { subscriber, projection, description } = plugin(
  {
    name: "order-totals",
    summary: "Totals per customer, and who becomes a VIP.",
    append: ["CustomerGotVip"],
    stateSchema: 1,
  },
  { OrderPlaced: placed, OrderCancelled: cancelled, CustomerLeft: left },
  { customer },
);
