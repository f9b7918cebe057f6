// JSON for the host: what it cannot hold is a mistake, and is never written as something else.

import { isLate } from "./answered";

/** `what` as JSON. Throws a `TypeError` for what is none, and for numbers that JSON writes as `null`. */
export function toJson(what: string, value: unknown): string {
  if (isLate(value)) throw new TypeError(`${what} cannot be written as JSON: it is a promise, which nobody waits for`);
  const json = JSON.stringify(value);
  if (json === undefined) throw new TypeError(`${what} cannot be written as JSON`);
  // Only then may there be such a number: others pay nothing for it.
  if (json.includes("null")) JSON.stringify(value, (key, part) => finite(what, key, part));
  return json;
}

function finite(what: string, key: string, value: unknown): unknown {
  if (typeof value !== "number" || Number.isFinite(value)) return value;
  throw new TypeError(`${what} cannot be written as JSON: ${key === "" ? "it" : `\`${key}\``} is ${value}`);
}
