// Lines for the operator, written at once, also by attempts that fail.

import { log as write } from "tidemill:plugin/log@0.1.1";
import { shown } from "./text";

/** One function for each level. What is no text is written as such: an object as JSON. */
export const log = {
  trace: (message: unknown) => write("trace", shown(message)),
  debug: (message: unknown) => write("debug", shown(message)),
  info: (message: unknown) => write("info", shown(message)),
  warn: (message: unknown) => write("warn", shown(message)),
  error: (message: unknown) => write("error", shown(message)),
};
