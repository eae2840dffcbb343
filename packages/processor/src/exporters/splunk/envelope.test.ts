import type { SealedEvent } from "@countersign/model";
import { expect, test } from "vitest";
import { nativeFormat } from "../../formats/native.ts";
import { sealedEvents } from "../../testing/events.ts";
import { jsonTexts } from "../../testing/json-texts.ts";
import { hecBody, hecEnvelope, hecSize } from "./envelope.ts";

const NATIVE = { format: nativeFormat, sourcetype: "countersign:native" };
const [SEALED] = sealedEvents(1) as [SealedEvent];

function changed(members: object): SealedEvent {
  return { ...SEALED, bytes: SEALED.bytes, event: { ...SEALED.event, ...members } };
}

function sent(
  event: SealedEvent,
  line: Uint8Array = event.bytes,
  options: Parameters<typeof hecEnvelope>[0] = NATIVE,
): Record<string, unknown> {
  const one = hecEnvelope(options)({ index: 0, event, line });
  const body = hecBody([one, one]);
  expect(body.length).toBe(2 * hecSize(one));
  const texts = jsonTexts(body) ?? [];
  expect(texts).toHaveLength(2);
  return JSON.parse(texts[1] as string) as Record<string, unknown>;
}

const HOSTILE = [
  'a","event":"b',
  'quote" backslash\\ newline\n nul\u0000',
  "Umlaut ä, snowman ☃, 🙂",
  "lone \ud800",
  "}{",
  "",
];

test.each(HOSTILE)("%j stays in its member", (text) => {
  const event = changed({ id: text, source: `urn:countersign:emitter:${text}` });
  const envelope = sent(event);
  const same = JSON.parse(JSON.stringify(text)) as string;
  expect(envelope["fields"]).toMatchObject({ event_uid: same, event_hash: SEALED.hash });
  expect(envelope["source"]).toBe(`urn:countersign:emitter:${same}`);
  expect(envelope["event"]).toEqual(SEALED.event);
  const options = { ...NATIVE, source: text, index: text, sourcetype: text };
  expect(sent(event, SEALED.bytes, options)).toMatchObject({
    source: same,
    index: same,
    sourcetype: same,
  });
});

test.each(HOSTILE)("text formats are a JSON string: %j", (text) => {
  const format = { ...nativeFormat, shape: "text" } as const;
  const line = Buffer.from(text, "utf8");
  expect(sent(SEALED, line, { ...NATIVE, format })["event"]).toBe(line.toString("utf8"));
});

test.each([
  ["1970-01-01T00:00:00.000Z", 0],
  ["2026-11-22T09:00:00.007Z", 1_795_338_000.007],
  ["2038-01-19T03:14:08.001Z", 2_147_483_648.001],
  ["9999-12-31T23:59:59.999Z", 253_402_300_799.999],
  ["1969-12-31T23:59:59.999Z", undefined],
  ["never", undefined],
])("the time %s is %s", (time, expected) => {
  expect(sent(changed({ time }))["time"]).toBe(expected);
});
