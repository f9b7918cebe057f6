// Validators: rules that commands are held against before they are decided.

import { listed } from "./answered";
import { decodeUtf8 } from "./utf8";
import { object, type Read, type Shape, ShapeError } from "./shape";
import { shown, textOf } from "./text";

/** As `checked-command` of the contract. */
interface HostCommand {
  id: string;
  aggregate: string;
  key: string;
  commandType: string;
  data: { tag: "json"; val: string } | { tag: "binary"; val: Uint8Array };
  metadata: [string, string][];
  timestampUs: number;
}

/** What is wrong at a place of a command's data. */
export interface FieldError {
  /** A JSON pointer such as `/lines/0/quantity`; empty for the whole. */
  path: string;
  /** What kind of fault it is, for programs, such as `too-large`. */
  code: string;
  /** What is wrong, for people. */
  message: string;
}

/** A command that is about to be decided. */
export interface Checked<Data> {
  id: string;
  aggregate: string;
  /** Which one: what follows the category in its stream's name. */
  key: string;
  type: string;
  data: Data;
  metadata: Record<string, string>;
  /** When it is checked: the only clock there is. */
  time: Date;
}

/** A rule for commands of one type; made by `check`. */
export type Rule = (command: Checked<string>) => FieldError[];

/** The code of the error of data that do not have a rule's shape. */
const MALFORMED = "malformed";

/** The data of a command are no text. */
class NotText extends Error {}

/** A rule for commands whose data have this shape; other data are refused, with the place. Answers what is wrong. */
export function check<S extends Shape>(shape: S, rule: (data: Read<S>, command: Checked<Read<S>>) => FieldError[]): Rule {
  const { read } = object(shape);
  return (command) => {
    let data: Read<S>;
    try {
      data = read(JSON.parse(command.data), "");
    } catch (error) {
      if (error instanceof ShapeError) return [{ path: error.pointer, code: MALFORMED, message: error.message }];
      if (error instanceof SyntaxError) return [{ path: "", code: MALFORMED, message: "it is not JSON" }];
      throw error;
    }
    return rule(data, { ...command, data });
  };
}

/**
 * What the module of a validator exports: `export const { validator } = validates({ Withdraw: check(..) })`. It has a rule
 * for each type of command; `"*"` takes those that have none, and without it they may be decided.
 */
export function validates(rules: Record<string, Rule>) {
  const known = new Map(Object.entries(rules));
  return {
    validator: {
      validate({ id, aggregate, key, commandType, data, metadata, timestampUs }: HostCommand): void {
        const rule = known.get(commandType) ?? known.get("*");
        const command: Checked<string> = {
          id,
          aggregate,
          key,
          type: commandType,
          // Read only where a rule asks for it.
          get data() {
            return text(data);
          },
          metadata: Object.fromEntries(metadata),
          time: new Date(timestampUs / 1000),
        };
        const errors = rule ? wrong(rule, command) : [];
        if (errors.length) throw errors.map(toHost);
      },
    },
  };
}

function toHost({ path, code, message }: FieldError): FieldError {
  return {
    path: textOf("the path of an error", path),
    code: textOf("the code of an error", code),
    message: shown(message),
  };
}

/** What a rule finds wrong; who sends bytes that are no text is told so, and ends no component. */
function wrong(rule: Rule, command: Checked<string>): FieldError[] {
  try {
    return listed(`the rule of ${command.type}`, rule(command) ?? []);
  } catch (error) {
    if (error instanceof NotText) return [{ path: "", code: MALFORMED, message: error.message }];
    throw error;
  }
}

function text(data: HostCommand["data"]): string {
  if (data.tag === "json") return data.val;
  try {
    return decodeUtf8(data.val);
  } catch {
    throw new NotText("it is not UTF-8 text");
  }
}
