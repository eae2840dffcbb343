import { ATTR_EVENT_HASH, errorCode } from "@countersign/model";
import type { EventCarrier } from "@countersign/pipeline";
import { expect, test } from "vitest";
import { createRandom, type Random } from "../testing/random.ts";
import { decodeProto } from "./decode-proto.ts";
import { encodeProto } from "./encode-proto.ts";
import { eventCarriers, type LogsRequest } from "./event-carriers.ts";
import { LOGS_REQUEST } from "./message.ts";
import { wireLogs } from "./wire-logs.ts";

const BODIES = process.env["COUNTERSIGN_LONG"] === "1" ? 1_000_000 : 3000;

interface Read {
  readonly records?: readonly (Omit<EventCarrier, "body"> & {
    readonly body: string | undefined;
  })[];
  readonly unknownFields?: number;
  readonly fault?: string | undefined;
}

function outcome(read: () => { value: readonly EventCarrier[]; unknownFields: number }): Read {
  try {
    const { value, unknownFields } = read();
    const records = value.map(({ name, hash, body }) => ({
      name,
      hash,
      body: body && Buffer.from(body).toString("hex"),
    }));
    return { records, unknownFields };
  } catch (error) {
    return { fault: errorCode(error) };
  }
}

const onTheWire = (bytes: Buffer): Read => outcome(() => wireLogs(bytes));
const byDecoding = (bytes: Buffer): Read =>
  outcome(() => {
    const { value, unknownFields } = decodeProto<LogsRequest>(bytes, LOGS_REQUEST);
    return { value: eventCarriers(value), unknownFields };
  });

const HASH = "5e".repeat(32);
const VALUES: readonly object[] = [
  { stringValue: HASH },
  { stringValue: "" },
  { stringValue: "tools/call \u{e9} é" },
  { bytesValue: "AP8=" },
  { intValue: "7" },
  { kvlistValue: { values: [{ key: ATTR_EVENT_HASH, value: { stringValue: HASH } }] } },
  { arrayValue: { values: [{ stringValue: "é" }, {}] } },
  {},
];

function attribute(random: Random): object {
  const key = random.pick([ATTR_EVENT_HASH, "countersign.event.hasH", "mcp.method.name", ""]);
  return random.chance(0.9) ? { key, value: random.pick(VALUES) } : { key };
}

function request(random: Random): LogsRequest {
  const many = <Item>(most: number, make: () => Item): Item[] =>
    Array.from({ length: random.below(most + 1) }, make);
  const logRecord = (): object => ({
    timeUnixNano: "1795338003412000001",
    severityText: "é",
    attributes: many(4, () => attribute(random)),
    ...(random.chance(0.9) ? { body: random.pick(VALUES) } : {}),
    ...(random.chance(0.7) ? { eventName: random.pick(["countersign.decision", "x", ""]) } : {}),
  });
  return {
    resourceLogs: many(2, () => ({
      resource: { attributes: many(2, () => attribute(random)) },
      scopeLogs: many(2, () => ({ scope: { name: "é" }, logRecords: many(3, logRecord) })),
      schemaUrl: "s",
    })),
  };
}

/** Parts of requests one after the other, with bytes changed, lost, doubled. */
function requestBytes(random: Random): Buffer {
  let bytes: Buffer = encodeProto(request(random), LOGS_REQUEST);
  for (let count = random.below(4); count > 0 && bytes.length > 0; count -= 1) {
    const [from, to] = [random.below(bytes.length), random.below(bytes.length)];
    if (random.chance(0.6))
      bytes[from] = random.pick([0, 1, 0x0a, 0x12, 0x2a, 0x32, 0x62, 0x80, 0xff]);
    else if (random.chance(0.5)) bytes = Buffer.concat([bytes, bytes.subarray(from, to)]);
    else bytes = Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)]);
  }
  return bytes;
}

test(`${BODIES} requests, sound and not: what is read is what a decoder reads`, () => {
  const seen = { records: 0, hashes: 0, faults: 0, unknown: 0 };
  for (let seed = 1; seed <= BODIES; seed += 1) {
    const bytes = requestBytes(createRandom(seed));
    const read = onTheWire(bytes);
    expect(read, `seed ${seed}`).toEqual(byDecoding(bytes));
    seen.records += read.records?.length ?? 0;
    seen.hashes += read.records?.filter(({ hash }) => hash === HASH).length ?? 0;
    seen.faults += read.fault === undefined ? 0 : 1;
    seen.unknown += read.unknownFields ?? 0;
  }
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(BODIES / 50);
}, 600_000);

/** A length-delimited field. */
const field = (number: number, ...parts: (Buffer | string)[]): Buffer => {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  return Buffer.concat([Buffer.from([(number << 3) | 2, body.length]), body]);
};
const recordOf = (...parts: Buffer[]): Buffer => field(1, field(2, field(2, ...parts)));
const pair = (...parts: Buffer[]): Buffer => field(6, ...parts);
const text = (value: string): Buffer => field(1, value);
const key = field(1, ATTR_EVENT_HASH);

test.each<[string, Buffer, string | undefined]>([
  ["the key after the value", recordOf(pair(field(2, text("a")), key)), "a"],
  ["two values: the last", recordOf(pair(key, field(2, text("a")), field(2, text("b")))), "b"],
  ["two texts in a value", recordOf(pair(key, field(2, text("a"), text("b")))), "b"],
  ["a text, then bytes", recordOf(pair(key, field(2, text("a"), field(7, "b")))), undefined],
  ["two keys: the last", recordOf(pair(key, field(1, "x"), field(2, text("a")))), undefined],
  [
    "two attributes: the first",
    recordOf(pair(key, field(2, text("a"))), pair(key, field(2, text("b")))),
    "a",
  ],
  ["two attributes, no text first", recordOf(pair(key), pair(key, field(2, text("b")))), undefined],
])("%s", (_, bytes, hash) => {
  expect(onTheWire(bytes).records).toMatchObject([{ hash }]);
  expect(onTheWire(bytes)).toEqual(byDecoding(bytes));
});

test("a body is a view of what came", () => {
  const bytes = recordOf(field(5, text("{}")), field(12, "countersign.stop"));
  const [record] = wireLogs(bytes).value;
  expect(record).toMatchObject({ name: "countersign.stop", hash: undefined });
  expect(record?.body?.buffer).toBe(bytes.buffer);
});
