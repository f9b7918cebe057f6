// Aggregates: what commands are decided for, one stream of events each.

import { answered, listed, type Settled } from "./answered";
import { type HostEvent } from "./event";
import { toJson } from "./json";
import { SDK } from "./sdk";
import { exactly, object, type Read, type Shape, ShapeError, type ShapeOf } from "./shape";
import { pairsOf, shown, textOf } from "./text";
import { decodeUtf8, encodeUtf8 } from "./utf8";

/** Shapes by the type of an event, or of a command; `{}` for one that carries nothing. */
export type Shapes = Record<string, Shape>;

/** An event or a command of one of these types: switch over its `type`, and `data` has its shape. */
export type OneOf<S extends Shapes> = { [K in keyof S & string]: { type: K; data: Read<S[K]> } }[keyof S & string];

/** What an event says of itself beside its data. */
interface Labels {
  tags?: string[];
  metadata?: Record<string, string>;
  /** Version of the data's schema; 1 if not given. */
  schemaVersion?: number;
}

/** An event that follows from a command. It goes to the aggregate's own stream. */
export type Decided<S extends Shapes> = {
  [K in keyof S & string]: (keyof S[K] extends never ? { type: K } : { type: K; data: Read<S[K]> }) & Labels;
}[keyof S & string];

/** What is known of a command beside its data. */
export interface Asked {
  id: string;
  /** Its metadata, such as `correlation_id` and `actor`. */
  metadata: Record<string, string>;
  /** When it is decided: the only clock there is. */
  time: Date;
}

/** What decides. `State` is what JSON can hold: it is written down as the aggregate's snapshot, and read back. */
export interface Decider<State extends Settled, Events extends Shapes, Commands extends Shapes> {
  name: string;
  version?: string;
  summary?: string;
  /** Version of what the state looks like, 1 if not given: raise it when that changes, and older snapshots are left out. */
  snapshotSchema?: number;
  /** What each field of the state looks like. A snapshot of another shape is left out, and the state made of its events. */
  state?: ShapeOf<NoInfer<State>>;
  /** What can happen. */
  events: Events;
  /** What can be asked. */
  commands: Commands;
  /** One without events; `id` is what follows the category in its stream's name: `42` of `account-42`. */
  fresh(id: string): State;
  /** The state after an event. It has happened: there is no refusing it. */
  apply(state: State, event: OneOf<Events>): State;
  /** What follows from a command, maybe nothing. Throw `rejection(..)` to say why not; change nothing. */
  decide(state: State, command: OneOf<Commands>, asked: Asked): Decided<Events>[];
}

/** Thrown by `decide`: the domain's answer is no. */
export class Rejection extends Error {
  constructor(
    readonly code: string,
    reason: string,
    readonly details: unknown,
  ) {
    super(reason);
    this.name = "Rejection";
  }
}

/** The domain's answer is no: what kind of reason it is, for programs, why, for people, and more for programs. */
export function rejection(code: string, reason: string, details?: unknown): Rejection {
  return new Rejection(code, reason, details);
}

/** As `command` of the contract. */
interface HostCommand {
  id: string;
  commandType: string;
  data: HostEvent["payload"];
  metadata: [string, string][];
  timestampUs: number;
}

/** The code of the rejection of a command that is none. */
const INVALID_COMMAND = "InvalidCommand";

/**
 * What the module of a component exports that decides commands: `export const { aggregate, description } = decider({..})`.
 */
export function decider<State extends Settled, Events extends Shapes, Commands extends Shapes>(
  code: Decider<State, Events, Commands>,
) {
  const events = readers(code.events);
  const commands = readers(code.commands);
  const states = code.state && exactly(object(code.state as Shape));

  class Aggregate {
    #state: State;

    constructor(id: string, state: State = answered("`fresh`", code.fresh(id))) {
      this.#state = state;
    }

    static restore(id: string, snapshot: Uint8Array): Aggregate {
      try {
        const found: unknown = JSON.parse(decodeUtf8(snapshot));
        return new Aggregate(id, (states ? states.read(found, "") : found) as State);
      } catch (error) {
        throw shown(error);
      }
    }

    apply(happened: HostEvent[]): void {
      for (let index = 0; index < happened.length; index++) {
        const { eventType, payload } = happened[index]!;
        try {
          const event = read(events, eventType, payload) as OneOf<Events>;
          this.#state = answered(`\`apply\` of ${eventType}`, code.apply(this.#state, event));
        } catch (error) {
          throw { index, reason: shown(error) };
        }
      }
    }

    decide({ id, commandType, data, metadata, timestampUs }: HostCommand): unknown[] {
      const asked = { id, metadata: Object.fromEntries(metadata), time: new Date(timestampUs / 1000) };
      try {
        const command = read(commands, commandType, data) as OneOf<Commands>;
        const decided = listed(`\`decide\` of ${commandType}`, code.decide(this.#state, command, asked));
        return decided.map((event) => toHost(events, event));
      } catch (error) {
        throw refusal(error);
      }
    }

    snapshot(): Uint8Array {
      return encodeUtf8(toJson("the state", this.#state));
    }
  }

  const describe = () => ({
    name: code.name,
    version: code.version ?? "",
    summary: code.summary ?? "",
    types: [],
    streams: [],
    tags: [],
    append: Object.keys(code.events),
    extra: [SDK],
  });
  return { aggregate: { Aggregate, snapshotSchema: () => code.snapshotSchema ?? 1 }, description: { describe } };
}

type Readers = ReadonlyMap<string, (value: unknown) => unknown>;

function readers(shapes: Shapes): Readers {
  const reader = (shape: Shape) => {
    const { read } = object(shape);
    return Object.keys(shape).length === 0 ? () => ({}) : (value: unknown) => read(value, "");
  };
  return new Map(Object.entries(shapes).map(([type, shape]) => [type, reader(shape)]));
}

/** Reads an event or a command by its type; throws a `ShapeError` when it is none of these. */
function read(known: Readers, type: string, payload: HostEvent["payload"]): { type: string; data: unknown } {
  const reader = known.get(type);
  if (!reader) throw new ShapeError(`${type} is not known; known are ${[...known.keys()].join(", ")}`);
  if (payload.tag !== "json") throw new ShapeError(`payload of ${type}: it is not JSON`);
  try {
    return { type, data: reader(JSON.parse(payload.val)) };
  } catch (error) {
    throw error instanceof ShapeError ? new ShapeError(`payload of ${type}: ${error.message}`) : error;
  }
}

/** A rejection as the contract has it. Anything else goes on: a mistake is no answer of the domain's. */
function refusal(error: unknown): unknown {
  if (error instanceof ShapeError) return { code: INVALID_COMMAND, reason: shown(error.message), details: null };
  if (!(error instanceof Rejection)) return error;
  const { code, message, details } = error;
  return {
    code: textOf("the code of a rejection", code),
    reason: shown(message),
    details: details === undefined ? null : toJson("the details", details),
  };
}

/** An event as the contract has it. One that `apply` could not take in again is a mistake: its stream would stand still. */
function toHost(known: Readers, event: Labels & { type: string; data?: unknown }): unknown {
  const payload: HostEvent["payload"] = { tag: "json", val: toJson(`the data of ${event.type}`, event.data ?? null) };
  try {
    read(known, event.type, payload);
  } catch (error) {
    throw new TypeError(`decide answered an event that cannot be read again: ${(error as Error).message}`);
  }
  return {
    eventType: event.type,
    payload,
    contentType: null,
    tags: (event.tags ?? []).map((tag) => textOf(`a tag of ${event.type}`, tag)),
    metadata: pairsOf(`the metadata of ${event.type}`, event.metadata),
    schemaVersion: event.schemaVersion ?? 1,
  };
}
