// Decides commands to orders: each is placed once, and may be cancelled.

import { decider, rejection, whole } from "tidemill-sdk";

/** One order: what its events make of it. It is kept as a snapshot, as JSON. */
interface Order {
  placed: boolean;
  cancelled: boolean;
  total_cents: number;
}

export const { aggregate, description } = decider({
  name: "{{name}}",
  version: "0.1.0",
  summary: "{{about}}",

  events: { OrderPlaced: { total_cents: whole }, OrderCancelled: {} },
  commands: { Place: { total_cents: whole }, Cancel: {} },

  fresh: (): Order => ({ placed: false, cancelled: false, total_cents: 0 }),

  // It has happened: there is no refusing it here.
  apply(order, event) {
    switch (event.type) {
      case "OrderPlaced":
        return { placed: true, cancelled: false, total_cents: event.data.total_cents };
      case "OrderCancelled":
        return { ...order, cancelled: true };
    }
  },

  // Changes nothing: what follows is applied when it is stored.
  decide(order, command) {
    switch (command.type) {
      case "Place": {
        const { total_cents } = command.data;
        if (order.placed) throw rejection("PlacedAlready", "the order was placed already");
        if (total_cents === 0) {
          throw rejection("TooSmall", "an order comes to at least 1 cents", { least_cents: 1 });
        }
        return [{ type: "OrderPlaced", data: { total_cents } }];
      }
      case "Cancel":
        if (!order.placed) throw rejection("NotPlaced", "there is no such order");
        return order.cancelled ? [] : [{ type: "OrderCancelled" }];
    }
  },
});
