import { once } from "node:events";
import { connect } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { listenForRedirect, type RedirectListener } from "./redirect.ts";

let listener: RedirectListener;
beforeEach(async () => {
  listener = await listenForRedirect("the-state");
});
afterEach(() => listener.close());

test("connections that say nothing do not keep the browser out", async () => {
  const { port } = new URL(listener.redirectUri);
  const silent = Array.from({ length: 16 }, () => connect(Number(port), "127.0.0.1"));
  for (const socket of silent) socket.on("error", () => {}).write("GET / HTTP/1.1\r\n");
  await Promise.all(silent.map((socket) => once(socket.resume(), "close")));
  const answer = listener.answer(new AbortController().signal);
  await fetch(`${listener.redirectUri}?state=the-state&code=c`);
  expect((await answer).get("code")).toBe("c");
});
