import type { FormatName } from "../../formats/formats.ts";
import type { Format } from "../../formats/format.ts";
import type { Mapped } from "../mapped.ts";

/** How lines of a format make a body. */
export interface BodyForm {
  readonly contentType: string;
  readonly open: string;
  readonly between: string;
  readonly close: string;
}

/** CloudEvents HTTP binding 1.0, section 3.3: the sealed bytes are CloudEvents in JSON already. */
const CLOUDEVENTS: BodyForm = {
  contentType: "application/cloudevents-batch+json; charset=utf-8",
  open: "[",
  between: ",",
  close: "]",
};
const JSON_ARRAY: BodyForm = { ...CLOUDEVENTS, contentType: "application/json" };
const LINES: BodyForm = {
  contentType: "text/plain; charset=utf-8",
  open: "",
  between: "\n",
  close: "\n",
};

/** Native: a batch of CloudEvents. Other JSON formats: an array of their objects. Text: lines. */
export function bodyForm(name: FormatName, { shape }: Format): BodyForm {
  if (name === "native") return CLOUDEVENTS;
  return shape === "json" ? JSON_ARRAY : LINES;
}

/** The body of one request, in one piece. */
export function webhookBody(
  events: readonly Mapped[],
  { open, between, close }: BodyForm,
): Uint8Array {
  const parts: Uint8Array[] = [Buffer.from(open)];
  for (const [nth, { line }] of events.entries()) {
    if (nth > 0) parts.push(Buffer.from(between));
    parts.push(line);
  }
  parts.push(Buffer.from(close));
  return Buffer.concat(parts);
}
