// Lifts `PriceSet` from schema version 1, with a price in whole euros, to version 2, in cents.

import { lift, reject, text, upcasts, whole } from "tidemill-sdk";

// What version 1 held, and what version 2 holds of it. `reject` is a fault of that event: it is set aside, never handed
// over as it is.
const cents = lift("PriceSet", 1, { product: text, price: whole }, ({ product, price }) => {
  const price_cents = price * 100;
  if (!Number.isSafeInteger(price_cents)) throw reject("the price is more than can be counted");
  return { product, price_cents };
});

export const { upcaster } = upcasts(cents);
