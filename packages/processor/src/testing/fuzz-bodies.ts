// Bodies that a sender, a proxy or somebody with time may send.
import { gzipSync } from "node:zlib";
import { JsonTraceSerializer, ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer";
import { hostileRequest } from "./hostile.ts";
import { createRandom, type Random } from "./random.ts";
import { sdkSpans } from "./spans.ts";

/** One body, and how it is sent. */
export interface FuzzBody {
  readonly bytes: Buffer;
  readonly type: "application/x-protobuf" | "application/json";
  readonly encoding: "gzip" | undefined;
}

const SPANS = sdkSpans([
  {
    name: "tools/call read_ticket",
    attributes: { "error.type": "alice@example.com", "mcp.method.name": "tools/call", list: ["é"] },
    events: [{ name: "e", attributes: { "error.type": 4_111_111_111_111_111 } }],
    links: [{ "error.type": true }],
    statusMessage: "no",
  },
  { name: "b", attributes: { n: 0.5, "user.id": "alice" } },
]);
const PROTO: Buffer = Buffer.from(ProtobufTraceSerializer.serializeRequest(SPANS) ?? []);
const JSON_BODY: Buffer = Buffer.from(JsonTraceSerializer.serializeRequest(SPANS) ?? []);

/** A body by its seed. */
export function fuzzBody(seed: number): FuzzBody {
  const random = createRandom(seed);
  const isJson = random.chance(0.4);
  const bytes = isJson ? jsonBody(random) : protoBody(random, seed);
  const type = isJson ? "application/json" : "application/x-protobuf";
  if (random.chance(0.9)) return { bytes, type, encoding: undefined };
  return { bytes: compressed(bytes, random), type, encoding: "gzip" };
}

function protoBody(random: Random, seed: number): Buffer {
  switch (random.below(8)) {
    case 0:
      return noise(random, 200);
    case 1:
    case 2:
      return hostileRequest(seed);
    case 3:
      return random.pick(LENGTHS);
    case 4:
      return random.chance(0.05) ? random.pick(BOMBS) : nested(random.below(90));
    case 5:
      return Buffer.concat([PROTO, mutated(PROTO, random)]);
    default:
      return mutated(PROTO, random);
  }
}

function jsonBody(random: Random): Buffer {
  switch (random.below(6)) {
    case 0:
      return Buffer.from(random.pick(ODD_JSON));
    case 1:
      return random.chance(0.05)
        ? Buffer.from(random.pick(JSON_BOMBS))
        : Buffer.from(nestedJson(random.below(60)));
    case 2:
      return swapped(random);
    default:
      return mutated(JSON_BODY, random);
  }
}

function noise(random: Random, most: number): Buffer {
  return Buffer.from(Array.from({ length: random.below(most) }, () => random.below(256)));
}

/** Bytes changed, lost, doubled, put in, cut off. */
function mutated(bytes: Buffer, random: Random): Buffer {
  let changed: Buffer = Buffer.from(bytes);
  for (let count = random.below(4); count > 0; count -= 1) {
    const at = random.below(changed.length + 1);
    const [before, after] = [changed.subarray(0, at), changed.subarray(at)];
    const some = random.below(12);
    if (random.chance(0.4)) changed[Math.min(at, changed.length - 1)] = random.below(256);
    else if (random.chance(0.25)) changed = Buffer.from(before);
    else if (random.chance(0.3)) changed = Buffer.concat([before, after.subarray(some)]);
    else if (random.chance(0.5)) changed = Buffer.concat([before, noise(random, 8), after]);
    else changed = Buffer.concat([before, after.subarray(0, some), after]);
  }
  return changed;
}

/** Lengths and numbers that do not fit: 2^31, 2^32 − 1, 2^63, ten bytes and eleven. */
const LENGTHS: readonly Buffer[] = [
  "0a8080808008",
  "0affffffff0f",
  "0a80808080808080808001",
  "0affffffffffffffffff7f",
  "0affffffffffffffffffff01",
  "ffffffffffffffffffff01",
  "8a80808080808080808000",
  "0a",
  "0a80",
  "0b0c",
  "0f",
  "00",
  "",
].map((hex) => Buffer.from(hex, "hex"));

/** An attribute whose value is `depth` lists within one another. */
function nested(depth: number): Buffer {
  let value: Buffer = Buffer.from("0a0178", "hex");
  for (let level = 0; level < depth; level += 1) value = field(5, field(1, value));
  const pair = Buffer.concat([field(1, Buffer.from("error.type")), field(2, value)]);
  return field(1, field(1, field(1, pair)));
}

function field(number: number, body: Buffer): Buffer {
  const bytes = [number * 8 + 2];
  let rest = body.length;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  return Buffer.concat([Buffer.from([...bytes, rest]), body]);
}

function nestedJson(depth: number): string {
  const open = '{"arrayValue":{"values":['.repeat(depth);
  const value = `${open}{"stringValue":"x"}${"]}}".repeat(depth)}`;
  return `{"resourceSpans":[{"resource":{"attributes":[{"key":"error.type","value":${value}}]}}]}`;
}

const BOMBS: readonly Buffer[] = [nested(1000), nested(4000), Buffer.alloc(200_000, 0x0a)];

const JSON_BOMBS: readonly string[] = [
  "[".repeat(100_000),
  '{"a":'.repeat(50_000),
  nestedJson(5000),
  `{"resourceSpans":[${"{},".repeat(50_000)}{}]}`,
  `{"resourceSpans":[{"schemaUrl":"${"\\u0000".repeat(20_000)}"}]}`,
  "1".repeat(300_000),
];

const ODD_JSON: readonly string[] = [
  "{}",
  "null",
  "[]",
  '"x"',
  "",
  "\ufeff{}",
  '{"resourceSpans":null}',
  '{"resourceSpans":[null]}',
  '{"resourceSpans":[{"resourceSpans":[]}],"resourceSpans":[]}',
  '{"__proto__":{"resourceSpans":[]}}',
  '{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"\\ud800"}]}]}]}',
  '{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":"18446744073709551616"}]}]}]}',
  '{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":1e400}]}]}]}',
  '{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":4294967296}]}]}]}',
  '{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":1.5}]}]}]}',
  '{"resourceSpans":[{"scopeSpans":[{"spans":[{"flags":-1}]}]}]}',
  '{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"zz"}]}]}]}',
  '{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"abc"}]}]}]}',
];

const ODD_VALUES: readonly string[] = [
  '"9223372036854775808"',
  '"-9223372036854775809"',
  '"1e3"',
  '" 1"',
  "1e21",
  "9007199254740993",
  "-0",
  "NaN",
  '"NaN"',
  '"Infinity"',
  "true",
  "{}",
  "[]",
  "null",
  '"====="',
  '"🂡"',
];

/** One number or text of a real body becomes something else. */
function swapped(random: Random): Buffer {
  const text = JSON_BODY.toString("utf8");
  const values = [...text.matchAll(/:("[^"]*"|\d+|true)/g)];
  const one = random.pick(values);
  const start = one.index + 1;
  const end = one.index + one[0].length;
  return Buffer.from(text.slice(0, start) + random.pick(ODD_VALUES) + text.slice(end));
}

/** Whole, cut, damaged, with something behind it, twice, too large, none at all. */
function compressed(bytes: Buffer, random: Random): Buffer {
  const whole = gzipSync(bytes, { level: 1 });
  switch (random.below(7)) {
    case 0:
      return whole.subarray(0, random.below(whole.length));
    case 1:
      return mutated(whole, random);
    case 2:
      return Buffer.concat([whole, noise(random, 20)]);
    case 3:
      return Buffer.concat([whole, whole]);
    case 4:
      return random.chance(0.2) ? GZIP_BOMB : bytes;
    default:
      return whole;
  }
}

/** 6 KB that become 6 MB. */
const GZIP_BOMB: Buffer = gzipSync(Buffer.alloc(6 * 1024 * 1024));
