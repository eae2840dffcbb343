// The way from a request down to its items, through the messages that hold them.
import { type FieldTable, fieldTable } from "./field-index.ts";
import type { Message } from "./message.ts";

/** One message on the way. */
export interface Level {
  readonly message: Message;
  readonly table: FieldTable;
  /** Number of the field that holds the next level, and at the end the items. */
  readonly number: number;
}

/** The levels of a request, and the message of an item: by the names of the fields that hold them. */
export function levelsOf(
  request: Message,
  names: readonly string[],
): { readonly levels: readonly Level[]; readonly item: Message } {
  let item = request;
  const levels = names.map((name): Level => {
    const message = item;
    const field = message.fields.find((one) => one.name === name);
    if (field === undefined || typeof field.type === "string") throw new Error(`otlp: no ${name}`);
    item = field.type;
    return { message, table: fieldTable(message), number: field.number };
  });
  return { levels, item };
}
