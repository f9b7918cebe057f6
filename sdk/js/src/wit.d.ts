// What the host offers, as QuickJS hands it over: the types of `wit/`, in camel case. Nothing is generated
// for JavaScript, as the engine binds by name at run time; these declarations are for the compiler only.
// An option that is none is `null`. A call that the host refuses throws an Error whose `payload` is the
// `host-error`. Numbers of 64 bits are exact up to 2^53.

declare module "tidemill:plugin/state@0.1.1" {
  export function get(key: string): Uint8Array | null;
  export function set(key: string, value: Uint8Array): void;
  function remove(key: string): void;
  export { remove as delete };
  export function scan(
    prefix: string,
    after: string | null,
    limit: number,
  ): { entries: { key: string; value: Uint8Array }[]; next: string | null };
}

declare module "tidemill:plugin/append@0.1.1" {
  export interface HostNewEvent {
    eventType: string;
    stream: string | null;
    payload: { tag: "json"; val: string } | { tag: "binary"; val: Uint8Array };
    contentType: string | null;
    tags: string[];
    metadata: [string, string][];
    schemaVersion: number;
  }
  export function append(cause: number, events: HostNewEvent[]): void;
}

declare module "tidemill:plugin/dispatch@0.1.1" {
  export function dispatch(
    cause: number,
    commands: {
      id: string | null;
      aggregate: string;
      key: string;
      commandType: string;
      data: { tag: "json"; val: string } | { tag: "binary"; val: Uint8Array };
      contentType: string | null;
      metadata: [string, string][];
    }[],
  ): string[];
}

declare module "tidemill:plugin/log@0.1.1" {
  export function log(level: "trace" | "debug" | "info" | "warn" | "error", message: string): void;
}

declare module "tidemill:plugin/config@0.1.1" {
  export function get(key: string): string | null;
}
