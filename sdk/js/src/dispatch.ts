// Sending commands. It stands by itself, so that a plugin that sends none does not ask the host for it.

import { dispatch as send } from "tidemill:plugin/dispatch@0.1.1";
import { type Context, payloadOf } from "./context";
import { pairsOf, shown, textOf, textOrNone } from "./text";

/** What a command may say beside its data. */
export interface CommandLabels {
  /** Its identity: of two with one id the second is not decided. Without one, it follows from the event at hand. */
  id?: string;
  /** The events that follow get it. */
  metadata?: Record<string, string>;
  /** The content type of bytes. */
  contentType?: string;
}

/**
 * Sends a command to one aggregate, such as `7` of `account`, on behalf of the event at hand; answers its id. It is
 * accepted when the handler's effects commit, and decided once, later. The manifest must grant it:
 * `[grants] dispatch = ["<aggregate>:<type>"]`. The plugin is built for a world that sends commands, such as
 * `described-dispatching-subscriber-plugin`.
 */
export function dispatch(
  ctx: Context,
  aggregate: string,
  key: string,
  type: string,
  data: unknown = {},
  { id, metadata, contentType }: CommandLabels = {},
): string {
  const command = {
    id: textOrNone("the id of a command", id),
    aggregate: textOf("the aggregate of a command", aggregate),
    key: textOf(`the key of ${shown(aggregate)}`, key),
    commandType: textOf("the type of a command", type),
    data: payloadOf(`the data of ${type}`, data),
    contentType: textOrNone(`the content type of ${type}`, contentType),
    metadata: pairsOf(`the metadata of ${type}`, metadata),
  };
  return send(ctx.event.position, [command])[0]!;
}
