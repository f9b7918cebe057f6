// What the plugin's functions answer. Each is called once and not awaited: what came later would be lost.

import { stop } from "./failure";

type Primitive = null | undefined | string | number | boolean | bigint | symbol;
/** No function: those have `bind`. */
type Inert = Primitive | (object & { bind?: never });

/** No promise, and no generator. */
export type Settled = void | Primitive | (object & { then?: Inert; next?: Inert });

/** `never` where it may be a promise, or a generator; nothing is asked of `any` and `unknown`. */
export type NoPromise<T> = unknown extends T ? unknown : Promised<T> extends [never] ? unknown : never;
type Promised<T> = [Extract<T, PromiseLike<unknown> | Iterator<unknown> | AsyncIterator<unknown>>];

/** What `what`, such as `the handler of OrderPlaced`, answered. Throws what is an error, and for what comes later. */
export function answered<T>(what: string, result: T): T {
  if (typeof result !== "object" || result === null) return result;
  if (result instanceof Error) throw result;
  if (isLate(result)) throw stop(`${what} is called once and not awaited: take the \`async\` away`);
  const steps = Symbol.iterator in result || Symbol.asyncIterator in result;
  if (steps && has(result, "next")) throw stop(`${what} is called once and not iterated: take the \`*\` away`);
  return result;
}

/** Whether it is a promise, or another that is to be awaited. */
export function isLate(value: unknown): boolean {
  return typeof value === "object" && value !== null && has(value, "then");
}

function has(of: object, method: string): boolean {
  return typeof (of as Record<string, unknown>)[method] === "function";
}

/** The same, of what has to be a list. */
export function listed<T>(what: string, result: T[]): T[] {
  if (!Array.isArray(answered(what, result))) throw new TypeError(`${what} answers no list`);
  return result;
}
