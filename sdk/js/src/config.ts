// The `[config]` table of the plugin's manifest. It does not change while an instance lives.

import { get as read } from "tidemill:plugin/config@0.1.1";
import { type Failure, stop } from "./failure";
import { textOf } from "./text";

/** A setting that makes no sense stops the plugin: the events are not to blame. */
function unusable(key: string, value: string, wanted: string): Failure {
  return stop(`config key \`${key}\` of the manifest: \`${value}\` is not ${wanted}`);
}

const setting = (key: string) => read(textOf("config key", key));

export const config = {
  /** The text under a key, or `otherwise`. */
  text<T = undefined>(key: string, otherwise?: T): string | T {
    return setting(key) ?? (otherwise as T);
  },

  /** The number under a key, or `otherwise`. */
  number<T = undefined>(key: string, otherwise?: T): number | T {
    const value = setting(key);
    if (value === null) return otherwise as T;
    if (value.trim() === "" || !Number.isFinite(Number(value))) throw unusable(key, value, "a number");
    return Number(value);
  },

  /** `true` or `false` under a key, or `otherwise`. */
  flag<T = undefined>(key: string, otherwise?: T): boolean | T {
    const value = setting(key);
    if (value === null) return otherwise as T;
    if (value !== "true" && value !== "false") throw unusable(key, value, "true or false");
    return value === "true";
  },

  /** The array or table under a key, or `otherwise`. */
  json<T>(key: string, otherwise?: T): T {
    const value = setting(key);
    if (value === null) return otherwise as T;
    try {
      return JSON.parse(value) as T;
    } catch {
      throw unusable(key, value, "an array or a table");
    }
  },
};
