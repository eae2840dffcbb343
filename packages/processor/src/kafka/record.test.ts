import { letGoOfParsed, unseal, withheldEvent } from "@countersign/model";
import type { Letter, Receipt } from "@countersign/pipeline";
import { expect, test } from "vitest";
import { sealedEvents } from "../testing/events.ts";
import type { StoredRecord } from "./port.ts";
import {
  eventRecord,
  eventRecords,
  letterRecord,
  poisonLetter,
  readRecord,
  receiptRecord,
} from "./record.ts";

const [event] = sealedEvents(1) as [ReturnType<typeof sealedEvents>[number]];
const text = ({
  headers,
}: {
  readonly headers: Iterable<readonly [string, Uint8Array | string]>;
}): Record<string, string> =>
  Object.fromEntries([...headers].map(([name, value]) => [name, Buffer.from(value).toString()]));
const stored = (record: Partial<StoredRecord>): StoredRecord => ({
  ...eventRecord(event, 1_795_338_003_412),
  headers: new Map(
    eventRecord(event, 1_795_338_003_412).headers.map(([name, value]) => [
      name,
      Buffer.from(value),
    ]),
  ),
  topic: "countersign.events.v1",
  partition: 5,
  offset: 88_210n,
  timestampMs: 1_795_338_003_500,
  ...record,
});

test("an event is its bytes, with copies of what routes it", () => {
  const record = eventRecord(event, 1_795_338_003_412);
  expect(record.value).toBe(event.bytes);
  expect(String(record.key)).toBe("acme/tickets-test");
  expect(text(record)).toEqual({
    "content-type": "application/cloudevents+json; charset=UTF-8",
    ce_specversion: "1.0",
    ce_id: event.event.id,
    ce_source: "urn:countersign:emitter:tickets-test",
    ce_type: "dev.countersign.decision.v1",
    ce_time: event.event.time,
    cs_hash: event.hash,
    cs_received: "1795338003412",
  });
});

test("events together become the records that each becomes alone", () => {
  const events = [...sealedEvents(2), ...sealedEvents(1, { emitter: "other" })];
  const records = eventRecords(events, 1_795_338_003_412);
  expect(records).toEqual(events.map((one) => eventRecord(one, 1_795_338_003_412)));
  expect(records[1]?.key).toBe(records[0]?.key);
});

test("a withheld event stands in the order of the emitter whose event it replaces", () => {
  const withheld = withheldEvent(event, "card", "/data/call/name");
  expect(String(eventRecord(withheld, 0).key)).toBe("acme/tickets-test");
});

test("what was made by a component has its order", () => {
  const { chain: _chain, ...data } = event.event.data as typeof event.event.data & {
    chain: unknown;
  };
  const span = {
    ...event.event,
    source: "urn:countersign:connector:ingest",
    data: { ...data, evidence: "span" },
  } as typeof event.event;
  const { key } = eventRecord({ bytes: event.bytes, hash: event.hash, event: span }, 0);
  expect(String(key)).toBe("acme/ingest");
});

test("a record is read back as the same event; a header that is missing is no fault", () => {
  expect(readRecord(stored({}))).toMatchObject({ event: { hash: event.hash } });
  expect(readRecord(stored({ headers: new Map() }))).toMatchObject({ event: { hash: event.hash } });
});

const changed = (edit: (text: string) => string): Buffer =>
  Buffer.from(edit(Buffer.from(event.bytes).toString("utf8")));

test.each([
  ["a tombstone", { value: null }, "value_missing"],
  ["not JSON", { value: Buffer.from("{") }, "not_sealed"],
  ["a space too many", { value: changed((json) => `${json} `) }, "not_sealed"],
  ["another hash", { headers: new Map([["cs_hash", Buffer.from("00")]]) }, "hash_mismatch"],
  [
    "another decision",
    { value: changed((json) => json.replace('"allow"', '"perhaps"')), headers: new Map() },
    "schema_invalid",
  ],
])("%s is poison", (_name, record, poison) => {
  expect(readRecord(stored(record))).toMatchObject({ poison });
});

test("the dead letter of a poisoned record has its key, value and headers, and says why and from where", () => {
  const value = Buffer.from("{");
  const record = stored({ value });
  const read = readRecord(record);
  if ("event" in read) throw new Error("it is one");
  const letter = letterRecord(poisonLetter(record, read, "kafka/siem"));
  expect([letter.key, letter.value]).toEqual([record.key, value]);
  expect(text(letter)).toEqual({
    ...text(record),
    cs_dlq_reason: "not_sealed",
    cs_dlq_component: "kafka/siem",
    cs_dlq_topic: "countersign.events.v1",
    cs_dlq_partition: "5",
    cs_dlq_offset: "88210",
    cs_dlq_attempts: "1",
    cs_dlq_time: expect.stringMatching(/Z$/) as string,
    cs_dlq_detail: expect.any(String) as string,
    cs_dlq_size: "1",
  });
});

test.each([
  ["value", { value: Buffer.from("{ alice@example.com") }],
  ["key", { value: Buffer.from("{"), key: Buffer.from("alice@example.com") }],
  [
    "header",
    { value: Buffer.from("{"), headers: new Map([["x", Buffer.from("alice@example.com")]]) },
  ],
])(
  "the letter of a record with a secret in its %s has its place and nothing of it",
  (_where, poisoned) => {
    const record = stored(poisoned);
    const read = readRecord(record);
    if ("event" in read) throw new Error("it is one");
    const letter = letterRecord(poisonLetter(record, read, "kafka/siem"));
    expect(letter.value).toBeNull();
    expect(JSON.stringify([String(letter.key), text(letter)])).not.toContain("alice");
    expect(text(letter)).toMatchObject({ cs_dlq_offset: "88210", cs_dlq_reason: "not_sealed" });
  },
);

test("the dead letter of an event that a sink refused has what the log knows of it", () => {
  const record = stored({});
  const read = readRecord(record);
  if (!("event" in read)) throw new Error("it is none");
  const { bytes, hash } = read.event;
  const refused: Letter = {
    reason: "rejected",
    component: "splunk_hec/soc",
    sink: "splunk_hec/soc",
    attempts: 3,
    timeMs: 0,
    event: read.event,
    bytes,
    hash,
  };
  // It went to Kafka before it was refused elsewhere: its bytes and its place are all that is left.
  letGoOfParsed([read.event]);
  const letter = letterRecord(refused);
  expect([letter.key, letter.value]).toEqual([record.key, record.value]);
  expect(text(letter)).toMatchObject({
    cs_received: "1795338003412",
    cs_dlq_sink: "splunk_hec/soc",
    cs_dlq_attempts: "3",
    cs_dlq_offset: "88210",
  });
});

test("a letter that must not keep its original has none, and is found by its hash", () => {
  const letter = letterRecord({
    reason: "not_sealed",
    component: "intake",
    timeMs: 0,
    hash: event.hash,
  });
  expect(letter.value).toBeNull();
  expect(String(letter.key)).toBe(event.hash);
  expect(text(letter)).toMatchObject({ cs_dlq_hash: event.hash });
});

test("a receipt is keyed by what it is about", () => {
  const receipt = { sink: "splunk_hec/soc", log: "countersign.events.v1", partition: 5 } as Receipt;
  const record = receiptRecord(receipt);
  expect(String(record.key)).toBe("splunk_hec/soc/countersign.events.v1/5");
  expect(JSON.parse(String(Buffer.from(record.value ?? [])))).toEqual(receipt);
});

test("what is read is the sealed bytes, so it may be sent on", () => {
  const read = readRecord(stored({}));
  if (!("event" in read)) throw new Error("it is none");
  expect(unseal(read.event.bytes).hash).toBe(event.hash);
});
