// What is to become of an event that was not handled.

import { shown } from "./text";

/** As `verdict` of the contract. */
export type Verdict = { tag: "retry"; val: number | null } | { tag: "reject" } | { tag: "stop" };

/** Thrown by a handler: why its event was not handled, and what is to become of it. */
export class Failure extends Error {
  constructor(
    readonly verdict: Verdict,
    reason: string,
  ) {
    super(shown(reason));
    this.name = "Failure";
  }
}

/** The event is bad and always will be: it becomes a dead letter at once. */
export function reject(reason: string): Failure {
  return new Failure({ tag: "reject" }, reason);
}

/** The world is not ready: try again, after so many milliseconds or by the manifest's backoff. */
export function retry(reason: string, afterMs: number | null = null): Failure {
  return new Failure({ tag: "retry", val: afterMs }, reason);
}

/** The plugin must not go on: it stops before this event until an operator acts. */
export function stop(reason: string): Failure {
  return new Failure({ tag: "stop" }, reason);
}

/** Verdicts for what the host refuses, by the case of its `host-error`. */
function ofHostError(tag: string, text: string): Failure {
  switch (tag) {
    case "invalid":
      return reject(text); // comes from this event's data, and will come again
    case "denied":
      return stop(text); // installed wrongly: the events are not to blame
    default:
      return retry(text); // may pass
  }
}

/**
 * Any thrown value as a failure. A mistake in the handler is a retry: after a few attempts the event is set
 * aside with the reason and the stack, and the instance lives on.
 */
export function toFailure(thrown: unknown): Failure {
  if (thrown instanceof Failure) return thrown;
  if (!(thrown instanceof Error)) return retry(`thrown: ${shown(thrown)}`);
  const payload = (thrown as { payload?: { tag?: unknown; val?: unknown } }).payload;
  if (payload && typeof payload.tag === "string") return ofHostError(payload.tag, String(payload.val));
  return retry(`${thrown.name}: ${thrown.message}\n${thrown.stack ?? ""}`.trimEnd());
}
