// Text for the host. It takes UTF-8: anything else would end the engine, without a line of the plugin.

/** What the engine has of ES2024. */
interface WellFormed {
  isWellFormed(): boolean;
  toWellFormed(): string;
}

/** A text that the host goes by, such as a key. Throws a `TypeError` when it is none, or has half a character. */
export function textOf(what: string, value: unknown): string {
  if (typeof value !== "string") throw new TypeError(`${what}: expected text, but it is ${shown(value)}`);
  if (!(value as unknown as WellFormed).isWellFormed()) {
    throw new TypeError(`${what}: ${JSON.stringify(value)} has half a character: cut text by \`[...text]\``);
  }
  return value;
}

/** The same, of what may be left out. */
export function textOrNone(what: string, value: unknown): string | null {
  return value === undefined || value === null ? null : textOf(what, value);
}

/** The same, of labels by their names. */
export function pairsOf(what: string, labels?: Record<string, string> | null): [string, string][] {
  return Object.entries(labels ?? {}).map(([key, value]) => [
    textOf(`a key of ${what}`, key),
    textOf(`\`${key}\` of ${what}`, value),
  ]);
}

/** Any value as text for people: an object as JSON, half a character as U+FFFD. */
export function shown(value: unknown): string {
  return (spelt(value) as unknown as WellFormed).toWellFormed();
}

function spelt(value: unknown): string {
  if (typeof value !== "object" || value === null || value instanceof Error) return String(value);
  try {
    return JSON.stringify(value) ?? Object.prototype.toString.call(value);
  } catch {
    return Object.prototype.toString.call(value);
  }
}
