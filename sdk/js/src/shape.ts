// What an event must look like: readers that check a JSON value and give it its type.

/**
 * Checks a JSON value; throws a `ShapeError` that names the place if it is another. No function: TypeScript puts off calls
 * of generic functions that return one, and in `decider({ events: { Moved: { stops: array(text) } }, .. })` the type of the
 * events would come too late for `apply`.
 */
export interface Reader<T> {
  readonly read: (value: unknown, path: string) => T;
}

/** Readers by field. */
export type Shape = Record<string, Reader<unknown>>;

/** What a reader reads. */
type ReadBy<R> = R extends Reader<infer T> ? T : never;
/** The fields of a shape that are always there. */
type Needed<S extends Shape> = { [K in keyof S]: undefined extends ReadBy<S[K]> ? never : K }[keyof S];
/** The same type, as its fields. */
type Fields<T> = { [K in keyof T]: T[K] };

/** What a shape reads: a field that is `optional` may be left out. */
export type Read<S extends Shape> = Fields<
  { [K in Needed<S>]: ReadBy<S[K]> } & { [K in Exclude<keyof S, Needed<S>>]?: ReadBy<S[K]> }
>;

/** A shape of objects of this type, every field of it. */
export type ShapeOf<T> = { [K in keyof T]-?: Reader<T[K]> };

/** A value is not what the reader expects. */
export class ShapeError extends Error {
  constructor(
    message: string,
    private readonly path: string = "",
  ) {
    super(message);
  }

  /** The place, as a JSON pointer: `/lines/0/quantity`; empty for the whole. */
  get pointer(): string {
    return this.path === "" ? "" : `/${this.path.replace(/\[(\d+)\]/g, ".$1").split(".").join("/")}`;
  }
}

function expected(what: string, path: string, value: unknown): ShapeError {
  const found = value === undefined ? "it is missing" : `it is ${JSON.stringify(value)?.slice(0, 80)}`;
  return new ShapeError(`${path || "the whole"}: expected ${what}, but ${found}`, path);
}

function reader<T>(what: string, is: (value: unknown) => boolean): Reader<T> {
  const read = (value: unknown, path: string) => {
    if (!is(value)) throw expected(what, path, value);
    return value as T;
  };
  return { read };
}

/** Text. */
export const text = reader<string>("text", (value) => typeof value === "string");
/** `true` or `false`. */
export const flag = reader<boolean>("true or false", (value) => typeof value === "boolean");
/** Any number. */
export const number = reader<number>("a number", (value) => typeof value === "number");
/** A whole number from 0 to 2^53 - 1: larger ones are not exact in JavaScript. */
export const whole = reader<number>(
  `a whole number from 0 to ${Number.MAX_SAFE_INTEGER}`,
  (value) => Number.isSafeInteger(value) && (value as number) >= 0,
);
/** A whole number, negative ones too, at most 2^53 - 1 from 0. */
export const integer = reader<number>(
  `a whole number from -${Number.MAX_SAFE_INTEGER} to ${Number.MAX_SAFE_INTEGER}`,
  Number.isSafeInteger,
);

/** A field that may be missing or `null`. */
export function optional<T>(of: Reader<T>): Reader<T | undefined> {
  return { read: (value, path) => (value === undefined || value === null ? undefined : of.read(value, path)) };
}

/** A value that may be `null`, and is `null` then. */
export function nullable<T>(of: Reader<T>): Reader<T | null> {
  return { read: (value, path) => (value === null ? null : of.read(value, path)) };
}

/** A list of values of one kind. */
export function array<T>(of: Reader<T>): Reader<T[]> {
  const read = (value: unknown, path: string) => {
    if (!Array.isArray(value)) throw expected("a list", path, value);
    return value.map((item, index) => of.read(item, `${path}[${index}]`));
  };
  return { read };
}

/** Shapes whose objects keep their other fields. */
const OPEN = new WeakSet<Shape>();

/** A shape with at least these fields: the others of the object are kept, as they are. */
export function keeping<S extends Shape>(shape: S): S {
  const open = { ...shape };
  OPEN.add(open);
  return open;
}

/** An object with these fields; others are left out, unless the shape is `keeping` them. */
export function object<S extends Shape>(shape: S): Reader<Read<S>> {
  const fields = Object.entries(shape);
  const keeps = OPEN.has(shape);
  const read = (value: unknown, path: string) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw expected("an object", path, value);
    const found = value as Record<string, unknown>;
    const prefix = path ? `${path}.` : "";
    const result: Record<string, unknown> = keeps ? { ...found } : {};
    for (const [field, of] of fields) result[field] = of.read(found[field], prefix + field);
    return result as Read<S>;
  };
  return { read };
}

/** The same, of nothing else: fields that would be left out are refused. */
export function exactly<T>(of: Reader<T>): Reader<T> {
  const read = (value: unknown, path: string) => {
    const found = of.read(value, path);
    // In another order it is as long.
    if (JSON.stringify(found).length !== JSON.stringify(value).length) {
      throw new ShapeError(`${path || "the whole"}: it has fields that its shape has not`, path);
    }
    return found;
  };
  return { read };
}
