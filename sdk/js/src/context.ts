// What a handler may do on behalf of the event at hand.

import { append, type HostNewEvent } from "tidemill:plugin/append@0.1.1";
import { type Event } from "./event";
import { toJson } from "./json";
import { pairsOf, textOf, textOrNone } from "./text";

/** An event to append. The host gives it an id, `causation_id` and `correlation_id`. */
export interface NewEvent {
  /** The manifest must grant it: `[grants] append = ["<type>"]`. */
  type: string;
  /** What it carries: anything that JSON can hold, or bytes. */
  data: unknown;
  /** The stream to append it to; none for an event outside any stream. */
  stream?: string;
  /** Labels for queries, such as `order:42`; at most 64. */
  tags?: string[];
  metadata?: Record<string, string>;
  /** The content type of bytes. */
  contentType?: string;
  /** Version of the payload's schema; 1 if not given. */
  schemaVersion?: number;
}

/** Handed to a handler along with its event. */
export class Context {
  constructor(
    /** The event at hand, with position, stream, time, tags and metadata. */
    readonly event: Event,
  ) {}

  /** Appends events in this order, all or none; they commit together with the checkpoint. */
  append(...events: NewEvent[]): void {
    append(this.event.position, events.map(toHost));
  }
}

/** Data as the contract has them: bytes as they are, anything else as JSON. */
export function payloadOf(what: string, data: unknown): HostNewEvent["payload"] {
  if (data instanceof Uint8Array) return { tag: "binary", val: data };
  return { tag: "json", val: toJson(what, data) };
}

function toHost(event: NewEvent): HostNewEvent {
  return {
    eventType: textOf("the type of an event", event.type),
    stream: textOrNone(`the stream of ${event.type}`, event.stream),
    payload: payloadOf(`the body of ${event.type}`, event.data),
    contentType: textOrNone(`the content type of ${event.type}`, event.contentType),
    tags: (event.tags ?? []).map((tag) => textOf(`a tag of ${event.type}`, tag)),
    metadata: pairsOf(`the metadata of ${event.type}`, event.metadata),
    schemaVersion: event.schemaVersion ?? 1,
  };
}
