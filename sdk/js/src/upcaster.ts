// Upcasters: what lifts events of older schemas to today's.

import { answered, listed, type NoPromise } from "./answered";
import { type HostEvent } from "./event";
import { Failure } from "./failure";
import { toJson } from "./json";
import { object, type Read, type Shape, ShapeError } from "./shape";
import { shown, textOf } from "./text";

/** One step: which events it takes, and what it makes of them. Made by `lift`, `liftInto` and `drop`. */
export interface Lift {
  /** As `lift` of the contract. */
  declared: { eventType: string; fromVersion: number; into: { eventType: string; schemaVersion: number }[] };
  /** What it makes of a payload that was read from JSON. */
  make(data: unknown): { type: string; data: unknown }[];
}

/** One of the events that a step makes of one: a type that it declares, and data that JSON can hold. */
export type Made<Into> = { type: keyof Into & string; data: unknown };

/**
 * Lifts a type from a schema version to the next one. Give it a shape that says what the old data look like: an event
 * of another one is a failure, and only what the shape names is handed over; `keeping({..})` hands over the rest, too.
 */
export function lift<S extends Shape, T = unknown>(
  type: string,
  from: number,
  shape: S,
  make: (data: Read<S>) => T & NoPromise<T>,
): Lift {
  const made = (data: Read<S>) => answered(nameOf(type, from), make(data));
  return liftInto(type, from, { [type]: from + 1 }, shape, (data) => [{ type, data: made(data) }]);
}

/**
 * Makes other events of one: of another type, several in this order, or none. `into` has the schema version of each
 * type that may come of it: `{ Paid: 3, Sent: 1 }`.
 */
export function liftInto<S extends Shape, Into extends Record<string, number>>(
  type: string,
  from: number,
  into: Into,
  shape: S,
  make: (data: Read<S>) => Made<Into>[],
): Lift {
  const targets = Object.entries(into).map(([eventType, schemaVersion]) => ({ eventType, schemaVersion }));
  const { read } = object(shape);
  const made = (data: unknown) => listed(nameOf(type, from), make(read(data, "")));
  return { declared: { eventType: type, fromVersion: from, into: targets }, make: made };
}

const nameOf = (type: string, from: number) => `the lift of ${type} ${from}`;

/** Drops the events of a type and schema version: nobody is shown them any more. */
export function drop(type: string, from: number): Lift {
  return { declared: { eventType: type, fromVersion: from, into: [] }, make: () => [] };
}

/**
 * What the module of an upcaster exports: `export const { upcaster } = upcasts(lift(..), ..)`. What a step makes of an event
 * follows from that event alone; `throw reject(why)` says that nothing can be made of it, which sets it aside.
 */
export function upcasts(...lifts: Lift[]) {
  return {
    upcaster: {
      lifts: () => lifts.map(({ declared }) => declared),
      upcast(event: HostEvent): unknown[] {
        try {
          return apply(lifts, event).map(toHost);
        } catch (error) {
          throw reason(error);
        }
      },
    },
  };
}

function apply(lifts: Lift[], { eventType, schemaVersion, payload }: HostEvent) {
  const takes = ({ declared }: Lift) => declared.eventType === eventType && declared.fromVersion === schemaVersion;
  const lift = lifts.find(takes);
  if (!lift) throw new ShapeError(`no lift takes ${eventType} ${schemaVersion}`);
  if (payload.tag !== "json") throw new ShapeError(`payload of ${eventType}: it is not JSON`);
  try {
    return lift.make(JSON.parse(payload.val));
  } catch (error) {
    throw error instanceof ShapeError ? new ShapeError(`payload of ${eventType}: ${error.message}`) : error;
  }
}

function toHost({ type, data }: { type: string; data: unknown }): unknown {
  const json = toJson(`what is made of it as ${type}`, data);
  const eventType = textOf("the type of what is made", type);
  return { eventType, payload: { tag: "json", val: json }, contentType: null };
}

/** Why nothing was made, as the contract has it: a text. A mistake is told with its stack. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return shown(error);
  if (error instanceof ShapeError || error instanceof Failure) return shown(error.message);
  return shown(`${error.name}: ${error.message}\n${error.stack ?? ""}`.trimEnd());
}
