// The webhook against a receiver that verifies what the guide promises, with the guide's own code.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders } from "node:http";
import { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type CountersignError, sha256Hex } from "@countersign/model";
import {
  type Component,
  type ComponentState,
  type Consumer,
  type Decisions,
  type Receipted,
} from "@countersign/pipeline";
import { expect, onTestFinished, test } from "vitest";
import { newEvents, runtimeOf, SIGNAL, WEBHOOK } from "../testing/exporters.ts";
import { webhookExporter } from "./webhook.ts";
import { signatureOf } from "./webhook/signature.ts";

interface Got {
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}
interface Rig {
  readonly exporter: Component & Consumer<Decisions> & Receipted;
  readonly got: Got[];
  readonly states: ComponentState[];
  /** Statuses of the next answers; then 204. */
  readonly answers: number[];
  refuses: ((ids: readonly string[]) => number | undefined) | undefined;
}

async function rig(more: object = {}): Promise<Rig> {
  const got: Got[] = [];
  const states: ComponentState[] = [];
  const one = { got, states, answers: [], refuses: undefined } as unknown as Rig;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks);
      const status = one.answers.shift() ?? one.refuses?.(idsOf(body)) ?? 204;
      if (status < 300) got.push({ headers: request.headers, body });
      response.writeHead(status, { "retry-after": "3" }).end("text of the receiver");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hooks/a?b=c`;
  const runtime = {
    ...runtimeOf("webhook"),
    report: (state: ComponentState) => void states.push(state),
  };
  const exporter = webhookExporter.create(
    { ...WEBHOOK, endpoint, ...more } as never,
    runtime,
  ) as unknown as Rig["exporter"];
  await exporter.start(SIGNAL);
  onTestFinished(async () => {
    await exporter.stop(AbortSignal.abort());
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });
  return Object.assign(one, { exporter });
}

const idsOf = (body: Buffer): string[] =>
  (JSON.parse(body.toString("utf8")) as { id: string }[]).map(({ id }) => id);
const ids = (batch: Decisions): string[] => batch.events.map(({ event }) => event.id);

async function failure(promise: Promise<void>): Promise<CountersignError> {
  return await promise.then(
    () => expect.unreachable("it was taken"),
    (error: CountersignError) => error,
  );
}

test("native is a batch of CloudEvents, each byte for byte the sealed event", async () => {
  const { exporter, got } = await rig();
  const batch = newEvents(3);
  await exporter.consume(batch, SIGNAL);
  const [{ headers, body }] = got as [Got];
  expect(headers["content-type"]).toBe("application/cloudevents-batch+json; charset=utf-8");
  const joined = batch.events.map(({ bytes }) => Buffer.from(bytes).toString("utf8")).join(",");
  expect(body.toString("utf8")).toBe(`[${joined}]`);
  expect(exporter.acknowledgementOf?.(batch)).toEqual({
    kind: "webhook_2xx",
    id: headers["idempotency-key"]?.toString().slice(1, -1),
  });
});

test("the same batch has the same key, another has another", async () => {
  const { exporter, got } = await rig();
  const batch = newEvents(3);
  await exporter.consume(batch, SIGNAL);
  await exporter.consume(batch, SIGNAL);
  await exporter.consume({ events: batch.events.slice(1) }, SIGNAL);
  const keys = got.map(({ headers }) => headers["idempotency-key"]);
  expect(keys[0]).toMatch(/^"[\da-f]{64}"$/);
  expect([keys[1] === keys[0], keys[2] === keys[0]]).toEqual([true, false]);
});

test.each([
  ["ocsf", "application/json", /^\[\{"activity_id"|^\[\{/],
  ["cef", "text/plain; charset=utf-8", /^CEF:[^\n]+\nCEF:[^\n]+\n$/],
])("%s is %s", async (format, type, form) => {
  const { exporter, got } = await rig({ format });
  await exporter.consume(newEvents(2), SIGNAL);
  expect(got[0]?.headers["content-type"]).toBe(type);
  expect(got[0]?.body.toString("utf8")).toMatch(form);
});

test.each([
  [400, "UNAVAILABLE failed"],
  [401, "UNAVAILABLE failed"],
  [403, "UNAVAILABLE failed"],
  [404, "UNAVAILABLE failed"],
  [409, "UNAVAILABLE degraded"],
  [410, "UNAVAILABLE failed"],
  [429, "OVERLOADED degraded"],
  [500, "UNAVAILABLE degraded"],
  [503, "OVERLOADED degraded"],
  [308, "UNAVAILABLE failed"],
])("%i: %s; then it goes on", async (status, expected) => {
  const { exporter, got, states, answers } = await rig();
  answers.push(status);
  const batch = newEvents(2);
  const error = await failure(exporter.consume(batch, SIGNAL));
  expect(`${error.code} ${states.at(-1)?.state}`).toBe(expected);
  expect(error.failed).toEqual([0, 1]);
  expect(JSON.stringify([error.message, states])).not.toMatch(/text of the receiver|hooks/);
  await exporter.consume(batch, SIGNAL);
  expect([got.length, states.at(-1)?.state]).toEqual([1, "ok"]);
});

test("422 and 413: the others arrive", async () => {
  const one = await rig();
  const batch = newEvents(9);
  const bad = ids(batch)[4] as string;
  one.refuses = (some) => (some.includes(bad) ? 422 : some.length > 3 ? 413 : undefined);
  const error = await failure(one.exporter.consume(batch, SIGNAL));
  expect(error).toMatchObject({ code: "REJECTED", failed: [4], reasons: ["webhook_422"] });
  expect(one.got.flatMap(({ body }) => idsOf(body))).toEqual(ids(batch).filter((id) => id !== bad));
});

test.each([
  [{ endpoint: "http://soc.example/hook" }, ["endpoint"]],
  [{ endpoint: "https://soc.example/hook?a=b" }, []],
  [{ endpoint: "http://soc.example/hook", insecure: true }, ["endpoint"]],
  [{ keys: [WEBHOOK.keys[0], WEBHOOK.keys[0]] }, ["keys"]],
])("%j is looked at before anything starts", (more, paths) => {
  const config = { ...WEBHOOK, endpoint: "https://soc.example/hook", ...more };
  const faults = webhookExporter.check?.(config as never) ?? [];
  expect(faults.map(({ path }) => path.join("."))).toEqual(paths);
});

const guide = readFileSync(
  join(import.meta.dirname, "..", "..", "..", "..", "docs", "guides", "webhook.md"),
  "utf8",
);
const snippet = (language: string): string =>
  new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``).exec(guide)?.[1] ?? "";

/** Every case, and whether a receiver may take it. */
async function cases(): Promise<[name: string, header: string, body: string, expected: boolean][]> {
  const { exporter, got } = await rig({ keys: [KEYS.next, KEYS.now] });
  await exporter.consume(newEvents(2), SIGNAL);
  const [{ headers, body }] = got as [Got];
  const header = headers["countersign-signature"]?.toString() ?? "";
  const text = body.toString("utf8");
  const old = signatureOf(body, [KEYS.now], Date.now() - 400_000);
  const soon = signatureOf(body, [KEYS.now], Date.now() + 400_000);
  return [
    ["as it was sent, with two keys", header, text, true],
    ["with the old key alone", signatureOf(body, [KEYS.now]), text, true],
    ["another body", header, `${text} `, false],
    ["another time", header.replace(/t=\d/, "t=2"), text, false],
    ["a stranger's key", signatureOf(body, [{ id: "now", secret: "x".repeat(32) }]), text, false],
    ["a key of no name that it knows", signatureOf(body, [KEYS.next]), text, false],
    [
      "the name of a member of every object",
      signatureOf(body, [{ ...KEYS.now, id: "constructor" }]),
      text,
      false,
    ],
    ["too old", old, text, false],
    ["from the future", soon, text, false],
    ["no signature", "", text, false],
    ["another version", header.replace("v=1", "v=2"), text, false],
    ["no mark", "v=1,t=1", text, false],
    ["a mark that is none", header.replaceAll(/=[\da-f]{64}/g, "=é"), text, false],
  ];
}

const KEYS = {
  now: { id: "now", secret: "the-secret-of-this-quarter-32-chars" },
  next: { id: "next", secret: "the-secret-of-the-next-quarter-32-c" },
} as const;
const SECRETS = { now: KEYS.now.secret };

function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), "countersign-webhook-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

test("the guide's code for Node tells what is genuine", async () => {
  const file = join(scratch(), "verify.mjs");
  writeFileSync(file, snippet("js"));
  const { isGenuine } = (await import(pathToFileURL(file).href)) as {
    isGenuine: (header: string, body: Buffer, secrets: object) => boolean;
  };
  for (const [name, header, body, expected] of await cases())
    expect([name, isGenuine(header, Buffer.from(body), SECRETS)]).toEqual([name, expected]);
});

test("the guide's code for Python tells the same", async (context) => {
  if (spawnSync("python3", ["--version"]).status !== 0) {
    context.skip("no python3");
    return;
  }
  const file = join(scratch(), "verify.py");
  const all = await cases();
  writeFileSync(
    file,
    `${snippet("python")}
import json, sys
cases, secrets = json.load(sys.stdin)
print(json.dumps([is_genuine(header, body.encode(), secrets) for _, header, body, _ in cases]))
`,
  );
  const run = spawnSync("python3", [file], { input: JSON.stringify([all, SECRETS]) });
  expect(run.stderr.toString()).toBe("");
  expect(JSON.parse(run.stdout.toString())).toEqual(all.map(([, , , expected]) => expected));
});

test("the hash of an item is the event's own", async () => {
  const { exporter, got } = await rig();
  const batch = newEvents(1);
  await exporter.consume(batch, SIGNAL);
  expect(sha256Hex(got[0]?.body.subarray(1, -1) ?? "")).toBe(batch.events[0]?.hash);
});
