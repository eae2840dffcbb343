import { expect, test } from "vitest";
import { HEADERS_SCHEMA } from "./headers.ts";

const { pattern } = HEADERS_SCHEMA["propertyNames"] as { pattern: string };

test.each([
  ["Authorization", true],
  ["x-api-key", true],
  ["TE-1", true],
  ["Hosted-By", true],
  // A length beside an encoding of the transfer: a proxy and the receiver may see two requests where one was sent.
  ["Transfer-Encoding", false],
  ["content-length", false],
  ["CONTENT-ENCODING", false],
  ["te", false],
  ["Host", false],
  ["a\r\nb", false],
  ["", false],
])("the header %j may be added: %s", (name, expected) => {
  expect(new RegExp(pattern, "u").test(name)).toBe(expected);
});
