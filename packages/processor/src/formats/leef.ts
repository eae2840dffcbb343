import type { Format } from "./format.ts";
import type { Severity } from "./gist.ts";
import { type TextFieldName, textFields } from "./text-fields.ts";
import { textLine, type TextSyntax } from "./text-line.ts";
import { eventMilliseconds } from "./time.ts";

/** IBM Log Event Extended Format 2.0, delimited by tabs, every kind of event. */
export const leefFormat: Format = {
  version: "leef@2.0+1",
  shape: "text",
  line: (event) => textLine(SYNTAX, event),
};

/** 1 to 10. */
const SEVERITY: Readonly<Record<Severity, number>> = { 1: 1, 2: 3, 3: 5, 4: 8, 5: 10 };

const DEVICE = "LEEF:2.0|Countersign|Countersign|1";
const TIME_FORMAT = "yyyy-MM-dd'T'HH:mm:ss.SSSX";

const SYNTAX: TextSyntax = {
  name: "leef",
  header: ({ code, severity }, { event }) => {
    eventMilliseconds(event.time);
    return `${DEVICE}|${code}|x09|devTime=${event.time}\tdevTimeFormat=${TIME_FORMAT}\tsev=${SEVERITY[severity]}`;
  },
  before: beforeEach(),
  // There is no escape. Tabs and line ends are visible by now, and everything else may stand in a value.
  escape: (text) => text,
};

function beforeEach(): Readonly<Record<TextFieldName, string>> {
  const rows = textFields().map(([name, { leef }]) => [name, `\t${leef ?? name}=`]);
  return Object.fromEntries(rows) as Record<TextFieldName, string>;
}
