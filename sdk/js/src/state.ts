// The plugin's own durable key-value state.

import * as host from "tidemill:plugin/state@0.1.1";
import { answered } from "./answered";
import { stop } from "./failure";
import { toJson } from "./json";
import { shown, textOf, textOrNone } from "./text";
import { decodeUtf8, encodeUtf8 } from "./utf8";

/** Entries asked for at a time while scanning. */
const SCAN_PAGE_ENTRIES = 256;

const keyOf = (key: string) => textOf("state key", key);

function parse<T>(key: string, bytes: Uint8Array): T {
  try {
    return JSON.parse(decodeUtf8(bytes)) as T;
  } catch (error) {
    throw stop(`state under \`${key}\` is not as this version expects: ${String(error)}`);
  }
}

/**
 * Reads see what is committed and this batch's own writes; writes commit together with the checkpoint.
 * Keys are text of 1 to 1,024 bytes in the order of their UTF-8 bytes; values at most 1 MiB, as JSON unless
 * the method says `bytes`.
 */
export const state = {
  /** The value under a key, or `undefined`. */
  get<T>(key: string): T | undefined {
    const bytes = host.get(keyOf(key));
    return bytes === null ? undefined : parse<T>(key, bytes);
  },

  /** Sets the value under a key. */
  set(key: string, value: unknown): void {
    host.set(keyOf(key), encodeUtf8(toJson(`the value for \`${key}\``, value)));
  },

  /** Changes the value under a key, beginning with `initial` where there is none or `null`; answers what it is then. */
  update<T>(key: string, initial: T, change: (value: T) => T): T {
    const value = answered(`the change of \`${key}\``, change(state.get<T>(key) ?? initial));
    state.set(key, value);
    return value;
  },

  /** Removes a key; one that is not there is fine. */
  delete(key: string): void {
    host.delete(keyOf(key));
  },

  /** The bytes under a key, or `undefined`. */
  getBytes(key: string): Uint8Array | undefined {
    return host.get(keyOf(key)) ?? undefined;
  },

  /** Sets the bytes under a key. */
  setBytes(key: string, value: Uint8Array): void {
    if (!(value instanceof Uint8Array)) {
      throw new TypeError(`the value for \`${key}\`: expected bytes, but it is ${shown(value)}`);
    }
    host.set(keyOf(key), value);
  },

  /** The entries whose key begins with `prefix`, in key order, strictly after `after` if given; page by page. */
  *scan<T>(prefix: string, after: string | null = null): Generator<[key: string, value: T]> {
    for (const [key, bytes] of state.scanBytes(prefix, after)) yield [key, parse<T>(key, bytes)];
  },

  /** The same, with the bytes. */
  *scanBytes(prefix: string, after: string | null = null): Generator<[key: string, bytes: Uint8Array]> {
    const of = textOf("state prefix", prefix);
    let next = textOrNone("state key to scan after", after);
    do {
      const page: ReturnType<typeof host.scan> = host.scan(of, next, SCAN_PAGE_ENTRIES);
      for (const entry of page.entries) yield [entry.key, entry.value];
      next = page.next;
    } while (next !== null);
  },
};
