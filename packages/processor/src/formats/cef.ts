import type { Format } from "./format.ts";
import type { Severity } from "./gist.ts";
import { type TextFieldName, textFields } from "./text-fields.ts";
import { textLine, type TextSyntax } from "./text-line.ts";
import { eventMilliseconds } from "./time.ts";

/** ArcSight Common Event Format, CEF:0, every kind of event. */
export const cefFormat: Format = {
  version: "cef@0+1",
  shape: "text",
  line: (event) => textLine(SYNTAX, event),
};

/** 0 to 3 is low, 4 to 6 medium, 7 and 8 high, 9 and 10 very high. */
const SEVERITY: Readonly<Record<Severity, number>> = { 1: 1, 2: 3, 3: 5, 4: 8, 5: 10 };

/** The device's version is the major of our events: that of the software differs from emitter to emitter. */
const DEVICE = "CEF:0|Countersign|Countersign|1";

const SYNTAX: TextSyntax = {
  name: "cef",
  header: ({ code, title, severity }, { event }) =>
    `${DEVICE}|${code}|${title}|${SEVERITY[severity]}|rt=${eventMilliseconds(event.time)}`,
  before: beforeEach(),
  escape,
};

/** ` cs1Label=name cs1=`: the label goes with its field, and only with it. */
function beforeEach(): Readonly<Record<TextFieldName, string>> {
  const rows = textFields().map(([name, { cef, label }]) => {
    const key = cef ?? ownKey(name);
    return [name, label === undefined ? ` ${key}=` : ` ${key}Label=${label} ${key}=`];
  });
  return Object.fromEntries(rows) as Record<TextFieldName, string>;
}

/** A key of our own: vendor and product first, letters and digits only. */
function ownKey(name: TextFieldName): string {
  return `countersign${name.charAt(0).toUpperCase()}${name.slice(1)}`;
}

const SPECIAL = /[\\=]/;
const SPECIALS = /[\\=]/g;

/** In an extension the backslash and `=` are escaped, and `|` is not; no line end is left by now. */
function escape(text: string): string {
  return SPECIAL.test(text) ? text.replace(SPECIALS, "\\$&") : text;
}
