import {
  draftStart,
  type EventDraft,
  seal,
  type SealedEvent,
  SCOPE_GATE,
} from "@countersign/model";
import { expect, test } from "vitest";
import type { SegmentHeader } from "../segment.ts";
import { decision, EPOCH_INFO } from "../testing/journal-fixture.ts";
import { encodedSize, encodeRecord, encodeRequest } from "./otlp-logs.ts";

const EPOCH = "8ca74318d50c4c1be14ceba89d191e69";
const NOW_MS = 1_800_000_000_123;

const HEADER: SegmentHeader = {
  format: 1,
  emitter: "origin",
  epoch: EPOCH,
  epochNumber: 3,
  segment: 0,
  firstSeq: 0,
  prev: "0".repeat(64),
  tenant: "acme",
  service: { name: 'tickets "1"', version: "2.3.1" },
  producer: "0.1.0",
};

function sealed(draft: EventDraft): SealedEvent {
  const chain = { emitter: "origin", epoch: EPOCH, seq: 7, prev: "0".repeat(64) };
  return seal(draft, chain, "2027-01-15T08:00:00.250Z");
}

interface LogRecord {
  readonly [member: string]: unknown;
  readonly attributes: readonly { readonly key: string; readonly value: object }[];
}

/** The one record of a request. */
function record(bytes: Uint8Array): LogRecord {
  const request = encodeRequest([encodeRecord(bytes)], HEADER, NOW_MS);
  const { resourceLogs } = JSON.parse(request) as {
    resourceLogs: { scopeLogs: { logRecords: LogRecord[] }[] }[];
  };
  return resourceLogs[0]?.scopeLogs[0]?.logRecords[0] as LogRecord;
}

function attributesOf({ attributes }: LogRecord): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
}

interface Loose {
  type: string;
  traceparent: string | undefined;
  readonly data: {
    decision?: string;
    reason?: string;
    effect?: string;
    call?: { method: string; name?: string };
  };
}

/** Sealed bytes with other members; nobody checks the chain here. */
function changed(change: (event: Loose) => unknown): Uint8Array {
  const event = structuredClone(sealed(decision()).event) as unknown as Loose;
  change(event);
  return Buffer.from(JSON.stringify(event));
}

test("a decision, member by member", () => {
  const event = sealed(decision("read_ticket"));
  const { attributes, ...rest } = record(event.bytes);
  expect(rest).toEqual({
    timeUnixNano: "1800000000250000000",
    observedTimeUnixNano: "1800000000123000000",
    severityNumber: 9,
    eventName: "countersign.decision",
    traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
    spanId: "53995c3f42cd8ad8",
    flags: 1,
    body: { stringValue: Buffer.from(event.bytes).toString("utf8") },
  });
  expect(attributes).toEqual([
    { key: "countersign.event.id", value: { stringValue: event.event.id } },
    { key: "countersign.event.hash", value: { stringValue: event.hash } },
    { key: "countersign.chain.epoch", value: { stringValue: EPOCH } },
    { key: "countersign.chain.seq", value: { intValue: "7" } },
    { key: "countersign.decision", value: { stringValue: "allow" } },
    { key: "countersign.reason", value: { stringValue: "permitted" } },
    { key: "countersign.effect", value: { stringValue: "run" } },
    { key: "mcp.method.name", value: { stringValue: "tools/call" } },
    { key: "gen_ai.tool.name", value: { stringValue: "read_ticket" } },
  ]);
});

test("the resource is the server that was guarded, the scope the gate", () => {
  const request = JSON.parse(encodeRequest([], HEADER, NOW_MS));
  expect(request).toEqual({
    resourceLogs: [
      {
        resource: {
          attributes: [
            { key: "service.name", value: { stringValue: 'tickets "1"' } },
            { key: "service.version", value: { stringValue: "2.3.1" } },
            { key: "countersign.emitter", value: { stringValue: "origin" } },
            { key: "countersign.tenant", value: { stringValue: "acme" } },
          ],
        },
        scopeLogs: [{ scope: { name: SCOPE_GATE, version: "0.1.0" }, logRecords: [] }],
      },
    ],
  });
  const unnamed = encodeRequest([], { ...HEADER, service: { name: "tickets" } }, NOW_MS);
  expect(unnamed).not.toContain("service.version");
});

test("several records are one list", () => {
  const one = encodeRecord(sealed(decision()).bytes);
  const request = JSON.parse(encodeRequest([one, one], HEADER, NOW_MS));
  expect(request.resourceLogs[0].scopeLogs[0].logRecords).toHaveLength(2);
});

test.each([
  ["allow", 9],
  ["deny", 13],
  ["error", 17],
])("%s has severity %i", (verdict, severityNumber) => {
  const bytes = changed(({ data }) => (data.decision = verdict));
  expect(record(bytes)).toMatchObject({ severityNumber });
});

test("without a trace, or with a malformed one, there are no trace fields", () => {
  for (const traceparent of [
    undefined,
    "00-4bf92f3577b34da6a3ce929d0e0e4736-53995c3f42cd8ad8-01-more",
    "x00-4bf92f3577b34da6a3ce929d0e0e4736-53995c3f42cd8ad8-01",
    "01-4bf92f3577b34da6a3ce929d0e0e4736-53995c3f42cd8ad8-01",
    "00-4BF92F3577b34da6a3ce929d0e0e4736-53995c3f42cd8ad8-01",
  ]) {
    const found = record(changed((event) => (event.traceparent = traceparent)));
    expect([found["traceId"], found["spanId"], found["flags"]]).toEqual(Array(3).fill(undefined));
  }
  const sampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-53995c3f42cd8ad8-1f";
  expect(record(changed((event) => (event.traceparent = sampled)))).toMatchObject({ flags: 31 });
});

test("a name is the tool's only where it is a tool that is called", () => {
  const tool = "gen_ai.tool.name";
  const other = changed(
    ({ data }) => ((data.call as { method: string }).method = "resources/read"),
  );
  expect(attributesOf(record(other))).not.toHaveProperty([tool]);
  const nameless = changed(({ data }) => delete data.call?.name);
  expect(attributesOf(record(nameless))).not.toHaveProperty([tool]);
  expect(attributesOf(record(nameless))).toHaveProperty(["mcp.method.name"], "tools/call");
});

test("what an event does not say is not said of it", () => {
  const start = record(
    sealed(draftStart({ ...EPOCH_INFO, epochNumber: 1, coverage: EPOCH_INFO.coverage() })).bytes,
  );
  expect(start["eventName"]).toBe("countersign.start");
  expect(Object.keys(attributesOf(start))).toEqual([
    "countersign.event.id",
    "countersign.event.hash",
    "countersign.chain.epoch",
    "countersign.chain.seq",
  ]);
  // A reason of another kind than a decision's.
  const outcome = changed(({ data }) => {
    delete data.decision;
    delete data.call;
  });
  expect(attributesOf(record(outcome))).not.toHaveProperty(["countersign.reason"]);
  const bare = changed(({ data }) => {
    delete data.reason;
    delete data.effect;
  });
  expect(Object.keys(attributesOf(record(bare)))).toEqual([
    "countersign.event.id",
    "countersign.event.hash",
    "countersign.chain.epoch",
    "countersign.chain.seq",
    "countersign.decision",
    "mcp.method.name",
    "gen_ai.tool.name",
  ]);
});

test("an event of a kind that is not known here has no name", () => {
  expect(record(changed((event) => (event.type = "other")))["eventName"]).toBe("");
});

test("the size is that in the request, in bytes", () => {
  const bytes = changed(({ data }) => ((data.call as { name: string }).name = "größe"));
  const encoded = encodeRecord(bytes);
  const whole = encodeRequest([encoded], HEADER, NOW_MS);
  const around = encodeRequest([], HEADER, NOW_MS);
  const inRequest = Buffer.byteLength(whole) - Buffer.byteLength(around);
  expect(encodedSize(encoded)).toBeGreaterThanOrEqual(inRequest);
  expect(encodedSize(encoded) - inRequest).toBeLessThan(10);
});

test("bytes that are a part of a larger buffer are read from where they are", () => {
  const event = sealed(decision());
  const around = Buffer.concat([Buffer.from("before"), event.bytes, Buffer.from("behind")]);
  const part = new Uint8Array(around.buffer, around.byteOffset + 6, event.bytes.length);
  expect(encodeRecord(part)).toEqual(encodeRecord(event.bytes));
  expect(encodeRecord(part).seq).toBe(7);
});

test("what is no event is refused", () => {
  expect(() => encodeRecord(Buffer.from("{}"))).toThrow(TypeError);
  expect(() => encodeRecord(Buffer.from("not JSON"))).toThrow(SyntaxError);
});
