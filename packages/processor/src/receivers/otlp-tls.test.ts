import { mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { Agent } from "node:https";
import { silentLogger } from "@countersign/model";
import type { Logs } from "@countersign/pipeline";
import { expect, test } from "vitest";
import { certificate, type Pair } from "../testing/certificates.ts";
import { requestOf } from "../testing/logs.ts";
import {
  post,
  type ReceiverParts,
  type RunningReceiver,
  startReceiver,
} from "../testing/receiver.ts";

const authority = certificate({ subject: "O=Acme,CN=Acme CA", isAuthority: true });
const stranger = certificate({ subject: "O=Acme,CN=Acme CA", isAuthority: true });
const SERVER = { issuer: authority, usage: "server" } as const;
const server = certificate({ subject: "CN=localhost", ...SERVER });
const JSON_TYPE = { "content-type": "application/json" };
const ok = (): Promise<void> => Promise.resolve();
const EMPTY = JSON.stringify(requestOf([]));

const CLIENTS = {
  clients: [
    { subject: "O=Acme,CN=tickets-1", tenant: "acme", emitter: "tickets-1", note: "rack 7" },
  ],
};

function tls(more: object = {}, pair: Pair = server): object {
  const { cert, key } = pair;
  return { tls: { cert, key, min_version: "1.2", reload_interval: "20ms", ...more } };
}

function mutual(parts: ReceiverParts = {}): ReturnType<typeof startReceiver> {
  const http = tls({ client_ca: authority.cert, clients: JSON.stringify(CLIENTS) });
  return startReceiver({ logs: ok, http, ...parts });
}

function client(options: Partial<Parameters<typeof certificate>[0]> = {}): Pair {
  return certificate({
    subject: "O=Acme,CN=tickets-1",
    issuer: authority,
    usage: "client",
    ...options,
  });
}

function send(one: RunningReceiver, pair?: Pair): ReturnType<typeof post> {
  const { cert, key } = pair ?? {};
  const shown = cert === undefined ? {} : { cert, key };
  return post(`${one.url}/v1/logs`, EMPTY, JSON_TYPE, { ca: authority.cert, ...shown });
}

/** A directory that goes when the test does. */
function scratch(): { readonly path: (name: string) => string; [Symbol.dispose](): void } {
  const directory = mkdtempSync(join(tmpdir(), "countersign-tls-"));
  return {
    path: (name) => join(directory, name),
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
}

test("https with the certificate that was configured; an older protocol finds no door", async () => {
  await using one = await startReceiver({ logs: ok, http: tls() });
  expect(one.url).toMatch(/^https:/);
  expect((await send(one)).status).toBe(200);
  const old = connect({
    port: one.port,
    ca: authority.cert,
    maxVersion: "TLSv1.1",
    minVersion: "TLSv1",
  });
  await expect(new Promise((_, reject) => old.once("error", reject))).rejects.toThrow(/protocol/);
  await expect
    .poll(() => one.metric('receiver_refused_requests_total{reason="tls_handshake"'))
    .toBe(1);
});

test("plain HTTP at the TLS port is cut off and counted as what it is", async () => {
  await using one = await startReceiver({ logs: ok, http: tls() });
  await expect(post(`http://127.0.0.1:${one.port}/v1/logs`, EMPTY, JSON_TYPE)).rejects.toThrow(
    /ECONNRESET|hang up/,
  );
  await expect
    .poll(() => one.metric('receiver_refused_requests_total{reason="plain_http"'))
    .toBe(1);
  expect((await send(one)).status).toBe(200);
});

test("HTTP/2 over TLS finds no common protocol", async () => {
  await using one = await startReceiver({ logs: ok, http: tls() });
  const session = connectHttp2(one.url, { ca: authority.cert });
  await expect(new Promise((_, reject) => session.once("error", reject))).rejects.toThrow(
    /alert|ALPN/i,
  );
  await expect
    .poll(() => one.metric('receiver_refused_requests_total{reason="tls_handshake"'))
    .toBe(1);
});

test("a handshake that never ends is ended", async () => {
  await using one = await startReceiver({
    logs: ok,
    http: { ...tls(), header_timeout: "100ms" },
  });
  const socket = createConnection(one.port, "127.0.0.1");
  socket.write(Buffer.from([0x16, 0x03, 0x01]));
  await new Promise((resolve) => socket.once("close", resolve));
  await expect
    .poll(() => one.metric('receiver_refused_requests_total{reason="tls_handshake"'))
    .toBe(1);
  expect(one.metric('receiver_refused_requests_total{reason="malformed"')).toBe(0);
});

test("a certificate of our authority says who sends", async () => {
  const got: Logs[] = [];
  await using one = await mutual({ logs: async (batch) => void got.push(batch) });
  expect((await send(one, client())).status).toBe(200);
  expect(got.map(({ sentBy }) => sentBy)).toEqual([{ tenant: "acme", emitter: "tickets-1" }]);
});

test.each<[string, number, () => Pair | undefined]>([
  ["no_certificate", 401, () => undefined],
  ["certificate_expired", 401, () => client({ notAfterMs: Date.now() - 1000 })],
  ["certificate_refused", 401, () => client({ notBeforeMs: Date.now() + 60_000 })],
  ["certificate_refused", 401, () => client({ issuer: stranger })],
  ["certificate_refused", 401, () => certificate({ subject: "O=Acme,CN=tickets-1" })],
  ["certificate_refused", 401, () => client({ usage: "server" })],
  ["certificate_unknown", 403, () => client({ subject: "O=Acme,CN=tickets-2" })],
  ["certificate_unknown", 403, () => client({ subject: "CN=tickets-1,O=Acme" })],
  ["certificate_unknown", 403, () => client({ subject: "O=Acme;CN\\=tickets-1" })],
])("%s is told, counted, and nothing is taken", async (reason, status, pair) => {
  const got: Logs[] = [];
  await using one = await mutual({ logs: async (batch) => void got.push(batch) });
  const answer = await send(one, pair());
  expect([answer.status, got, answer.headers.connection]).toEqual([status, [], "close"]);
  expect(JSON.parse(answer.body.toString())).toMatchObject({ code: status === 401 ? 16 : 7 });
  expect(one.metric(`receiver_refused_requests_total{reason="${reason}"`)).toBe(1);
});

test("a connection does not outlive its certificate", async () => {
  await using one = await mutual();
  const { cert, key } = client({ notAfterMs: Math.ceil(Date.now() / 1000) * 1000 + 1000 });
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: authority.cert, cert, key });
  const ask = (): ReturnType<typeof post> =>
    post(`${one.url}/v1/logs`, EMPTY, JSON_TYPE, { agent });
  expect((await ask()).status).toBe(200);
  await expect.poll(async () => (await ask()).status, { timeout: 5000 }).toBe(401);
  agent.destroy();
});

test("certificates and emitters are read again; connections that are there stay", async () => {
  using home = scratch();
  const files = new Map<string, string>();
  const write = (part: string, text: string): void => {
    // As Kubernetes does it: a link that suddenly leads elsewhere.
    const target = home.path(`${part}.${Math.random()}`);
    writeFileSync(target, text);
    symlinkSync(target, home.path(`${part}.next`));
    renameSync(home.path(`${part}.next`), home.path(part));
    files.set(`protocols.http.tls.${part}`, home.path(part));
  };
  const texts = { cert: server.cert, key: server.key, client_ca: authority.cert };
  for (const [part, text] of Object.entries(texts)) write(part, text);
  write("clients", '{"clients": []}');
  await using one = await startReceiver({
    logs: ok,
    files,
    http: tls({ ...texts, clients: '{"clients": []}' }),
  });
  const { cert, key } = client();
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: authority.cert, cert, key });
  const kept = (): ReturnType<typeof post> =>
    post(`${one.url}/v1/logs`, EMPTY, JSON_TYPE, { agent });
  expect((await kept()).status).toBe(403);
  write("clients", JSON.stringify(CLIENTS));
  await expect.poll(async () => (await kept()).status).toBe(200);

  const next = certificate({ subject: "CN=localhost,O=next", ...SERVER });
  write("cert", next.cert);
  await expect.poll(() => one.states.at(-1)?.state).toBe("degraded");
  expect((await send(one, client())).status).toBe(200);
  write("key", next.key);
  await expect.poll(() => one.states.at(-1)?.state).toBe("ok");
  expect((await kept()).status).toBe(200);
  expect(await shownBy(one)).toBe("CN=localhost\nO=next");

  write("clients", "{");
  await expect.poll(() => one.states.at(-1)?.state).toBe("degraded");
  expect((await kept()).status).toBe(200);
  write("client_ca", stranger.cert);
  write("clients", JSON.stringify(CLIENTS));
  await expect.poll(async () => (await send(one, client())).status).toBe(401);
  agent.destroy();
});

function shownBy(one: RunningReceiver): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: one.port, ca: authority.cert, servername: "localhost" }, () => {
      resolve(socket.getPeerX509Certificate()?.subject);
      socket.destroy();
    });
    socket.once("error", reject);
  });
}

test.each<[string, object, RegExp]>([
  [
    "a foreign key",
    { key: stranger.key },
    /tls\.key does not belong to the certificate; configure/,
  ],
  ["no certificate", { cert: "-----BEGIN nothing" }, /tls\.cert holds no PEM certificate; name/],
  ["no key", { key: "-----BEGIN nothing" }, /tls\.key holds no PEM private key; name/],
  ["no file", { key: "/nonexistent/s3cret" }, /tls\.key names no readable file \(ENOENT\); write/],
  ["no authority", { client_ca: "-----BEGIN nothing" }, /tls\.client_ca holds no PEM certificate/],
  [
    "no list",
    { client_ca: authority.cert, clients: '{"clients": [{"subject": "CN=s3cret"}]}' },
    /tls\.clients has a problem at line 1, column 14 \(clients\[0\]\): "tenant" is missing/,
  ],
])("%s: it does not start, and says what to do", async (_what, more, message) => {
  const started = startReceiver({ logs: ok, http: tls(more), log: silentLogger });
  await expect(started).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    message: expect.stringMatching(message) as string,
  });
  await expect(started).rejects.not.toMatchObject({
    message: expect.stringContaining("s3cret") as string,
  });
});
