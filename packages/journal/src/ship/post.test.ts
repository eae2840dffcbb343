import { expect, test } from "vitest";
import { logsUrl, parseRetryAfter } from "./post.ts";

test.each([
  ["http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/logs"],
  ["http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/logs"],
  ["https://otel.example/tenants/acme/#x", "https://otel.example/tenants/acme/v1/logs"],
])("events for %s go to %s", (endpoint, url) => {
  expect(logsUrl(endpoint).href).toBe(url);
});

test.each(["", "otel.example:4318", "file:///etc/passwd"])("%j is no endpoint", (endpoint) => {
  expect(() => logsUrl(endpoint)).toThrow(/COUNTERSIGN_OTLP_ENDPOINT/);
});

test.each([
  [undefined, undefined],
  ["3", 3_000],
  ["Sun, 22 Nov 2026 09:00:10 GMT", 10_000],
  ["Sun, 22 Nov 2026 08:00:00 GMT", 0],
  ["soon", undefined],
])("Retry-After %j is %j ms", (value, expected) => {
  expect(parseRetryAfter(value, Date.UTC(2026, 10, 22, 9))).toBe(expected);
});
