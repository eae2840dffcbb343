// The piece that all exporters over HTTP share, against servers that misbehave and TLS as Node speaks it.
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { createServer as createTcpServer, type Server as TcpServer } from "node:net";
import { gunzipSync } from "node:zlib";
import { type CountersignError, silentLogger } from "@countersign/model";
import { type ComponentState, createMetrics, type Runtime } from "@countersign/pipeline";
import { expect, onTestFinished, test } from "vitest";
import type { PostAnswer } from "../otlp/post.ts";
import { certificate } from "../testing/certificates.ts";
import { SIGNAL } from "../testing/exporters.ts";
import {
  awayBy,
  busyBy,
  createSinkHealth,
  failureOf,
  haltedBy,
  jsonOf,
  notOurs,
  retryAfter,
} from "./http-failure.ts";
import {
  checkHttpSink,
  createHttpSink,
  HTTP_SINK_PROPERTIES,
  type HttpSink,
  type HttpSinkConfig,
} from "./http-sink.ts";

const HOUR_MS = 3_600_000;

interface Tried {
  readonly sink: HttpSink;
  readonly states: ComponentState[];
  readonly health: ReturnType<typeof createSinkHealth>;
}

function sinkTo(endpoint: string, more: Partial<HttpSinkConfig> = {}): Tried {
  const config: HttpSinkConfig = {
    endpoint,
    insecure: false,
    timeout: "2s",
    compression: "none",
    retry: { initial: "1ms", max: "5ms" },
    ...more,
  };
  const states: ComponentState[] = [];
  const runtime: Runtime = {
    id: "splunk_hec/test",
    log: silentLogger,
    metrics: createMetrics(),
    report: (state) => void states.push(state),
    service: {} as never,
  };
  const health = createSinkHealth(runtime);
  const sink = createHttpSink({ config, runtime, health, maxAnswerBytes: 1000 });
  onTestFinished(() => sink.close());
  return { sink, states, health };
}

async function serve(listener: RequestListener): Promise<string> {
  return await listening(createServer(listener));
}

async function listening(server: Server | TcpServer): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        if ("closeAllConnections" in server) server.closeAllConnections();
      }),
  );
  return `127.0.0.1:${(server.address() as { port: number }).port}`;
}

const post = (sink: HttpSink, signal: AbortSignal = SIGNAL): Promise<PostAnswer> =>
  sink.send({ path: "/in", headers: { "x-a": "b" }, parts: [Buffer.from("secret-body")], signal });

/** The error of a request that must fail. Its message is checked for payload. */
async function failure(sink: HttpSink, signal?: AbortSignal): Promise<CountersignError> {
  const error = await post(sink, signal).then(
    () => expect.unreachable("an answer"),
    (cause: CountersignError) => cause,
  );
  expect(error.message).toMatch(/^splunk_hec\/test: /);
  expect(error.message).not.toMatch(/secret|html/i);
  return error;
}

test("a request: path, headers, gzip, and the answer", async () => {
  const host = await serve((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = gunzipSync(Buffer.concat(chunks)).toString();
      const { url, headers } = request;
      response.setHeader("set-cookie", ["route=a; Path=/"]);
      response.end(JSON.stringify({ url, body, encoding: headers["content-encoding"] }));
    });
  });
  const { sink } = sinkTo(`http://${host}/base/`, { compression: "gzip" });
  const answer = await post(sink);
  expect(jsonOf(answer)).toEqual({ url: "/base/in", body: "secret-body", encoding: "gzip" });
  expect(answer.setCookie).toEqual(["route=a; Path=/"]);
});

test("redirects are answers, and halt", async () => {
  const asked: (string | undefined)[] = [];
  const host = await serve((request, response) => {
    asked.push(request.url);
    response.writeHead(307, { location: "/elsewhere" }).end();
  });
  const { sink, health, states } = sinkTo(`http://${host}`);
  const error = failureOf(await post(sink), health, { credentials: "`token`" });
  expect([error.code, asked]).toEqual(["UNAVAILABLE", ["/in"]]);
  expect(states.at(-1)?.state).toBe("failed");
});

test("slow as a drip: the time limit holds for the whole answer", async () => {
  const host = await serve((_, response) => {
    response.writeHead(200);
    const drip = setInterval(() => response.write(" "), 10);
    response.on("close", () => clearInterval(drip));
  });
  const { sink } = sinkTo(`http://${host}`, { timeout: "100ms" });
  const error = await failure(sink);
  expect([error.code, error.message]).toEqual([
    "UNAVAILABLE",
    "splunk_hec/test: no answer within 100 ms; the outcome is unknown",
  ]);
});

test("who gives up is told so", async () => {
  const host = await serve(() => undefined);
  const { sink } = sinkTo(`http://${host}`);
  const giveUp = new AbortController();
  setTimeout(() => giveUp.abort(), 20);
  expect((await failure(sink, giveUp.signal)).code).toBe("CANCELLED");
});

test("HTML, half a body, one without end: a 200 that is not to be believed", async () => {
  const pages: RequestListener[] = [
    (_, response) => void response.setHeader("content-type", "text/html").end("<html>log in"),
    (_, response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write('{"text":"Succ');
      setTimeout(() => response.destroy(), 20);
    },
    (_, response) => void response.end(`{"a":"${"x".repeat(2000)}"}`),
  ];
  const host = await serve((request, response) => pages.shift()?.(request, response));
  const { sink, health, states } = sinkTo(`http://${host}`);
  const ends: unknown[] = [];
  while (pages.length > 0) {
    const answer = await post(sink);
    expect([answer.status, jsonOf(answer)]).toEqual([200, undefined]);
    ends.push([notOurs(answer, health, "Splunk's HEC").code, states.at(-1)?.state]);
  }
  // A login page has to be mended by somebody; what follows does not make it better.
  expect(ends).toEqual([
    ["UNAVAILABLE", "failed"],
    ["UNAVAILABLE", "failed"],
    ["UNAVAILABLE", "failed"],
  ]);
});

test("closes mid-request", async () => {
  const server = createTcpServer((socket) => socket.once("data", () => socket.resetAndDestroy()));
  const host = await listening(server);
  const { sink, states } = sinkTo(`http://${host}`);
  expect((await failure(sink)).code).toBe("UNAVAILABLE");
  expect(states.at(-1)?.state).toBe("degraded");
});

test("an idle connection that the server closed is replaced at once", async () => {
  let requests = 0;
  const host = await serve((request, response) => {
    requests += 1;
    if (requests === 2) request.socket.resetAndDestroy();
    else response.end("{}");
  });
  const { sink } = sinkTo(`http://${host}`);
  await post(sink);
  expect((await post(sink)).status).toBe(200);
  expect(requests).toBe(3);
});

test("nobody there, and a name that is none", async () => {
  const { sink } = sinkTo("http://127.0.0.1:1");
  expect((await failure(sink)).message).toMatch(/ECONNREFUSED/);
  const gone = sinkTo("http://siem.invalid:8088");
  expect((await failure(gone.sink)).message).toMatch(/ENOTFOUND|EAI_AGAIN/);
});

test("TLS: authorities, expiry, another name, and our own certificate", async () => {
  const authority = certificate({ subject: "O=Test,CN=authority", isAuthority: true });
  const leaf = certificate({ subject: "CN=localhost", issuer: authority, usage: "server" });
  const old = certificate({
    subject: "CN=localhost",
    issuer: authority,
    usage: "server",
    notBeforeMs: Date.now() - 2 * HOUR_MS,
    notAfterMs: Date.now() - HOUR_MS,
  });
  const own = certificate({ subject: "CN=countersign", issuer: authority, usage: "client" });
  const server = async (pair: { cert: string; key: string }, asks: boolean): Promise<string> => {
    const { cert, key } = pair;
    const options = { cert, key, ca: authority.cert, requestCert: asks, rejectUnauthorized: asks };
    return await listening(createTlsServer(options, (_, response) => void response.end("{}")));
  };
  const tls = { ca: authority.cert, min_version: "1.2" } as const;
  const host = await server(leaf, false);
  expect((await post(sinkTo(`https://${host}`, { tls }).sink)).status).toBe(200);
  const cases: [string, Partial<HttpSinkConfig>, RegExp][] = [
    [host, {}, /no TLS with the endpoint \((?:SELF_SIGNED|UNABLE_TO)_[A-Z_]+\)/],
    [await server(old, false), { tls }, /certificate has expired/],
    [host, { tls: { ...tls, server_name: "splunk.example" } }, /ERR_TLS_CERT_ALTNAME_INVALID/],
  ];
  for (const [to, config, message] of cases) {
    const { sink, states } = sinkTo(`https://${to}`, config);
    expect((await failure(sink)).message).toMatch(message);
    expect(states.at(-1)?.state).toBe("failed");
  }
  const strict = await server(leaf, true);
  expect((await failure(sinkTo(`https://${strict}`, { tls }).sink)).code).toBe("UNAVAILABLE");
  const mutual = { ...tls, cert: own.cert, key: own.key };
  expect((await post(sinkTo(`https://${strict}`, { tls: mutual }).sink)).status).toBe(200);
  const fault = checkHttpSink({
    endpoint: `https://${strict}`,
    insecure: false,
    timeout: "1s",
    compression: "none",
    retry: { initial: "1ms", max: "5ms" },
    tls: { ...mutual, key: leaf.key },
  });
  expect(fault.map(({ path }) => path.join("."))).toEqual(["tls.key"]);
});

test.each([
  ["http://splunk.example:8088", false, ["error"]],
  ["http://splunk.example:8088", true, ["warning"]],
  ["http://127.0.0.1:8088", false, []],
  ["https://user:password@splunk.example", false, ["error"]],
  ["https://splunk.example/?token=a", false, ["error"]],
  ["https://splunk.example/?", false, ["error"]],
  ["https://splunk.example/#", false, ["error"]],
])("the endpoint %s, insecure %s", (endpoint, insecure, severities) => {
  const config = {
    endpoint,
    insecure,
    timeout: "1s",
    compression: "none",
    retry: { initial: "1ms", max: "5ms" },
  } as const;
  const faults = checkHttpSink(config);
  expect(faults.map(({ severity = "error" }) => severity)).toEqual(severities);
  expect(JSON.stringify(faults)).not.toMatch(/password|token=a/);
});

const answerOf = (status: number, retry?: string): PostAnswer => ({
  status,
  retryAfter: retry,
  body: Buffer.alloc(0),
  isWhole: true,
  contentType: undefined,
  setCookie: [],
});

test.each([
  ["UNAVAILABLE failed", [401, 403, 407, 301, 308, 404, 405, 410, 415, 501, 505, 204]],
  ["OVERLOADED degraded", [429, 503]],
  ["UNAVAILABLE degraded", [408, 425, 500, 502, 504, 520, 599]],
  ["REJECTED", [400, 413, 422]],
])("%s: %j", (expected, statuses) => {
  for (const status of statuses) {
    const { health, states } = sinkTo("http://127.0.0.1:1");
    const { code, message } = failureOf(answerOf(status), health, { credentials: "`token`" });
    expect([code, ...states.map(({ state }) => state)].join(" ")).toBe(expected);
    expect(message).toContain(`(${status})`);
  }
});

test("a halt outlasts an outage, and ends when something is taken", () => {
  const { health, states } = sinkTo("http://127.0.0.1:1");
  expect(haltedBy(health, "no such index").code).toBe("UNAVAILABLE");
  haltedBy(health, "no such index");
  expect(awayBy(health, "away").message).toBe("splunk_hec/test: away");
  expect(busyBy(health, "busy", { retryAfterMs: 5 })).toMatchObject({ retryAfterMs: 5 });
  health.well();
  expect(states.map(({ state }) => state)).toEqual(["failed", "failed", "ok"]);
});

test.each([
  ["7", 7000],
  ["0", 0],
  ["Sun, 06 Nov 1994 08:49:44 GMT", 7000],
  ["Sunday, 06-Nov-94 08:49:44 GMT", 7000],
  ["Sun Nov  6 08:49:44 1994", 7000],
  ["Sun, 06 Nov 1994 08:49:30 GMT", 0],
  ["-1", undefined],
  ["1e9", undefined],
  ["soon", undefined],
  ["99999999999999", undefined],
])("Retry-After: %s", (text, expected) => {
  const nowMs = Date.UTC(1994, 10, 6, 8, 49, 37);
  expect(retryAfter(answerOf(503, text), nowMs).retryAfterMs).toBe(expected);
});

test("every setting says what it is for", () => {
  for (const schema of Object.values(HTTP_SINK_PROPERTIES))
    expect((schema as { description?: string }).description?.length).toBeGreaterThan(10);
});
