// Credentials of exporters, before destinations that refuse and send back what they got: in headers, in bodies, as error types. None
// of it may be in a log line, a metric, /ready, a receipt, a dead letter's metadata, a span of ours, or an error.
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { loadConfig, validateConfig } from "./configuration.ts";
import { describeComponents } from "./index.ts";
import { createService, type Service } from "./service.ts";
import { certificate } from "./testing/certificates.ts";
import { sealedEvents } from "./testing/events.ts";
import { scratch } from "./testing/exporters.ts";
import { fakeElasticsearch, STREAM } from "./testing/fake-elasticsearch.ts";
import { fakeHec } from "./testing/fake-hec.ts";
import { createLeakScan } from "./testing/leak-scan.ts";
import { logInto, recorder, traceInto } from "./testing/leak-scene.ts";
import { logRecord, requestOf } from "./testing/logs.ts";
import { post } from "./testing/receiver.ts";

/** Lower-case letters and digits: what a pattern for codes of a protocol might let through. */
const SECRETS = {
  hec: randomBytes(16).toString("hex"),
  apiKey: randomBytes(16).toString("hex"),
  password: `pass${randomBytes(12).toString("hex")}`,
  bearer: randomBytes(16).toString("hex"),
  hmac: randomBytes(24).toString("hex"),
  header: randomBytes(16).toString("hex"),
  kafka: randomBytes(16).toString("hex"),
};
const BASIC = Buffer.from(`elastic:${SECRETS.password}`).toString("base64");
const CLIENT = certificate({ subject: "CN=client", isAuthority: true });
/** Stands in every event: what a destination sends back of a body. */
const IN_EVENTS = "tickets-in-the-body";

const STATUSES = [400, 401, 403, 404, 407, 408, 409, 410, 429, 500, 502, 503, 301, 302, 307, 200];

function scanOfAll(): ReturnType<typeof createLeakScan> {
  const scan = createLeakScan();
  for (const secret of [...Object.values(SECRETS), BASIC]) scan.plant(secret);
  for (const line of CLIENT.key.split("\n").filter((one) => one.length === 64)) scan.plant(line);
  return scan;
}

const mirrored = (secret: string): Record<string, string> => ({
  location: `http://127.0.0.1:9/${secret}?token=${secret}`,
  "retry-after": secret,
  "www-authenticate": `Basic realm="${secret}"`,
  "set-cookie": `${secret}=${secret}`,
  "x-error": secret,
});

/** Answers all that is asked with a refusal that holds the credential; then it behaves. */
async function hostileElastic(secret: string, authorization: string): Promise<string> {
  const elastic = await fakeElasticsearch();
  elastic.authorization = authorization;
  for (const status of STATUSES) {
    elastic.whole.push((response) => {
      response.writeHead(status, mirrored(secret));
      const error = { type: secret, reason: `${authorization} ${IN_EVENTS}` };
      response.end(JSON.stringify({ error, status: secret, took: secret, items: secret }));
    });
  }
  elastic.item = (_, nth) => (nth < 3 ? { status: 400 + nth, type: secret } : undefined);
  return elastic.url;
}

async function hostileHec(): Promise<string> {
  const hec = await fakeHec();
  onTestFinished(() => hec.close());
  hec.token = SECRETS.hec;
  const codes = Array.from({ length: 28 }, (_, code) => code).filter((code) => code !== 0);
  for (const code of [...codes, SECRETS.hec]) {
    const body = { text: `Splunk ${SECRETS.hec} ${IN_EVENTS}`, code, ackId: SECRETS.hec };
    hec.script.push({ status: code === 1 ? 403 : 400, body, headers: mirrored(SECRETS.hec) });
  }
  for (const status of STATUSES)
    hec.script.push({ status, body: SECRETS.hec, headers: mirrored(SECRETS.hec) });
  return hec.url;
}

async function hostileHook(): Promise<string> {
  const rest = [...STATUSES.filter((status) => status !== 200), 422];
  const hook = await recorder((response, request, body) => {
    const status = rest.shift() ?? 204;
    if (status === 204) return void response.writeHead(204).end();
    const sent = JSON.stringify(request.headers);
    const all = { ...mirrored(`${SECRETS.hmac}${SECRETS.header}`), "x-body": IN_EVENTS };
    response.writeHead(status, all).end(`${sent} ${SECRETS.hmac} ${body.toString("utf8")}`);
  });
  return hook.url;
}

/** Answers a handshake of TLS with the text of a key. */
async function hostileTls(): Promise<number> {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => socket.end(CLIENT.key));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve())));
  return (server.address() as { port: number }).port;
}

const RETRY = "retry: { initial: 1ms, max: 5ms }";

async function configText(directory: string): Promise<string> {
  mkdirSync(directory, { recursive: true });
  const keyFile = join(directory, "client.key");
  writeFileSync(keyFile, CLIENT.key);
  writeFileSync(join(directory, "client.crt"), CLIENT.cert);
  const elastic = async (secret: string, authorization: string, settings: string) =>
    `{ endpoint: "${await hostileElastic(secret, authorization)}", data_stream: ${STREAM}, ${RETRY}, ${settings} }`;
  const kept = (name: string): string => `{ directory: ${join(directory, name)}, format: native }`;
  const { apiKey, bearer } = SECRETS;
  return `
extensions: { health_check: { endpoint: "127.0.0.1:0" }, metrics: { endpoint: "127.0.0.1:0" } }
receivers:
  otlp: { protocols: { http: { endpoint: "127.0.0.1:0" } } }
  archive: { from: archive, cursors: ${join(directory, "cursors")} }
processors: { intake: {} }
exporters:
  archive: { directory: ${join(directory, "archive")}, origin: leaks.example/test }
  splunk_hec: { endpoint: "${await hostileHec()}", token: "\${env:HEC}", ${RETRY} }
  elasticsearch/key: ${await elastic(apiKey, `ApiKey ${apiKey}`, 'api_key: "${env:API_KEY}"')}
  elasticsearch/basic: ${await elastic(SECRETS.password, `Basic ${BASIC}`, 'basic: { username: elastic, password: "${env:PASSWORD}" }')}
  elasticsearch/bearer: ${await elastic(bearer, `Bearer ${bearer}`, 'bearer_token: "${env:BEARER}"')}
  webhook: { endpoint: "${await hostileHook()}", ${RETRY}, keys: [{ id: k1, secret: "\${env:HMAC}" }], headers: { x-api-key: "\${env:HEADER}" } }
  syslog: { endpoint: "127.0.0.1:${await hostileTls()}", format: native, timeout: 1s, tls: { cert: "\${file:${join(directory, "client.crt")}}", key: "\${file:${keyFile}}" } }
  file/dead_letter: ${kept("dead_letter")}
  file/quarantine: ${kept("quarantine")}
  file/receipts: ${kept("receipts")}
service:
  extensions: [health_check, metrics]
  dead_letter: file/dead_letter
  quarantine: file/quarantine
  receipts: file/receipts
  drain_timeout: 2s
  pipelines:
    decisions: { receivers: [otlp], processors: [intake], exporters: [archive] }
${[
  "splunk_hec",
  "elasticsearch/key",
  "elasticsearch/basic",
  "elasticsearch/bearer",
  "webhook",
  "syslog",
]
  .map((id, nth) => `    decisions/${nth}: { receivers: [archive], exporters: [${id}] }`)
  .join("\n")}
`;
}

const ENV = {
  HEC: SECRETS.hec,
  API_KEY: SECRETS.apiKey,
  PASSWORD: SECRETS.password,
  BEARER: SECRETS.bearer,
  HMAC: SECRETS.hmac,
  HEADER: SECRETS.header,
};

/** Everything that the service says, until every exporter but the one that never can has delivered. */
async function listen(service: Service, said: readonly string[]): Promise<string> {
  const pages = new Set<string>();
  const page = async (extension: string, path: string): Promise<string> => {
    const text = await (await fetch(`${service.endpoints[extension]}${path}`)).text();
    pages.add(text);
    return text;
  };
  const delivering = async (): Promise<number> => {
    await page("health_check", "/ready");
    const metrics = await page("metrics", "/metrics");
    const sent = metrics.matchAll(/exporter_sent_log_records_total\{exporter="([^"]+)"\} (\d+)/g);
    return [...sent].filter(([, id, count]) => id !== "archive" && Number(count) > 0).length;
  };
  await expect.poll(delivering, { timeout: 60_000, interval: 50 }).toBe(5);
  return [...pages, ...said].join("\n");
}

test("what a destination sends back of our credentials and of events is said nowhere", async () => {
  const directory = scratch();
  const said: string[] = [];
  const { config } = loadConfig(await configText(directory), "leaks.yaml", ENV);
  const service = createService(config, {
    logger: (component) => logInto(said, component),
    trace: traceInto(said),
  });
  await service.start();
  onTestFinished(() => service.stop(AbortSignal.timeout(5000)).catch(() => undefined));
  const url = `${service.endpoints["otlp"]}/v1/logs`;
  const events = sealedEvents(12, { emitter: IN_EVENTS });
  for (let at = 0; at < events.length; at += 3) {
    const records = events.slice(at, at + 3).map(logRecord);
    expect((await post(url, JSON.stringify(requestOf(records)))).status).toBe(200);
  }
  const heard = await listen(service, said);
  const letters = linesIn(join(directory, "dead_letter"));
  const metadata = letters.map((line) => {
    const { value: _event, ...rest } = JSON.parse(line) as { value?: string };
    return JSON.stringify(rest);
  });
  expect(letters.length).toBeGreaterThan(0);
  expect(heard).toMatch(/halted/);
  const receipts = linesIn(join(directory, "receipts"));
  expect(scanOfAll().found([heard, ...letters, ...receipts].join("\n"))).toEqual([]);
  expect([heard, ...metadata].join("\n")).not.toContain(IN_EVENTS);
});

function linesIn(directory: string): readonly string[] {
  return readdirSync(directory).flatMap((file) =>
    readFileSync(join(directory, file), "utf8").split("\n").slice(0, -1),
  );
}

test("a cluster that is away: its password is in no error and no line of kafkajs", async () => {
  const said: string[] = [];
  const text = `
receivers: { otlp: { protocols: { http: { endpoint: "127.0.0.1:0" } } } }
processors: { intake: {} }
clients:
  main: { brokers: ["127.0.0.1:9"], tls: true, start_timeout: 1s, sasl: { mechanism: scram-sha-512, username: u, password: "\${env:KAFKA}" } }
exporters: { kafka: { client: main, topic: t }, kafka/dlq: { client: main, topic: d }, kafka/q: { client: main, topic: q } }
service:
  dead_letter: kafka/dlq
  quarantine: kafka/q
  pipelines: { decisions: { receivers: [otlp], processors: [intake], exporters: [kafka] } }
`;
  const { config } = loadConfig(text, "kafka.yaml", { KAFKA: SECRETS.kafka });
  const service = createService(config, { logger: (component) => logInto(said, component) });
  const error = await service.start().catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: "UNAVAILABLE" });
  expect(scanOfAll().found(`${said.join("\n")} ${wholeOf(error)}`)).toEqual([]);
});

/** An error as a crash or `console.error` would show it, causes and all. */
function wholeOf(error: unknown): string {
  return process.getBuiltinModule("node:util").inspect(error, { depth: 8, showHidden: true });
}

test.each([
  [
    "of the wrong type",
    (text: string) => text.replace('token: "${env:HEC}"', 'token: ["${env:HEC}"]'),
  ],
  [
    "in the address",
    (text: string) => text.replace(/(splunk_hec: .*?http:\/\/)/, `$1u:${SECRETS.hec}@`),
  ],
  [
    "of the wrong form",
    (text: string) => text.replace('"${env:HEC}"', `"${SECRETS.hec} ${SECRETS.hec}"`),
  ],
  ["under another key", (text: string) => text.replace("api_key:", "apikey:")],
  [
    "beside another",
    (text: string) => text.replace("api_key:", `bearer_token: "${SECRETS.bearer}", api_key:`),
  ],
  [
    "that is no key",
    (text: string) => text.replace(/key: "[^"]+client.key}"/, `key: "${SECRETS.header}"`),
  ],
  ["in broken YAML", (text: string) => `${text}\n  ${SECRETS.hec}: [${SECRETS.apiKey}\n`],
])("a credential %s is in no finding of validate, nor in components", async (_how, change) => {
  const text = change(await configText(scratch()));
  const env = { ...ENV, HMAC: SECRETS.hmac };
  const findings = validateConfig(text, "leaks.yaml", env);
  expect(findings.problems.length).toBeGreaterThan(0);
  const shown = JSON.stringify([findings, describeComponents()]);
  expect(scanOfAll().found(shown)).toEqual([]);
});
