import { createHash } from "node:crypto";
import { readFile, readdir } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { errorCode, findingEvent } from "@countersign/model";
import { expect, test } from "vitest";
import { VENDORED, vendoredPath } from "./assets.ts";
import { createConsole } from "./console.ts";
import { STREAM_MAX_CLIENTS } from "./stream.ts";
import {
  exampleEvents,
  exampleSpans,
  startConsoleStand,
  type ConsoleStand,
} from "./testing/index.ts";

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: string;
}

/** A request with exactly these headers: `fetch` would mend `Host`. */
async function ask(
  stand: ConsoleStand,
  path: string,
  headers: Record<string, string> = {},
  method = "GET",
): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    const sent = request(`${stand.base}${path}`, { method, headers, agent: false }, (response) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.on("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(parts).toString(),
        }),
      );
    });
    sent.on("error", reject);
    sent.end();
  });
}

async function api<T>(stand: ConsoleStand, path: string): Promise<T> {
  const answer = await ask(stand, path, { authorization: `Bearer ${stand.token}` });
  expect(answer.status).toBe(200);
  return JSON.parse(answer.body) as T;
}

interface Page {
  rows: { id: string; decision: string; name?: string }[];
  next?: string;
}

test("without the token nothing is said, with it everything; the token in the address becomes a cookie", async () => {
  await using stand = await startConsoleStand();
  for (const path of [
    "/",
    "/api/decisions",
    "/api/stream",
    "/style.css",
    "/list.css",
    "/nothing",
  ]) {
    expect((await ask(stand, path)).status).toBe(401);
    expect((await ask(stand, path, { authorization: "Bearer wrong" })).status).toBe(401);
  }
  expect((await ask(stand, "/?token=wrong")).status).toBe(401);
  const entry = await ask(stand, `/?token=${stand.token}&decision=deny`);
  expect(entry.status).toBe(303);
  expect(entry.headers["location"]).toBe("/?decision=deny");
  const cookie = String(entry.headers["set-cookie"]);
  expect(cookie).toMatch(/; Path=\/; HttpOnly; SameSite=Strict$/);
  expect(cookie).not.toContain(stand.token);
  const [pair = ""] = cookie.split(";");
  expect((await ask(stand, "/", { cookie: `other=1; ${pair}` })).status).toBe(200);
  expect((await ask(stand, "/", { cookie: pair.replace(/.$/, "_") })).status).toBe(401);
  // What is in the cookie is no bearer token.
  const value = pair.slice(pair.indexOf("=") + 1);
  expect((await ask(stand, "/", { authorization: `Bearer ${value}` })).status).toBe(401);
});

test("a name that is not ours in Host is refused, whatever the token: DNS rebinding", async () => {
  await using stand = await startConsoleStand({ allowedHosts: ["audit.example"] });
  const authorization = `Bearer ${stand.token}`;
  const { port } = new URL(stand.base);
  for (const host of [
    "127.0.0.1",
    `localhost:${port}`,
    `[::1]:${port}`,
    "AUDIT.example",
    "audit.example:443",
  ]) {
    expect((await ask(stand, "/api/decisions", { authorization, host })).status).toBe(200);
  }
  for (const host of [
    "evil.example",
    `127.0.0.1.evil.example:${port}`,
    "localhost.evil.example",
    "audit.example.evil",
    "127.0.0.1@evil",
    "127.0.0.1 evil.example",
  ]) {
    expect((await ask(stand, "/api/decisions", { authorization, host })).status).toBe(403);
  }
});

test("another address than loopback needs a token", () => {
  const options = { index: {} as never, log: {} as never, host: "0.0.0.0" };
  const refused = (): unknown => {
    try {
      createConsole({ ...options, token: false });
    } catch (error) {
      return errorCode(error);
    }
  };
  expect(refused()).toBe("CONFIG_INVALID");
  expect(() => createConsole({ ...options, token: "short" })).toThrow("16 to 256 characters");
  createConsole({ ...options, token: "a-token-of-its-own-0123" });
  createConsole({ index: {} as never, log: {} as never, token: false });
});

test("a token of one's own, and none on loopback", async () => {
  await using own = await startConsoleStand({ token: "a-token-of-its-own-0123" });
  expect(own.console.url).toBe(`${own.base}/?token=a-token-of-its-own-0123`);
  expect((await ask(own, "/")).status).toBe(401);
  await using open = await startConsoleStand({ token: false });
  expect(open.console.url).toBe(`${open.base}/`);
  expect((await ask(open, "/")).status).toBe(200);
});

test("two starts, two tokens", async () => {
  await using a = await startConsoleStand();
  await using b = await startConsoleStand();
  expect(a.token).toMatch(/^[A-Za-z0-9_-]{43}$/);
  expect(a.token).not.toBe(b.token);
});

test("every answer carries the security headers, refusals too", async () => {
  await using stand = await startConsoleStand();
  const authorization = `Bearer ${stand.token}`;
  for (const answer of [
    await ask(stand, "/", { authorization }),
    await ask(stand, "/"),
    await ask(stand, "/api/decisions", { authorization }),
    await ask(stand, "/api/decisions?limit=0", { authorization }),
  ]) {
    expect(answer.headers).toMatchObject({
      "content-security-policy":
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types lit-html",
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "cache-control": "no-store",
      "cross-origin-opener-policy": "same-origin",
    });
    expect(answer.headers["access-control-allow-origin"]).toBeUndefined();
  }
});

test("it only reads, and only its own files", async () => {
  await using stand = await startConsoleStand();
  const headers = { authorization: `Bearer ${stand.token}` };
  for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"]) {
    expect((await ask(stand, "/api/decisions", headers, method)).status).toBe(405);
  }
  expect(await ask(stand, "/api/decisions", headers, "HEAD")).toMatchObject({
    status: 200,
    body: "",
  });
  for (const path of [
    "/web/../assets.js",
    "/web/%2e%2e/assets.js",
    "/vendor/lit-html/package.json",
    "/constructor",
    "/__proto__",
    "/web/app.js.map",
    "//evil",
  ]) {
    expect([400, 404]).toContain((await ask(stand, path, headers)).status);
  }
});

test("decisions: filters, pages, one by id", async () => {
  await using stand = await startConsoleStand();
  await stand.put(exampleEvents(stand.chain));
  const all = await api<Page>(stand, "/api/decisions");
  expect(all.rows.length).toBe(9);
  expect(all).toMatchObject({ indexed: 13, size: 13 });
  const denied = await api<Page>(stand, "/api/decisions?decision=deny&limit=2");
  expect(denied.rows.map((row) => row.decision)).toEqual(["deny", "deny"]);
  const rest = await api<Page>(
    stand,
    `/api/decisions?decision=deny&limit=2&cursor=${denied.next ?? ""}`,
  );
  expect(rest.rows.length).toBe(2);
  expect(rest.next).toBeUndefined();
  expect((await api<Page>(stand, "/api/decisions?q=payroll")).rows.map((row) => row.name)).toEqual([
    "write_file",
  ]);
  expect((await api<Page>(stand, "/api/decisions?since=1h&tool=move_ticket")).rows.length).toBe(2);
  expect((await api<Page>(stand, "/api/decisions?until=1h")).rows.length).toBe(0);
  const id = all.rows[1]?.id ?? "";
  expect(await api(stand, `/api/decisions/${id}`)).toMatchObject({
    row: { id },
    event: { id, data: { decision: "deny" } },
    chain: { before: { state: "verified" }, after: { state: "verified" } },
  });
});

test("findings about the record: newest first, none among the decisions", async () => {
  await using stand = await startConsoleStand();
  expect(await api(stand, "/api/findings")).toEqual({ total: 0, findings: [] });
  await stand.put(exampleEvents(stand.chain));
  const of = { emitter: "tickets-7f3a", epoch: "5".repeat(32), seq: 3, hash: "ab".repeat(32) };
  const made = (["NO_STOP", "SILENT"] as const).map((finding) =>
    findingEvent({
      data: { tenant: "acme", finding, of },
      time: "2026-11-22T09:00:03.412Z",
      component: "continuity",
    }),
  );
  await stand.put(made);
  expect(await api(stand, "/api/findings")).toMatchObject({
    total: 2,
    findings: [
      { id: made[1]?.event.id, data: { finding: "SILENT", of } },
      { id: made[0]?.event.id, data: { finding: "NO_STOP", of } },
    ],
  });
  expect((await api<Page>(stand, "/api/decisions")).rows).toHaveLength(9);
});

test("traces and counts", async () => {
  await using stand = await startConsoleStand();
  const [id, spans] = exampleSpans(1_763_800_000_000_000);
  stand.traces.set(id, spans);
  await stand.put(exampleEvents(stand.chain));
  expect(await api(stand, `/api/traces/${id}`)).toEqual({ source: true, spans });
  expect(await api(stand, `/api/traces/${"0".repeat(32)}`)).toEqual({ source: true, spans: [] });
  const stats = await api<{ buckets: { allow: number; deny: number }[] }>(stand, "/api/stats");
  expect(stats.buckets.reduce((sum, bucket) => sum + bucket.deny, 0)).toBe(4);
  await using bare = await startConsoleStand({ traces: undefined as never });
  expect(await api(bare, `/api/traces/${id}`)).toEqual({ source: false, spans: [] });
});

test.each(
  [
    ["/api/decisions?limit=0", "limit"],
    ["/api/decisions?limit=201", "limit"],
    ["/api/decisions?limit=1e9", "limit"],
    ["/api/decisions?limit=5&limit=6", "more than once"],
    ["/api/decisions?nonsense=1", "unknown parameter"],
    ["/api/decisions?decision=perhaps", "decision: must be allow, deny or error"],
    ["/api/decisions?reason=%27%20OR%201", "reason"],
    ["/api/decisions?trace=ZZ", "trace"],
    ["/api/decisions?tool=", "is empty"],
    [`/api/decisions?tool=${"x".repeat(1101)}`, "longer than 1100"],
    ["/api/decisions?tool=a%00b", "control character"],
    ["/api/decisions?since=yesterday", "since: must be like"],
    ["/api/decisions?since=2026-99-99T99:99Z", "since"],
    ["/api/decisions?since=0m", "zero"],
    ["/api/decisions?cursor=abc", "cursor"],
    ["/api/decisions/not-an-id", "UUID"],
    ["/api/traces/abc", "32 lower-case hex"],
    ["/api/stats?bucket=1s", "bucket"],
    ["/api/stats?since=99999d", "too many buckets"],
    ["/api/stats?since=1m&until=1h", "bucket"],
    ["/api/stream?limit=3", "unknown parameter"],
    ["/api/stream?decision=x", "decision"],
  ].map(([path = "", sentence = ""]) => ({ path, sentence })),
)("a clear 400: $sentence", async ({ path, sentence }) => {
  await using stand = await startConsoleStand();
  const answer = await ask(stand, path, { authorization: `Bearer ${stand.token}` });
  expect(answer.status).toBe(400);
  const { error } = JSON.parse(answer.body) as { error: { message: string } };
  expect(error.message).toContain(sentence);
  expect(error.message).not.toContain("x".repeat(50));
});

test("what is not there is a 404", async () => {
  await using stand = await startConsoleStand();
  const headers = { authorization: `Bearer ${stand.token}` };
  for (const path of [
    "/api/decisions/01a2027b-e3d4-728a-9347-6e9986773eb1",
    "/api/",
    "/api/decisions/a/b",
    "/api/stats/x",
    "/api/else",
  ]) {
    expect((await ask(stand, path, headers)).status).toBe(404);
  }
});

/** Reads server-sent events until `count` data frames came. */
async function readStream(
  stand: ConsoleStand,
  path: string,
  count: number,
  then: () => Promise<void>,
): Promise<string[]> {
  const response = await fetch(`${stand.base}${path}`, {
    headers: { authorization: `Bearer ${stand.token}` },
    signal: AbortSignal.timeout(10_000),
  });
  expect(response.status).toBe(200);
  await then();
  let text = "";
  for await (const part of response.body ?? []) {
    text += Buffer.from(part as Uint8Array).toString();
    const frames = text.split("\n\n").filter((frame) => frame.includes("data: "));
    if (frames.length >= count) return frames.slice(0, count);
  }
  throw new Error("the stream ended early");
}

test("the stream sends what is new and matches, then outcomes, and can be resumed", async () => {
  await using stand = await startConsoleStand();
  const before = stand.chain.decision();
  await stand.put([before]);
  const allowed = stand.chain.decision();
  const frames = await readStream(stand, "/api/stream?decision=allow", 2, async () => {
    await stand.put([allowed]);
    await stand.put([stand.chain.outcome(allowed)]);
  });
  expect(frames[0]).toContain("event: decisions");
  expect(frames[0]).toContain(allowed.event.id);
  expect(frames[0]).not.toContain(before.event.id);
  expect(frames[1]).toContain("event: outcomes");
  const [resumed = ""] = await readStream(stand, "/api/stream?from=0", 1, async () => undefined);
  expect(resumed).toContain(before.event.id);
});

test("streams end when the console stops, and there is a limit to them", async () => {
  await using stand = await startConsoleStand();
  const headers = { authorization: `Bearer ${stand.token}` };
  const open = await Promise.all(
    Array.from(
      { length: STREAM_MAX_CLIENTS },
      async () => await fetch(`${stand.base}/api/stream`, { headers }),
    ),
  );
  const refused = await fetch(`${stand.base}/api/stream`, { headers });
  expect(refused.status).toBe(503);
  expect(refused.headers.get("retry-after")).toBe("10");
  await refused.text();
  const ended = Promise.all(open.map(async (response) => await response.text()));
  await stand.console.stop(AbortSignal.timeout(5000));
  expect((await ended).length).toBe(STREAM_MAX_CLIENTS);
  await expect(fetch(`${stand.base}/`, { headers })).rejects.toThrow("fetch failed");
});

test("a taken port is said so", async () => {
  await using stand = await startConsoleStand();
  const { port } = new URL(stand.base);
  const second = createConsole({ index: stand.index, log: stand.log, port: Number(port) });
  await expect(second.start()).rejects.toThrow(
    `console: cannot listen on 127.0.0.1:${port} (EADDRINUSE)`,
  );
  await second.stop();
});

test("the vendored files are the ones that were looked at", async () => {
  const hashes: Record<string, string> = {};
  for (const name of VENDORED) {
    const bytes = await readFile(vendoredPath(name));
    hashes[name] = createHash("sha256").update(bytes).digest("hex");
  }
  expect(hashes).toEqual(PINNED);
});

test("no template puts markup together: no unsafe directive, no innerHTML, no handler in a string", async () => {
  const web = join(import.meta.dirname, "web");
  for (const name of await readdir(web)) {
    if (!name.endsWith(".ts")) continue;
    const text = await readFile(join(web, name), "utf8");
    expect(text).not.toMatch(
      /innerHTML|outerHTML|insertAdjacent|unsafe|document\.write|eval\(|new Function|srcdoc|style=\$/,
    );
    expect(text).not.toMatch(/(?:href|src|action|formaction)=\$\{/);
  }
});

const PINNED = {
  "lit-html.js": "b878e7f95dec8a9b6e9b217faca6b6a11bad82ebc44c0caa77419ed83edd81f2",
  "directive.js": "3344c4f41c69cd0701d3937e8f9ef90bd845614bf6456d0b8314b7c51d415b9d",
  "directive-helpers.js": "f7fb1154b8f72ed2cc08b05eaeed71c99270e9ad2d48620ed24688a1af4c2b62",
  "directives/repeat.js": "083140026ecd8665fedd15b17769f9d516252a9f1502f1e91e6967686ee82626",
};
