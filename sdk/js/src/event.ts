// A stored event, as a handler sees it.

import { reject } from "./failure";

/** As `event` of the contract. Its UUID is left out: the engine hands 64 bits over as an inexact number. */
export interface HostEvent {
  position: number;
  eventType: string;
  stream: string | null;
  version: number;
  timestampUs: number;
  schemaVersion: number;
  payload: { tag: "json"; val: string } | { tag: "binary"; val: Uint8Array };
  context: string | null;
}

interface Tail {
  tags?: string[];
  metadata?: Record<string, string>;
  content_type?: string;
}

/** A stored event. Its payload and its tags are parsed only when asked for. */
export class Event {
  #tail: Tail | undefined;

  constructor(private readonly fields: HostEvent) {}

  /** Place in the global order; the first event of the log is 1. */
  get position(): number {
    return this.fields.position;
  }

  get type(): string {
    return this.fields.eventType;
  }

  get stream(): string | undefined {
    return this.fields.stream ?? undefined;
  }

  /** Place within the stream, from 1; 0 outside any stream. */
  get version(): number {
    return this.fields.version;
  }

  /** When the host stored it: the only clock that a plugin has. */
  get time(): Date {
    return new Date(this.fields.timestampUs / 1000);
  }

  get schemaVersion(): number {
    return this.fields.schemaVersion;
  }

  get tags(): string[] {
    return this.#context().tags ?? [];
  }

  /** The rest of the first tag that begins with `key:`. */
  tag(key: string): string | undefined {
    return this.tags.find((tag) => tag.startsWith(`${key}:`))?.slice(key.length + 1);
  }

  get metadata(): Record<string, string> {
    return this.#context().metadata ?? {};
  }

  /** The payload, parsed. A payload that is not JSON rejects the event. */
  json(): unknown {
    const { payload } = this.fields;
    if (payload.tag !== "json") throw reject(`payload of ${this.type}: it is ${this.contentType}, not JSON`);
    return JSON.parse(payload.val);
  }

  /** The payload's bytes, if it is not JSON. */
  get bytes(): Uint8Array | undefined {
    const { payload } = this.fields;
    return payload.tag === "binary" ? payload.val : undefined;
  }

  get contentType(): string {
    const otherwise = this.fields.payload.tag === "json" ? "application/json" : "application/octet-stream";
    return this.#context().content_type ?? otherwise;
  }

  #context(): Tail {
    return (this.#tail ??= this.fields.context ? (JSON.parse(this.fields.context) as Tail) : {});
  }
}
