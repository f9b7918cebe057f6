// Queries: what somebody wants to know of the plugin's state, and the answers.

import { answered } from "./answered";
import { Failure } from "./failure";
import { toJson } from "./json";
import { shown, textOf } from "./text";
import { encodeUtf8 } from "./utf8";

/** As `request` of the contract. */
export interface HostRequest {
  query: string;
  parameters: [string, string][];
  checkpoint: number;
  context: string | null;
}

type HostAnswer = {
  payload: { tag: "json"; val: string } | { tag: "binary"; val: Uint8Array };
  contentType: string | null;
};
type HostQueryError = { tag: "unknown-query" } | { tag: "invalid"; val: string } | { tag: "failed"; val: string };

/**
 * Answers a query from `state`, as of one moment; what it tries to change is denied. A value is answered as JSON; throw
 * `invalid(why)` for a parameter that will not do. Keep nothing for the next query: it sees another moment.
 */
export type Answers = (query: Query) => unknown;

/** An answer that is not JSON. */
export class Answer {
  constructor(
    readonly contentType: string,
    readonly body: string | Uint8Array,
  ) {}
}

/** Thrown for a parameter that is missing, not known, or has a bad value. */
export class InvalidQuery extends Error {}

/** A parameter will not do: says which, and what it takes. */
export function invalid(reason: string): InvalidQuery {
  return new InvalidQuery(reason);
}

/** A query with its parameters. */
export class Query {
  readonly name: string;
  /** Every matching event up to here is in the state, or set aside. */
  readonly checkpoint: number;
  /** Names and values, in the order given. */
  readonly parameters: readonly [string, string][];

  constructor(request: HostRequest) {
    this.name = request.query;
    this.checkpoint = request.checkpoint;
    this.parameters = request.parameters;
  }

  /** Every value of a parameter. */
  all(name: string): string[] {
    return this.parameters.filter(([given]) => given === name).map(([, value]) => value);
  }

  /** The text of a parameter, or `otherwise`. */
  text<T = undefined>(name: string, otherwise?: T): string | T {
    const values = this.all(name);
    if (values.length > 1) throw invalid(`parameter \`${name}\` is given twice; give it once`);
    return values[0] ?? (otherwise as T);
  }

  /** The text of a parameter that must be given. */
  require(name: string): string {
    const value = this.text(name);
    if (value === undefined) throw invalid(`parameter \`${name}\` is missing`);
    return value;
  }

  /** The number of a parameter, or `otherwise`. */
  number<T = undefined>(name: string, otherwise?: T): number | T {
    const value = this.text(name);
    if (value === undefined) return otherwise as T;
    if (value.trim() === "" || !Number.isFinite(Number(value))) {
      throw invalid(`parameter \`${name}\` is \`${value}\`, which is no number`);
    }
    return Number(value);
  }

  /** `true` or `false` of a parameter, or `otherwise`. */
  flag<T = undefined>(name: string, otherwise?: T): boolean | T {
    const value = this.text(name);
    if (value === undefined) return otherwise as T;
    if (value !== "true" && value !== "false") throw invalid(`parameter \`${name}\` is \`${value}\`; give true or false`);
    return value === "true";
  }
}

/** Answers a request by the query of its name. */
export function answer(queries: ReadonlyMap<string, Answers>, request: HostRequest): HostAnswer {
  const answers = queries.get(request.query);
  if (!answers) throw { tag: "unknown-query" } satisfies HostQueryError;
  try {
    return toHost(answered(`the query ${request.query}`, answers(new Query(request))));
  } catch (thrown) {
    throw toError(thrown);
  }
}

function toHost(value: unknown): HostAnswer {
  if (!(value instanceof Answer)) {
    return { payload: { tag: "json", val: toJson("the answer", value ?? null) }, contentType: null };
  }
  const { body, contentType } = value;
  const bytes = body instanceof Uint8Array ? body : encodeUtf8(textOf("the body of an answer", body));
  return { payload: { tag: "binary", val: bytes }, contentType: textOf("the content type of an answer", contentType) };
}

function toError(thrown: unknown): HostQueryError {
  if (thrown instanceof InvalidQuery) return { tag: "invalid", val: shown(thrown.message) };
  if (thrown instanceof Failure) return { tag: "failed", val: thrown.message };
  if (!(thrown instanceof Error)) return { tag: "failed", val: `thrown: ${shown(thrown)}` };
  const payload = (thrown as { payload?: { tag?: unknown; val?: unknown } }).payload;
  if (payload && typeof payload.tag === "string") return { tag: "failed", val: String(payload.val) };
  return { tag: "failed", val: shown(`${thrown.name}: ${thrown.message}\n${thrown.stack ?? ""}`.trimEnd()) };
}
