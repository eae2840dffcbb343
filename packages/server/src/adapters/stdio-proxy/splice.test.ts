import { META_CALL_PROOF } from "@countersign/model";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { scan, type ScannedObject } from "./scan.ts";
import { spliceMeta } from "./splice.ts";

const TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

function rootOf(line: Buffer): ScannedObject {
  const { root } = scan(line, {
    strict: true,
    maxDepth: 64,
    interest: { params: { _meta: {} } },
  }) as {
    root: ScannedObject;
  };
  return root;
}

function spliced(text: string, tracestate?: string): string {
  const line = Buffer.from(text);
  return spliceMeta(line, rootOf(line), {
    traceparent: TRACEPARENT,
    ...(tracestate === undefined ? {} : { tracestate }),
  }).toString("utf8");
}

const T = `"traceparent":"${TRACEPARENT}"`;

test.each([
  ["no params", '{"id":1}', `{"params":{"_meta":{${T}}},"id":1}`],
  ["no _meta", '{"params": {"a":1}}', `{"params": {"_meta":{${T}},"a":1}}`],
  ["empty params", '{"params":{ }}', `{"params":{"_meta":{${T}} }}`],
  ["empty _meta", '{"params":{"_meta":{}}}', `{"params":{"_meta":{${T}}}}`],
  ["other keys", '{"params":{"_meta":{ "a":1 }}}', `{"params":{"_meta":{${T}, "a":1 }}}`],
  [
    "replaced",
    '{"params":{"_meta":{"a":1, "traceparent" : "bad" }}}',
    `{"params":{"_meta":{"a":1, "traceparent" : "${TRACEPARENT}" }}}`,
  ],
  [
    "replaced, no string",
    '{"params":{"_meta":{"traceparent":{"x":[1]}}}}',
    `{"params":{"_meta":{"traceparent":"${TRACEPARENT}"}}}`,
  ],
  [
    "tracestate alone goes",
    '{"params":{"_meta":{"tracestate":"a=1"}}}',
    `{"params":{"_meta":{${T}}}}`,
  ],
  [
    "tracestate first goes",
    '{"params":{"_meta":{"tracestate":"a=1", "b":2}}}',
    `{"params":{"_meta":{${T},"b":2}}}`,
  ],
  [
    "tracestate last goes",
    `{"params":{"_meta":{"b":2, "tracestate":"a=1" }}}`,
    `{"params":{"_meta":{${T},"b":2 }}}`,
  ],
  [
    "tracestate after traceparent goes",
    '{"params":{"_meta":{"traceparent":"x","tracestate":"a=1"}}}',
    `{"params":{"_meta":{${T}}}}`,
  ],
  [
    "tracestate before traceparent goes",
    '{"params":{"_meta":{"tracestate":"a=1","traceparent":"x"}}}',
    `{"params":{"_meta":{${T}}}}`,
  ],
  [
    "a _meta in the arguments is none of ours",
    '{"params":{"arguments":{"_meta":{"traceparent":"x"}}}}',
    `{"params":{"_meta":{${T}},"arguments":{"_meta":{"traceparent":"x"}}}}`,
  ],
])("%s", (_what, before, after) => {
  expect(spliced(before)).toBe(after);
});

test("a new tracestate takes the place of the caller's", () => {
  expect(spliced('{"params":{"_meta":{"tracestate":"a=1","x":1}}}', "b=2")).toBe(
    `{"params":{"_meta":{${T},"tracestate":"b=2","x":1}}}`,
  );
});

const P = `"${META_CALL_PROOF}":{"proof":"x"}`;
const ESCAPED = `"dev.countersign\\/call\\u002dproof":{"proof":"x"}`;

test.each([
  ["alone", `{"params":{"_meta":{ ${P} }}}`, '{"params":{"_meta":{  }}}'],
  ["first", `{"params":{"_meta":{${P}, "a":1}}}`, '{"params":{"_meta":{"a":1}}}'],
  [
    "in the middle",
    `{"params":{"_meta":{"a":1,${P}, "b":2}}}`,
    '{"params":{"_meta":{"a":1,"b":2}}}',
  ],
  ["last", `{"params":{"_meta":{"a":1 ,${P}}}}`, '{"params":{"_meta":{"a":1}}}'],
  ["escaped", `{"params":{"_meta":{"a":1,${ESCAPED}}}}`, '{"params":{"_meta":{"a":1}}}'],
  ["no object", `{"params":{"_meta":{"${META_CALL_PROOF}":null}}}`, '{"params":{"_meta":{}}}'],
  [
    "in the arguments",
    `{"params":{"arguments":{"_meta":{${P}}}}}`,
    `{"params":{"arguments":{"_meta":{${P}}}}}`,
  ],
])("without a trace context the call proof goes and nothing else: %s", (_what, before, after) => {
  const line = Buffer.from(before);
  expect(spliceMeta(line, rootOf(line), undefined).toString("utf8")).toBe(after);
});

test("a line that needs no change is not copied", () => {
  const line = Buffer.from('{"params":{"_meta":{"tracestate":"a=1"}}}');
  expect(spliceMeta(line, rootOf(line), undefined)).toBe(line);
});

const key = fc.oneof(
  fc.constantFrom(
    META_CALL_PROOF,
    "traceparent",
    "tracestate",
    "progressToken",
    "a",
    "é",
    'q"uote',
  ),
  fc.string({ maxLength: 4 }),
);
const looseMeta = fc.uniqueArray(fc.tuple(key, fc.jsonValue({ maxDepth: 2 })), {
  selector: ([name]) => name.toLowerCase().toUpperCase(),
  maxLength: 6,
});
const space = fc.constantFrom("", " ", "\t", "  ");

type Entries = readonly (readonly [string, unknown])[];

/** JSON text with white space where a serialiser would not put it, so that a re-serialisation would show. */
function print(entries: Entries, gap: string): string {
  const inner = entries.map(
    ([name, value]) => `${gap}${JSON.stringify(name)}${gap}:${gap}${JSON.stringify(value)}${gap}`,
  );
  return `{${inner.join(",")}}`;
}

/** The `_meta` as it must come out, byte for byte: built from the entries, not by cutting. */
function printed(entries: Entries, gap: string, trace: Readonly<Record<string, string>>): string {
  const kept = entries
    .filter(([name]) => name !== META_CALL_PROOF && (name !== "tracestate" || name in trace))
    .map(([name, value]) => [name, trace[name] ?? value] as const);
  const missing = Object.entries(trace).filter(([name]) => !kept.some(([had]) => had === name));
  const inserted = missing
    .map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`)
    .join(",");
  const rest = kept.length === 0 && entries.length > 0 ? `{${gap}${gap}}` : print(kept, gap);
  return `{${inserted}${inserted !== "" && kept.length > 0 ? "," : ""}${rest.slice(1)}`;
}

test("forwarded, the message is the caller's with another trace context and no call proof; every other byte is the caller's", () => {
  fc.assert(
    fc.property(
      fc.option(looseMeta, { nil: undefined }),
      fc.jsonValue({ maxDepth: 2 }),
      space,
      fc.option(fc.constantFrom("v=1", 'odd"state'), { nil: undefined }),
      (meta, value, gap, tracestate) => {
        const trace = {
          traceparent: TRACEPARENT,
          ...(tracestate === undefined ? {} : { tracestate }),
        };
        const message = (metaText: string | undefined, first = ""): string =>
          `{"jsonrpc":"2.0",${gap}"id":1,"method":"tools/call","params":${gap}{${first}${gap}"arguments":${JSON.stringify(
            value,
          )}${metaText === undefined ? "" : `${gap},${gap}"_meta"${gap}:${metaText}`}}${gap}}`;
        const text = message(meta === undefined ? undefined : print(meta, gap));
        fc.pre(
          scan(Buffer.from(text), { strict: true, maxDepth: 64, interest: {} }).problem ===
            undefined,
        );
        const out = spliced(text, tracestate);
        expect(out).toBe(
          meta === undefined
            ? message(undefined, `"_meta":${JSON.stringify(trace)},`)
            : message(printed(meta, gap, trace)),
        );
        const before = JSON.parse(text) as { params: { _meta?: Record<string, unknown> } };
        const { _meta: had = {} } = before.params;
        const { traceparent: _p, tracestate: _s, [META_CALL_PROOF]: _proof, ...rest } = had;
        expect(JSON.parse(out)).toEqual({
          ...before,
          params: { ...before.params, _meta: { ...rest, ...trace } },
        });
      },
    ),
  );
});
