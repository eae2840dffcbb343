import {
  JsonLogsSerializer,
  JsonTraceSerializer,
  ProtobufLogsSerializer,
  ProtobufTraceSerializer,
} from "@opentelemetry/otlp-transformer";
import { resourceFromAttributes } from "@opentelemetry/resources";
import type { Traces } from "@countersign/pipeline";
import { errorCode } from "@countersign/model";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { plain } from "../testing/plain.ts";
import { sdkSpans, type SpanFields } from "../testing/spans.ts";
import { decodeJson } from "./decode-json.ts";
import { decodeProto } from "./decode-proto.ts";
import { encodeProto } from "./encode-proto.ts";
import type { LogsRequest } from "./event-carriers.ts";
import { LOGS_REQUEST, RPC_STATUS, TRACE_REQUEST } from "./message.ts";

const text = fc.string({ unit: "binary", maxLength: 20 }).filter((one) => one.isWellFormed());
const attribute = fc.oneof(
  text,
  fc.boolean(),
  fc.integer({ min: -(2 ** 53) + 1, max: 2 ** 53 - 1 }),
  fc.double({ noNaN: true, min: -(2 ** 62), max: 2 ** 62 }),
  fc.array(text, { maxLength: 3 }),
  fc.array(fc.integer(), { maxLength: 3 }),
);
const key = fc.stringMatching(/^[a-z][a-z._]{0,10}$/);
const attributes = fc.dictionary(key, attribute, { maxKeys: 4, noNullPrototype: true });
const span: fc.Arbitrary<SpanFields> = fc.record(
  {
    name: text,
    attributes,
    resource: attributes,
    events: fc.array(fc.record({ name: text, attributes }), { maxLength: 2 }),
    links: fc.array(attributes, { maxLength: 2 }),
    statusMessage: text,
    startTime: fc.tuple(
      fc.integer({ min: 1, max: 2_000_000_000 }),
      fc.integer({ min: 0, max: 999_999_999 }),
    ),
  },
  { requiredKeys: ["name"] },
);

test("protobuf and JSON of a real SDK's spans mean the same", () => {
  fc.assert(
    fc.property(fc.array(span, { minLength: 1, maxLength: 3 }), (fields) => {
      const spans = sdkSpans(fields);
      const proto = decodeProto<Traces>(
        ProtobufTraceSerializer.serializeRequest(spans) as Uint8Array,
        TRACE_REQUEST,
      );
      const json = decodeJson<Traces>(
        JsonTraceSerializer.serializeRequest(spans) as Uint8Array,
        TRACE_REQUEST,
      );
      expect(proto.unknownFields).toBe(0);
      expect(json.unknownFields).toBe(0);
      expect(plain(proto.value)).toEqual(plain(json.value));
    }),
    { numRuns: 200 },
  );
});

test("what is encoded is what a real SDK writes, and comes back the same", () => {
  fc.assert(
    fc.property(fc.array(span, { minLength: 1, maxLength: 3 }), (fields) => {
      const bytes = ProtobufTraceSerializer.serializeRequest(sdkSpans(fields)) as Uint8Array;
      const { value } = decodeProto<Traces>(bytes, TRACE_REQUEST);
      const again = decodeProto<Traces>(encodeProto(value, TRACE_REQUEST), TRACE_REQUEST);
      expect(plain(again.value)).toEqual(plain(value));
    }),
    { numRuns: 200 },
  );
});

test("nanoseconds keep every digit", () => {
  const spans = sdkSpans([{ name: "a", startTime: [1_795_338_003, 412_345_679] }]);
  const { value } = decodeProto<Traces>(
    ProtobufTraceSerializer.serializeRequest(spans) as Uint8Array,
    TRACE_REQUEST,
  );
  const [first] = value.resourceSpans[0]?.scopeSpans?.[0]?.spans ?? [];
  expect(first?.startTimeUnixNano).toBe("1795338003412345679");
  expect(first?.endTimeUnixNano).toBe("1795338004999999999");
  expect(first?.parentSpanId).toBe("e".repeat(16));
});

test("log records of a real SDK, both encodings", () => {
  const record = {
    hrTime: [1_795_338_003, 412_000_001],
    hrTimeObserved: [1_795_338_003, 950_000_000],
    spanContext: { traceId: "4b".repeat(16), spanId: "53".repeat(8), traceFlags: 1 },
    severityNumber: 13,
    severityText: "WARN",
    body: '{"a":"ä\\u0000"}',
    eventName: "countersign.decision",
    resource: resourceFromAttributes({ "service.name": "tickets" }),
    instrumentationScope: { name: "dev.countersign.gate", version: "0.1.0" },
    attributes: {
      "countersign.chain.seq": 7,
      nested: { deep: [1, "x", true, new Uint8Array([0, 255])] },
    },
    droppedAttributesCount: 0,
  } as unknown as Parameters<typeof ProtobufLogsSerializer.serializeRequest>[0][number];
  const proto = decodeProto<LogsRequest>(
    ProtobufLogsSerializer.serializeRequest([record]) as Uint8Array,
    LOGS_REQUEST,
  );
  const json = decodeJson<LogsRequest>(
    JsonLogsSerializer.serializeRequest([record]) as Uint8Array,
    LOGS_REQUEST,
  );
  expect(proto.unknownFields + json.unknownFields).toBe(0);
  expect(plain(proto.value)).toEqual(plain(json.value));
  const [first] = proto.value.resourceLogs?.[0]?.scopeLogs?.[0]?.logRecords ?? [];
  expect(first?.body?.stringValue).toBe('{"a":"ä\\u0000"}');
  expect(first?.eventName).toBe("countersign.decision");
  expect(first?.timeUnixNano).toBe("1795338003412000001");
});

function outcome(read: () => unknown): unknown {
  try {
    read();
    return "read";
  } catch (error) {
    return errorCode(error) ?? error;
  }
}

test("whatever the bytes are: a value, or INPUT_INVALID", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, logs) => {
      const message = logs ? LOGS_REQUEST : TRACE_REQUEST;
      for (const decode of [decodeProto, decodeJson]) {
        expect(["read", "INPUT_INVALID"]).toContain(outcome(() => decode(bytes, message)));
      }
    }),
    { numRuns: 1000 },
  );
});

test("a damaged request is refused or read, never worse", () => {
  const bytes = ProtobufTraceSerializer.serializeRequest(
    sdkSpans([{ name: "tools/call", attributes: { "mcp.method.name": "tools/call", n: 3 } }]),
  ) as Uint8Array;
  for (let at = 0; at < bytes.length; at += 1) {
    for (const damaged of [bytes.slice(0, at), flip(bytes, at)]) {
      expect(["read", "INPUT_INVALID"]).toContain(
        outcome(() => decodeProto(damaged, TRACE_REQUEST)),
      );
    }
  }
});

function flip(bytes: Uint8Array, at: number): Uint8Array {
  const copy = bytes.slice();
  copy[at] = (copy[at] as number) ^ 0xff;
  return copy;
}

test("unknown fields are dropped and counted", () => {
  const known = encodeProto({ resourceSpans: [{ schemaUrl: "x" }] }, TRACE_REQUEST);
  const unknown = Buffer.concat([
    known,
    Buffer.from("9a06046c65616b", "hex"),
    Buffer.from("f8ff0301", "hex"),
  ]);
  const proto = decodeProto<Traces>(unknown, TRACE_REQUEST);
  expect(proto).toEqual({ value: { resourceSpans: [{ schemaUrl: "x" }] }, unknownFields: 2 });
  const json = decodeJson<Traces>(
    Buffer.from('{"resourceSpans":[{"schemaUrl":"x","leak":"y"}],"z":null}'),
    TRACE_REQUEST,
  );
  expect(json).toEqual({ value: { resourceSpans: [{ schemaUrl: "x" }] }, unknownFields: 2 });
});

test("values nest 64 deep at most", () => {
  const nest = (depth: number): object =>
    depth === 0 ? { stringValue: "x" } : { arrayValue: { values: [nest(depth - 1)] } };
  const request = (depth: number): object => ({
    resourceSpans: [{ resource: { attributes: [{ key: "a", value: nest(depth) }] } }],
  });
  const proto = (depth: number): unknown =>
    decodeProto(encodeProto(request(depth), TRACE_REQUEST), TRACE_REQUEST);
  const json = (depth: number): unknown =>
    decodeJson(Buffer.from(JSON.stringify(request(depth))), TRACE_REQUEST);
  for (const decode of [proto, json]) {
    expect(() => decode(20)).not.toThrow();
    expect(() => decode(40)).toThrow(/nest deeper/);
  }
});

test.each([
  ['{"resourceSpans":{}}', /resourceSpans is not a list/],
  [
    '{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"secret"}]}]}]}',
    /traceId is not an id in hex/,
  ],
  ['{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":"-1"}]}]}]}', /is not a time/],
  ['{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"\\ud800"}]}]}]}', /name is not text/],
  [
    '{"resourceSpans":[{"resource":{"attributes":[{"key":"a","value":{"intValue":"1","boolValue":true}}]}}]}',
    /is not one value/,
  ],
  ["[]", /is not an object/],
  ["{", /is not JSON/],
])("%s is refused without a value in the message", (body, message) => {
  expect(() => decodeJson(Buffer.from(body), TRACE_REQUEST)).toThrow(message);
  expect(() => decodeJson(Buffer.from(body), TRACE_REQUEST)).not.toThrow(/secret|-1/);
});

test("a status in protobuf is google.rpc.Status", () => {
  expect(encodeProto({ code: 14, message: "later" }, RPC_STATUS).toString("hex")).toBe(
    "080e12056c61746572",
  );
});
