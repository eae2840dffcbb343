import { expect, test } from "vitest";
import { readCallerLine } from "./message.ts";

function read(text: string): unknown {
  const {
    line: _line,
    root: _root,
    ...rest
  } = readCallerLine(Buffer.from(text)) as unknown as Record<string, unknown>;
  return rest;
}

const faulty = (problem: string, rest: object = {}): object => ({
  kind: "faulty",
  problem,
  ...rest,
});

test.each([
  [
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","_meta":{"a":1}}}',
    {
      kind: "request",
      id: 1,
      method: "tools/call",
      params: { name: "t", _meta: { a: 1 } },
      meta: { a: 1 },
    },
  ],
  [
    '{"jsonrpc":"2.0","id":"a","method":"ping"}',
    { kind: "request", id: "a", method: "ping", params: undefined, meta: undefined },
  ],
  [
    '{"jsonrpc":"2.0","method":"notifications/initialized"}',
    { kind: "notification", method: "notifications/initialized" },
  ],
  [
    '{"jsonrpc":"2.0","method":"tools/call","params":{"name":"t"}}',
    { kind: "notification", method: "tools/call" },
  ],
  [
    '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3,"reason":"x"}}',
    { kind: "notification", method: "notifications/cancelled", cancels: 3 },
  ],
  [
    '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":{"a":3}}}',
    { kind: "notification", method: "notifications/cancelled" },
  ],
  ['{"jsonrpc":"2.0","id":1,"result":{}}', { kind: "response", id: 1 }],
  ['{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}', { kind: "response", id: 1 }],
  ['{"jsonrpc":"2.0","id":1,"method":"m","result":{}}', faulty("envelope", { id: 1, method: "m" })],
  ['{"jsonrpc":"2.0","id":1,"result":{},"error":{}}', faulty("envelope", { id: 1 })],
  ['{"jsonrpc":"2.0","id":1}', faulty("envelope", { id: 1 })],
  ['{"jsonrpc":"2.0","result":{}}', faulty("envelope")],
  ['{"jsonrpc":"1.0","id":1,"method":"m"}', faulty("envelope", { id: 1, method: "m" })],
  ['{"id":1,"method":"m"}', faulty("envelope", { id: 1, method: "m" })],
  // Go reads keys without their case: to it this is a request.
  ['{"jsonrpc":"2.0","id":1,"result":{},"METHOD":"tools/call"}', faulty("envelope", { id: 1 })],
  ['{"jsonrpc":"2.0","id":null,"method":"m"}', faulty("envelope", { method: "m" })],
  ['{"jsonrpc":"2.0","id":1.5,"method":"m"}', faulty("envelope", { method: "m" })],
  ['{"jsonrpc":"2.0","id":1.0,"method":"m"}', faulty("envelope", { id: 1, method: "m" })],
  ['{"jsonrpc":"2.0","id":1e2,"method":"m"}', faulty("envelope", { id: 100, method: "m" })],
  ['{"jsonrpc":"2.0","id":-0,"method":"m"}', faulty("envelope", { id: -0, method: "m" })],
  ['{"jsonrpc":"2.0","id":9007199254740992,"method":"m"}', faulty("envelope", { method: "m" })],
  ['{"jsonrpc":"2.0","id":[1],"method":"m"}', faulty("envelope", { method: "m" })],
  [`{"jsonrpc":"2.0","id":"${"x".repeat(257)}","method":"m"}`, faulty("envelope", { method: "m" })],
  ['{"jsonrpc":"2.0","id":1,"method":7}', faulty("envelope", { id: 1 })],
  ['{"jsonrpc":"2.0","id":1,"method":""}', faulty("envelope", { id: 1 })],
  ['{"jsonrpc":"2.0","id":1,"method":"m","params":[1]}', faulty("params", { id: 1, method: "m" })],
  ['{"jsonrpc":"2.0","id":1,"method":"m","params":null}', faulty("params", { id: 1, method: "m" })],
  [
    '{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":"x"}}',
    faulty("meta", { id: 1, method: "m" }),
  ],
  [
    '{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":null}}',
    faulty("meta", { id: 1, method: "m" }),
  ],
  ['[{"jsonrpc":"2.0","id":1,"method":"m"}]', faulty("not_an_object")],
  ["hello", faulty("not_an_object")],
])("%s", (text, expected) => {
  expect(read(text)).toEqual(expected);
});
