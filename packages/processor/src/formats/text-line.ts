// One line of a text format: the fields of an event, escaped, and never longer than a receiver was told to expect.
import { CountersignError, type SealedEvent } from "@countersign/model";
import { type Gist, gistOf } from "./gist.ts";
import { MAX_TEXT_LINE_BYTES, unformula, visible } from "./text.ts";
import { OPTIONAL, type TextFieldName, TEXTS } from "./text-fields.ts";
import { walk } from "./text-walk.ts";

/** What makes a text format. */
export interface TextSyntax {
  /** Begins the messages of errors. */
  readonly name: string;
  /** What stands before the fields. Nothing in `gist` but `message` needs an escape. */
  header(gist: Gist, sealed: SealedEvent): string;
  /** What stands before a field's value, with the separator from the one before. */
  readonly before: Readonly<Record<TextFieldName, string>>;
  /** The separators and escapes of the format, in a text that {@link visible} has seen. */
  escape(text: string): string;
}

/**
 * The line of an event. What is optional is left out of one that is too long, and the line says so.
 * @throws INPUT_INVALID when it is still too long: what identifies is never cut.
 */
export function textLine(syntax: TextSyntax, sealed: SealedEvent): Uint8Array {
  const gist = headed(gistOf(sealed.event));
  const whole = Buffer.from(compose(syntax, sealed, gist, false), "utf8");
  if (whole.length <= MAX_TEXT_LINE_BYTES) return whole;
  const brief = Buffer.from(compose(syntax, sealed, gist, true), "utf8");
  if (brief.length <= MAX_TEXT_LINE_BYTES) return brief;
  throw new CountersignError(
    "INPUT_INVALID",
    `${syntax.name}: what identifies takes over ${MAX_TEXT_LINE_BYTES} bytes`,
  );
}

const CODE = /^[a-z0-9_.]+$/;

/**
 * A code is made of an enum of the event, and so of constants: intake saw to that. It stands where `|` and a line end would begin
 * another field, so whatever else is in one is percent-encoded all the same.
 */
function headed(gist: Gist): Gist {
  if (CODE.test(gist.code)) return gist;
  return { ...gist, code: encodeURIComponent(gist.code.toWellFormed()) };
}

function compose(syntax: TextSyntax, sealed: SealedEvent, gist: Gist, brief: boolean): string {
  const { before } = syntax;
  let line = syntax.header(gist, sealed);
  let leftOut = "";
  const put = (name: TextFieldName, value: string | number | undefined): void => {
    if (value === undefined || value === "") return;
    if (brief && OPTIONAL.has(name)) {
      leftOut += leftOut === "" ? name : `,${name}`;
      return;
    }
    if (typeof value === "number") line += before[name] + value;
    else {
      const text = visible(value);
      line += before[name] + syntax.escape(TEXTS.has(name) ? unformula(text) : text);
    }
  };
  walk(sealed, gist, put, brief);
  put("leftOut", leftOut);
  return line;
}
