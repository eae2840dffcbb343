import { expect, test } from "vitest";
import { isHttpsOrLoopback, isLoopbackHost } from "./loopback.ts";

test.each([
  "https://idp.example",
  "https://idp.example:8443/realms/a",
  "http://localhost:8080",
  "http://127.0.0.1",
  "http://127.1.2.3:1/a",
  "http://[::1]:4318",
  "http://127.1", // a URL parser writes it out
])("%s may be asked", (url) => {
  expect(isHttpsOrLoopback(url)).toBe(true);
});

test.each([
  "http://idp.example",
  "http://localhost.example",
  "http://127.0.0.1.example",
  "http://0.0.0.0",
  "http://[::]",
  "http://10.0.0.1",
  "ftp://localhost",
  "file:///etc/passwd",
  "https://user@idp.example",
  "http://:secret@localhost",
  "localhost:8080",
  "",
])("%s may not", (url) => {
  expect(isHttpsOrLoopback(url)).toBe(false);
});

test("a host that starts or ends like loopback is not loopback", () => {
  for (const host of ["localhost", "::1", "[::1]", "127.0.0.1", "127.255.255.254"])
    expect(isLoopbackHost(host)).toBe(true);
  for (const host of [
    "",
    "127.0.0",
    "127.0.0.1.example",
    "a.localhost",
    "1127.0.0.1",
    "::",
    "::12",
  ])
    expect(isLoopbackHost(host)).toBe(false);
});
