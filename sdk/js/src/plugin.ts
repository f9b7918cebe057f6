// From handlers to what a component exports.

import { answered, type NoPromise } from "./answered";
import { Context } from "./context";
import { Event, type HostEvent } from "./event";
import { Failure, reject, toFailure, type Verdict } from "./failure";
import { answer, type Answers, type HostRequest, type Query } from "./query";
import { SDK } from "./sdk";
import { type Read, type Shape, ShapeError, object } from "./shape";
import { shown } from "./text";

/** Handles one event; throws a `Failure` to say what is to become of it. */
export type Handler = (ctx: Context) => unknown;

/** What a plugin says of itself. Its types are those that it has handlers for. */
export interface About {
  name: string;
  version?: string;
  summary?: string;
  /** The event types it wants to append; the manifest's `[grants]` allow it. */
  append?: string[];
  /** The commands it wants to send, such as `account:Deposit`; the manifest's `[grants]` allow them. */
  dispatch?: string[];
  /**
   * Which schema the state has, from 1. Raise it when another state is to be made of the same events: the host builds it
   * anew beside the one there is, and then changes over.
   */
  stateSchema?: number;
}

/**
 * What the module of a plugin exports: `export const { subscriber, description } = plugin(..)`, and `projection` beside
 * them of one that answers queries.
 */
export interface Plugin {
  subscriber: { handle(events: HostEvent[]): void };
  projection: { query(request: HostRequest): unknown };
  description: { describe(): unknown };
}

/** A handler for events whose payload has this shape; another payload rejects the event. */
export function on<S extends Shape, T = unknown>(
  shape: S,
  handle: (data: Read<S>, ctx: Context) => T & NoPromise<T>,
): Handler {
  const { read } = object(shape);
  return (ctx) => handle(decode(ctx.event, read), ctx);
}

function decode<T>(event: Event, read: (value: unknown, path: string) => T): T {
  try {
    return read(event.json(), "");
  } catch (error) {
    if (error instanceof ShapeError) throw reject(`payload of ${event.type}: ${error.message}`);
    throw error;
  }
}

/**
 * A plugin with one handler for each event type; `"*"` takes those that have none. With `queries`, by their names, it
 * answers those.
 */
export function plugin<
  Q extends Record<string, Answers> = {},
  H extends Record<string, Handler> = Record<string, Handler>,
>(
  about: About,
  handlers: H & { [K in keyof H]: (ctx: Context) => NoPromise<ReturnType<H[K]>> },
  queries?: Q & { [K in keyof Q]: (query: Query) => NoPromise<ReturnType<Q[K]>> },
): Plugin {
  const answers = new Map<string, Answers>(Object.entries(queries ?? {}));
  const types = Object.keys(handlers);
  const known = new Map<string, Handler>(Object.entries(handlers));
  const otherwise = known.get("*");
  const schema = schemaOf(about);
  return {
    subscriber: {
      handle(events) {
        for (let index = 0; index < events.length; index++) {
          const event = new Event(events[index]!);
          try {
            const handle = known.get(event.type) ?? otherwise;
            if (!handle) throw reject(`no handler for ${event.type}`);
            answered(`the handler of ${event.type}`, handle(new Context(event)));
          } catch (thrown) {
            throw contractFailure(index, toFailure(thrown));
          }
        }
      },
    },
    projection: { query: (request) => answer(answers, request) },
    description: {
      describe: () => ({
        name: about.name,
        version: about.version ?? "",
        summary: about.summary ?? "",
        types: otherwise ? [] : types,
        streams: [],
        tags: [],
        append: about.append ?? [],
        extra: [
          ...[...answers.keys()].map((name) => ["query", name]),
          ...(about.dispatch ?? []).map((command) => ["request.dispatch", command]),
          ...schema,
          SDK,
        ],
      }),
    },
  };
}

/** The pair that says which schema the state has; none where nothing is said. */
function schemaOf({ stateSchema }: About): [string, string][] {
  if (stateSchema === undefined) return [];
  if (!Number.isSafeInteger(stateSchema) || stateSchema < 1) {
    throw new RangeError(`\`stateSchema\` is ${stateSchema}: number the schemas of the state from 1`);
  }
  return [["schema", String(stateSchema)]];
}

function contractFailure(index: number, failure: Failure): { index: number; verdict: Verdict; reason: string } {
  return { index, verdict: failure.verdict, reason: shown(failure.message) };
}
