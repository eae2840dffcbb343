import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Agent } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LogFields, type Logger, silentLogger } from "@countersign/model";
import {
  type Component,
  type ComponentState,
  createMetrics,
  type Logs,
} from "@countersign/pipeline";
import { expect, test } from "vitest";
import { createAttempts, networkOf } from "../attempts.ts";
import { mayBe, readTokens } from "../credentials.ts";
import { certificate } from "../testing/certificates.ts";
import { requestOf } from "../testing/logs.ts";
import { type Answer, post, type RunningReceiver, startReceiver } from "../testing/receiver.ts";
import { bearerAuthExtension } from "./bearer-auth.ts";

const TOKEN = randomBytes(32).toString("base64url");
const OTHER = randomBytes(32).toString("base64url");
const EMPTY = JSON.stringify(requestOf([]));
const ok = (): Promise<void> => Promise.resolve();

const sha256 = (token: string): string => createHash("sha256").update(token).digest("hex");
const list = (...tokens: string[]): string =>
  JSON.stringify({
    tokens: tokens.map((token) => ({
      sha256: sha256(token),
      tenant: "acme",
      emitter: "tickets-*",
    })),
  });

interface Bench {
  readonly one: RunningReceiver;
  readonly states: readonly ComponentState[];
  send(authorization?: string | string[], options?: object): Promise<Answer>;
  [Symbol.asyncDispose](): Promise<void>;
}

async function bench(
  tokens: string,
  parts: {
    file?: string;
    logs?: (batch: Logs) => Promise<void>;
    log?: Logger;
    tls?: object;
  } = {},
): Promise<Bench> {
  const states: ComponentState[] = [];
  const extension: Component = bearerAuthExtension.create(
    { tokens, reload_interval: "20ms" } as never,
    {
      id: "bearer_auth",
      log: parts.log ?? silentLogger,
      metrics: createMetrics(),
      report: (state) => void states.push(state),
      service: {} as never,
      ...(parts.file === undefined ? {} : { files: new Map([["tokens", parts.file]]) }),
    },
  );
  await extension.start(new AbortController().signal);
  const one = await startReceiver({
    logs: parts.logs ?? ok,
    extension,
    log: parts.log ?? silentLogger,
    http: { auth: "bearer_auth", ...(parts.tls === undefined ? {} : { tls: parts.tls }) },
  });
  return {
    one,
    states,
    send: (authorization, options) => {
      const headers = { "content-type": "application/json" };
      const all = authorization === undefined ? headers : { ...headers, authorization };
      return post(`${one.url}/v1/logs`, EMPTY, all, options);
    },
    [Symbol.asyncDispose]: async () => {
      await one.stop();
      await extension.stop(AbortSignal.timeout(1000));
    },
  };
}

test("a token says whose tenant and emitters it is", async () => {
  const got: Logs[] = [];
  await using at = await bench(list(TOKEN), { logs: async (batch) => void got.push(batch) });
  expect((await at.send(`Bearer ${TOKEN}`)).status).toBe(200);
  expect((await at.send(`bearer  ${TOKEN}`)).status).toBe(200);
  const sentBy = { tenant: "acme", emitter: "tickets-*" };
  expect(got.map((batch) => batch.sentBy)).toEqual([sentBy, sentBy]);
});

test.each<[string, string | string[] | undefined, string]>([
  ["none", undefined, "no_token"],
  ["another", `Bearer ${OTHER}`, "unknown_token"],
  ["a part of it", `Bearer ${TOKEN.slice(0, -1)}`, "unknown_token"],
  ["its hash", `Bearer ${sha256(TOKEN)}`, "unknown_token"],
  ["an empty one", "Bearer ", "unknown_token"],
  ["another scheme", `Basic ${TOKEN}`, "unknown_token"],
  ["two", [`Bearer ${TOKEN}`, `Bearer ${OTHER}`], "unknown_token"],
  ["something after it", `Bearer ${TOKEN} x`, "unknown_token"],
  ["a long one", `Bearer ${"x".repeat(5000)}`, "unknown_token"],
])("%s is 401, and nothing is taken", async (_what, authorization, reason) => {
  const got: Logs[] = [];
  const lines: unknown[] = [];
  const warn = (message: string, fields?: LogFields): void => void lines.push(message, fields);
  await using at = await bench(list(TOKEN), {
    logs: async (batch) => void got.push(batch),
    log: { ...silentLogger, warn },
  });
  const answer = await at.send(authorization);
  expect([answer.status, got, answer.headers.connection]).toEqual([401, [], "close"]);
  const asks = 'Bearer realm="countersign"';
  expect(answer.headers["www-authenticate"]).toBe(
    reason === "no_token" ? asks : `${asks}, error="invalid_token"`,
  );
  expect(JSON.parse(answer.body.toString())).toHaveProperty("code", 16);
  expect(at.one.metric(`receiver_refused_requests_total{reason="${reason}"`)).toBe(1);
  expect(lines).toEqual(["a sender was refused", { reason, address: "127.0.0.1" }]);
});

test("beside a certificate, the token still says who it is; both are needed", async () => {
  const authority = certificate({ subject: "CN=authority", isAuthority: true });
  const { cert, key } = certificate({ subject: "CN=localhost", issuer: authority });
  const client = certificate({ subject: "CN=anybody", issuer: authority, usage: "client" });
  const got: Logs[] = [];
  await using at = await bench(list(TOKEN), {
    logs: async (batch) => void got.push(batch),
    tls: { cert, key, client_ca: authority.cert, min_version: "1.3", reload_interval: "10s" },
  });
  const trust = { ca: authority.cert };
  const shown = { ...trust, cert: client.cert, key: client.key };
  expect((await at.send(`Bearer ${TOKEN}`, trust)).status).toBe(401);
  expect((await at.send(undefined, shown)).status).toBe(401);
  expect(got).toEqual([]);
  expect((await at.send(`Bearer ${TOKEN}`, shown)).status).toBe(200);
  expect(got.map(({ sentBy }) => sentBy?.tenant)).toEqual(["acme"]);
});

test("guessing is slowed down, for connections that never had a right token", async () => {
  await using at = await bench(list(TOKEN));
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  expect((await at.send(`Bearer ${TOKEN}`, { agent })).status).toBe(200);
  for (let guess = 0; guess < 20; guess += 1)
    expect((await at.send(`Bearer ${OTHER}`)).status).toBe(401);
  const refused = await at.send(`Bearer ${TOKEN}`);
  expect([refused.status, Number(refused.headers["retry-after"])]).toEqual([429, 3]);
  expect((await at.send(`Bearer ${TOKEN}`, { agent })).status).toBe(200);
  agent.destroy();
});

test("the file is read again; while it makes no sense, the tokens of before are in force", async () => {
  const directory = mkdtempSync(join(tmpdir(), "countersign-tokens-"));
  const file = join(directory, "emitters.json");
  writeFileSync(file, list(TOKEN));
  {
    await using at = await bench(list(TOKEN), { file });
    const statusOf = async (token: string): Promise<number> =>
      (await at.send(`Bearer ${token}`)).status;
    expect(await statusOf(TOKEN)).toBe(200);
    writeFileSync(file, list(TOKEN).slice(0, 40));
    await expect.poll(() => at.states.at(-1)?.state).toBe("degraded");
    expect(await statusOf(TOKEN)).toBe(200);
    writeFileSync(file, list(OTHER));
    await expect.poll(() => at.states.at(-1)?.state).toBe("ok");
    expect([await statusOf(TOKEN), await statusOf(OTHER)]).toEqual([401, 200]);
    rmSync(file);
    await expect.poll(() => at.states.at(-1)?.state).toBe("degraded");
    expect(await statusOf(OTHER)).toBe(200);
    writeFileSync(file, list(OTHER));
    await expect.poll(() => at.states.at(-1)?.state).toBe("ok");
  }
  rmSync(directory, { recursive: true });
});

const ROW = { sha256: sha256(TOKEN), tenant: "acme", emitter: "tickets-*" };

test.each<[string, RegExp]>([
  ["", /^tokens has a problem at line 1, column 1/],
  ["{", /^tokens has a problem at line 1/],
  ["[]", /^tokens has a problem at line 1/],
  ["tokens: []", /is not JSON/],
  [JSON.stringify({ tokens: [{ ...ROW, sha256: "s3cret" }] }), /tokens\[0\]\.sha256\): /],
  [JSON.stringify({ tokens: [{ ...ROW, token: "s3cret" }] }), /unknown member "token"/],
  [JSON.stringify({ tokens: [{ ...ROW, emitter: "a*b*" }] }), /tokens\[0\]\.emitter\): /],
  [JSON.stringify({ tokens: [{ ...ROW, tenant: "" }] }), /tokens\[0\]\.tenant\): /],
  [JSON.stringify({ tokens: [ROW, { ...ROW, tenant: "b" }] }), /repeats a credential in entry 1/],
])("a file like %j is refused with its place, and without its values", (text, message) => {
  expect(() => readTokens(text, "tokens")).toThrow(message);
  expect(() => readTokens(text, "tokens")).not.toThrow(/s3cret/);
});

test("patterns of emitters have one star", () => {
  const rows: [string, string, boolean][] = [
    ["tickets-1", "tickets-1", true],
    ["tickets-1", "tickets-*", true],
    ["tickets-", "tickets-*", true],
    ["tickets", "tickets-*", false],
    ["a-b", "a*b", true],
    ["ab", "a*b", true],
    ["a", "a*a", false],
    ["xtickets-1", "tickets-*", false],
  ];
  for (const [name, pattern, fits] of rows)
    expect([name, pattern, mayBe(name, pattern)]).toEqual([name, pattern, fits]);
});

test("failures are counted by network, and forgotten in time", () => {
  let now = 0;
  const attempts = createAttempts({ burst: 2, refillMs: 1000, maxAddresses: 2 }, () => now);
  attempts.failed("2001:db8::1");
  attempts.failed("2001:db8:0:0:ffff::2");
  expect(attempts.waitMs("2001:db8::3")).toBe(1000);
  expect(attempts.waitMs("2001:db8:1::3")).toBe(0);
  now = 1000;
  expect(attempts.waitMs("2001:db8::3")).toBe(0);
  attempts.failed("10.0.0.1");
  attempts.failed("::ffff:10.0.0.1");
  expect(attempts.waitMs("10.0.0.1")).toBe(1000);
  attempts.failed("10.0.0.2");
  attempts.failed("10.0.0.3");
  expect(attempts.waitMs("10.0.0.1")).toBe(0);
  expect(networkOf("fe80::1%eth0")).toBe("fe80:0:0:0");
});
