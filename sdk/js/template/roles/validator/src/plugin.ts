// Refuses orders above a limit, before they are decided.

import { check, config, validates, whole } from "tidemill-sdk";

// It sees the command and its configuration, nothing else. What it says is told to who sent the command; data of another
// shape are refused by themselves.
const place = check({ total_cents: whole }, ({ total_cents }) => {
  const most = config.number("cents_max", 1_000_000);
  return total_cents > most ? [{ path: "/total_cents", code: "too-large", message: `at most ${most} cents` }] : [];
});

export const { validator } = validates({ Place: place });
