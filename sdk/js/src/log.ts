// Lines for the operator, written at once, also by attempts that fail.

import { log as write } from "tidemill:plugin/log@0.1.1";

/** One function for each level. */
export const log = {
  trace: (message: string) => write("trace", message),
  debug: (message: string) => write("debug", message),
  info: (message: string) => write("info", message),
  warn: (message: string) => write("warn", message),
  error: (message: string) => write("error", message),
};
