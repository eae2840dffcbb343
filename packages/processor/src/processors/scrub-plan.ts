// What becomes of each field of a trace request, by its name. A field without a line here is cut: nothing passes by being
// forgotten.
import { type FieldTable, fieldTable } from "../otlp/field-index.ts";
import { type Message, TRACE_REQUEST } from "../otlp/message.ts";

/** What is done with a field. */
export const ACTION = {
  cut: 0,
  /** Copied: fixed-width numbers, and ids that were looked at before. */
  keep: 1,
  enum: 2,
  text: 3,
  attribute: 4,
  /** A count of what was dropped: written anew at the end. */
  dropped: 5,
  parentId: 6,
  traceState: 7,
  statusMessage: 8,
  schemaUrl: 9,
  message: 10,
  span: 11,
  event: 12,
  link: 13,
} as const;

const BY_NAME: Readonly<Record<string, number>> = {
  resourceSpans: ACTION.message,
  resource: ACTION.message,
  scopeSpans: ACTION.message,
  scope: ACTION.message,
  spans: ACTION.span,
  events: ACTION.event,
  links: ACTION.link,
  status: ACTION.message,
  attributes: ACTION.attribute,
  droppedAttributesCount: ACTION.dropped,
  droppedEventsCount: ACTION.dropped,
  droppedLinksCount: ACTION.dropped,
  traceId: ACTION.keep,
  spanId: ACTION.keep,
  parentSpanId: ACTION.parentId,
  traceState: ACTION.traceState,
  name: ACTION.text,
  version: ACTION.text,
  message: ACTION.statusMessage,
  schemaUrl: ACTION.schemaUrl,
  kind: ACTION.enum,
  code: ACTION.enum,
  flags: ACTION.keep,
  timeUnixNano: ACTION.keep,
  startTimeUnixNano: ACTION.keep,
  endTimeUnixNano: ACTION.keep,
};

/** What is done with the fields of one message. */
export interface Plan {
  readonly message: Message;
  readonly table: FieldTable;
  /** By field number. */
  readonly actions: Uint8Array;
  /** By field number, for those that are messages. */
  readonly children: readonly (Plan | undefined)[];
  /** Numbers of the ids without which nobody finds it. */
  readonly ids: { readonly trace: number; readonly span: number } | undefined;
  /** Numbers of the counts of dropped attributes, events, and links; 0: none. */
  readonly dropped: readonly [attributes: number, events: number, links: number];
}

const NUMBERS = 32;

function planOf(message: Message): Plan {
  const actions = new Uint8Array(NUMBERS);
  const children: (Plan | undefined)[] = Array.from<undefined>({ length: NUMBERS });
  for (const { number, name, type } of message.fields) {
    const action = BY_NAME[name] ?? ACTION.cut;
    actions[number] = action;
    if (typeof type !== "string" && action !== ACTION.attribute) children[number] = planOf(type);
  }
  const numberOf = (name: string): number =>
    message.fields.find((field) => field.name === name)?.number ?? 0;
  const ids = { trace: numberOf("traceId"), span: numberOf("spanId") };
  return {
    message,
    table: fieldTable(message),
    actions,
    children,
    ids: ids.trace > 0 ? ids : undefined,
    dropped: [
      numberOf("droppedAttributesCount"),
      numberOf("droppedEventsCount"),
      numberOf("droppedLinksCount"),
    ],
  };
}

/** The plan of a trace request. */
export const TRACE_PLAN: Plan = planOf(TRACE_REQUEST);
