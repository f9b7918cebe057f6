// Points out big orders.

import { config, on, plugin, state, text, whole } from "tidemill-sdk";

const placed = on({ order: text, total_cents: whole }, ({ order, total_cents }, ctx) => {
  if (total_cents < config.number("big_cents", 100_000)) return;
  const nth = state.update("big_orders", 0, (count) => count + 1);
  ctx.append({ type: "BigOrderSeen", stream: `order-${order}`, data: { order, nth } });
});

export const { subscriber, description } = plugin(
  { name: "{{name}}", version: "0.1.0", summary: "Points out big orders.", append: ["BigOrderSeen"] },
  { OrderPlaced: placed },
);
