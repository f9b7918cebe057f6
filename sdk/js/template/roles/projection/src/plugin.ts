// Sums up orders, and answers queries about them.

import { invalid, on, plugin, type Query, state, text, whole } from "tidemill-sdk";

const placed = on({ order: text, total_cents: whole }, ({ order, total_cents }) => {
  state.set(`order/${order}`, total_cents);
  state.update("orders", 0, (orders) => orders + 1);
  state.update("cents", 0, (cents) => cents + total_cents);
});

// Queries read the state as of one moment; what they try to change is denied.
const totals = () => ({ orders: state.get<number>("orders") ?? 0, cents: state.get<number>("cents") ?? 0 });

const order = (query: Query) => {
  const order = query.require("order");
  const total_cents = state.get<number>(`order/${order}`);
  if (total_cents === undefined) throw invalid(`there is no order ${order}`);
  return { order, total_cents };
};

export const { subscriber, projection, description } = plugin(
  { name: "{{name}}", version: "0.1.0", summary: "{{about}}" },
  { OrderPlaced: placed },
  { totals, order },
);
