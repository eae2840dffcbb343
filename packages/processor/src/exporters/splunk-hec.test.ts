// Splunk's HEC, against a strict fake: Splunk itself cannot be run here. The same exporter meets the Collector's HEC receiver in
// test/services/splunk-hec.test.ts.
import { type CountersignError, type SealedEvent, silentLogger } from "@countersign/model";
import {
  type Component,
  type ComponentState,
  type Consumer,
  createMetrics,
  type Decisions,
  type Receipted,
} from "@countersign/pipeline";
import { expect, onTestFinished, test } from "vitest";
import { newEvents, runtimeOf, SIGNAL, SPLUNK } from "../testing/exporters.ts";
import { type FakeHec, fakeHec, type HecScript } from "../testing/fake-hec.ts";
import type { AckMode } from "../testing/fake-hec-acks.ts";
import { splunkHecExporter } from "./splunk-hec.ts";

interface Rig {
  readonly hec: FakeHec;
  readonly exporter: Component & Consumer<Decisions> & Receipted;
  readonly states: ComponentState[];
  readonly logged: string[];
}

async function rig(more: object = {}, ack: AckMode = "off"): Promise<Rig> {
  const hec = await fakeHec(ack);
  const states: ComponentState[] = [];
  const logged: string[] = [];
  const write = (message: string, fields?: object): void =>
    void logged.push(message + JSON.stringify(fields));
  const runtime = {
    ...runtimeOf("splunk_hec/soc", createMetrics()),
    log: { ...silentLogger, warn: write, error: write, info: write },
    report: (state: ComponentState) => void states.push(state),
  };
  const config = { ...SPLUNK, endpoint: hec.url, token: hec.token, acknowledge: ack !== "off" };
  const exporter = splunkHecExporter.create(
    { ...config, ...more } as never,
    runtime,
  ) as unknown as Rig["exporter"];
  await exporter.start(SIGNAL);
  onTestFinished(async () => {
    await exporter.stop(AbortSignal.abort());
    await hec.close();
    expect(hec.violations).toEqual([]);
  });
  return { hec, exporter, states, logged };
}

async function failure(promise: Promise<void>): Promise<CountersignError> {
  return await promise.then(
    () => expect.unreachable("it was taken"),
    (error: CountersignError) => error,
  );
}

const uids = (batch: Decisions): string[] => batch.events.map(({ event }) => event.id);
const stored = (hec: FakeHec): string[] => hec.stored.map(({ uid }) => uid);
/** What the pipeline does: sends again what failed, until nothing does. */
async function sendAgain(exporter: Consumer<Decisions>, batch: Decisions): Promise<void> {
  for (let rest = batch; ;) {
    const error = await exporter.consume(rest, SIGNAL).then(
      () => undefined,
      (cause: CountersignError) => cause,
    );
    if (error === undefined) return;
    if (error.code !== "UNAVAILABLE" && error.code !== "OVERLOADED") throw error;
    const { failed } = error;
    if (failed !== undefined)
      rest = { events: failed.map((index) => rest.events[index] as SealedEvent) };
  }
}

test("an envelope: where, what and who, and the sealed bytes as they are", async () => {
  const { hec, exporter } = await rig({ index: "mcp_audit" });
  const batch = newEvents(2);
  await exporter.consume(batch, SIGNAL);
  const [first] = batch.events as [SealedEvent];
  const { id, source } = first.event;
  expect(hec.stored[0]).toEqual({
    uid: id,
    raw: Buffer.from(first.bytes).toString("utf8"),
    envelope: {
      time: Date.UTC(2026, 10, 22, 9) / 1000,
      host: "tickets-test",
      source,
      sourcetype: "countersign:native",
      index: "mcp_audit",
      fields: { event_format: "native@1", event_uid: id, event_hash: first.hash },
      event: first.event,
    },
  });
  expect(exporter.mapping).toBe("native@1");
  expect(exporter.acknowledgementOf?.(batch)).toEqual({ kind: "hec_200" });
});

test("a batch is as many requests as the limits want, in order", async () => {
  const { hec, exporter } = await rig({ max_events: 4, compression: "gzip" });
  const batch = newEvents(10);
  await exporter.consume(batch, SIGNAL);
  expect(hec.requests.map(({ events }) => events)).toEqual([4, 4, 2]);
  expect(stored(hec)).toEqual(uids(batch));
});

const HEC_TEXT = "text-of-the-answer";
const scripted = (status: number, code: number): HecScript => ({
  status,
  body: { text: HEC_TEXT, code },
});
/** Every code of the documentation: what the pipeline is told, and how the exporter is then. */
const CODES: [status: number, code: number, expected: string][] = [
  [403, 1, "UNAVAILABLE failed"],
  [401, 2, "UNAVAILABLE failed"],
  [401, 3, "UNAVAILABLE failed"],
  [403, 4, "UNAVAILABLE failed"],
  [400, 5, "UNAVAILABLE failed"],
  [400, 7, "UNAVAILABLE failed"],
  [500, 8, "UNAVAILABLE degraded"],
  [503, 9, "OVERLOADED degraded"],
  [400, 10, "UNAVAILABLE failed"],
  [400, 11, "UNAVAILABLE degraded"],
  [400, 14, "UNAVAILABLE failed"],
  [400, 16, "UNAVAILABLE failed"],
  [503, 18, "OVERLOADED degraded"],
  [503, 19, "OVERLOADED degraded"],
  [503, 20, "OVERLOADED degraded"],
  [400, 21, "UNAVAILABLE failed"],
  [400, 22, "UNAVAILABLE failed"],
  [503, 23, "UNAVAILABLE degraded"],
  [429, 26, "OVERLOADED degraded"],
  [429, 27, "OVERLOADED degraded"],
  // Codes of later versions: by their status, and never for good.
  [400, 99, "UNAVAILABLE failed"],
  [503, 99, "OVERLOADED degraded"],
  [500, 99, "UNAVAILABLE degraded"],
  [200, 17, "UNAVAILABLE failed"],
];

test.each(CODES)("%i, code %i: %s; then it goes on", async (status, code, expected) => {
  const { hec, exporter, states, logged } = await rig();
  hec.script.push(scripted(status, code));
  const batch = newEvents(3);
  const error = await failure(exporter.consume(batch, SIGNAL));
  expect(`${error.code} ${states.at(-1)?.state}`).toBe(expected);
  expect(error.failed).toEqual([0, 1, 2]);
  expect(error.message).toMatch(/^splunk_hec\/soc: /);
  expect(JSON.stringify([error.message, states, logged])).not.toContain(HEC_TEXT);
  await exporter.consume(batch, SIGNAL);
  expect([stored(hec), states.at(-1)?.state]).toEqual([uids(batch), "ok"]);
});

test("Retry-After goes on to the pipeline", async () => {
  const { hec, exporter } = await rig();
  hec.script.push({ ...scripted(503, 9), headers: { "retry-after": "7" } });
  expect((await failure(exporter.consume(newEvents(1), SIGNAL))).retryAfterMs).toBe(7000);
});

test.each([6, 12, 13, 15])("code %i isolates the event that HEC names", async (code) => {
  const { hec, exporter } = await rig();
  hec.script.push({ status: 400, body: { text: "no", code, "invalid-event-number": 1 } });
  const batch = newEvents(3);
  const error = await failure(exporter.consume(batch, SIGNAL));
  expect(error).toMatchObject({ code: "REJECTED", failed: [1], reasons: [`hec_${code}`] });
  expect(stored(hec)).toEqual([uids(batch)[0], uids(batch)[2]]);
});

test.each([true, false])("refused events are found, numberless %s", async (numberless) => {
  const { hec, exporter, states } = await rig();
  const batch = newEvents(9);
  const bad = new Set([uids(batch)[0], uids(batch)[5], uids(batch)[8]]);
  Object.assign(hec, { refuses: (uid: string) => bad.has(uid), numberless });
  const error = await failure(exporter.consume(batch, SIGNAL));
  expect(error).toMatchObject({ code: "REJECTED", failed: [0, 5, 8] });
  expect(error.reasons).toEqual(["hec_6", "hec_6", "hec_6"]);
  expect(stored(hec)).toEqual(uids(batch).filter((uid) => !bad.has(uid)));
  expect(states.at(-1)?.state).toBe("ok");
});

test("413 halves a request; one event that is too large is refused alone", async () => {
  const { hec, exporter } = await rig();
  const batch = newEvents(8);
  hec.maxBytes = 3000;
  await exporter.consume(batch, SIGNAL);
  expect(stored(hec)).toEqual(uids(batch));
  hec.maxBytes = 100;
  const error = await failure(exporter.consume(newEvents(2), SIGNAL));
  expect(error).toMatchObject({ code: "REJECTED", failed: [0, 1] });
  expect(error.reasons).toEqual(["too_large", "too_large"]);
});

test("refused and away in one batch: all of it again, and what is refused stays alone", async () => {
  const { hec, exporter } = await rig({ max_events: 2 });
  const batch = newEvents(4);
  hec.refuses = (uid) => uid === uids(batch)[0];
  hec.script.push(
    { status: 400, body: { code: 6, "invalid-event-number": 0 } },
    { status: 200, body: { text: "Success", code: 0 }, takes: true },
    scripted(503, 9),
  );
  const error = await failure(exporter.consume(batch, SIGNAL));
  expect([error.code, error.failed]).toEqual(["OVERLOADED", [0, 2, 3]]);
  const rest = { events: [0, 2, 3].map((index) => batch.events[index] as SealedEvent) };
  const last = await failure(exporter.consume(rest, SIGNAL));
  expect([last.code, last.failed]).toEqual(["REJECTED", [0]]);
  expect(stored(hec)).toEqual(uids(batch).slice(1));
});

test("a wrong token halts; when it is mended nothing is missing, and nothing twice", async () => {
  const { hec, exporter, states } = await rig({ max_events: 2 });
  const { token } = hec;
  hec.token = "another";
  const batch = newEvents(5);
  const error = await failure(exporter.consume(batch, SIGNAL));
  expect(error.message).toBe(
    "splunk_hec/soc: Splunk does not know the token; check `token` (HEC code 4)",
  );
  expect([hec.stored.length, states.at(-1)?.state]).toEqual([0, "failed"]);
  hec.token = token;
  await sendAgain(exporter, batch);
  expect(stored(hec)).toEqual(uids(batch));
});

test.each([
  ["HTML", { status: 200, body: "<html>log in</html>" }, "failed"],
  ["an array", { status: 200, body: "[]" }, "failed"],
  ["no code", { status: 200, body: { text: "fine" } }, "failed"],
  ["a redirect", { status: 302, headers: { location: "/login" } }, "failed"],
  ["a 400 of a proxy", { status: 400, body: "<html>bad</html>" }, "failed"],
  ["half a body", { status: 200, body: "{", headers: { "content-length": "9" } }, "degraded"],
])("%s in place of an answer is no success", async (_name, script, state) => {
  const { hec, exporter, states } = await rig({ timeout: "200ms" });
  hec.script.push(script as HecScript);
  const error = await failure(exporter.consume(newEvents(1), SIGNAL));
  expect([error.code, states.at(-1)?.state]).toEqual(["UNAVAILABLE", state]);
});

const taken = (code: number): HecScript => ({
  status: 200,
  body: { text: "Success", code },
  takes: true,
});

test("codes 24 and 25 on a 200: taken, and the next request waits", async () => {
  const { hec, exporter } = await rig();
  hec.script.push(taken(24), taken(25));
  const batch = newEvents(1);
  await exporter.consume(batch, SIGNAL);
  const giveUp = new AbortController();
  const waiting = exporter.consume(newEvents(1), giveUp.signal);
  giveUp.abort();
  expect((await failure(waiting)).code).toBe("CANCELLED");
  expect(stored(hec)).toEqual(uids(batch));
  await exporter.consume(newEvents(1), SIGNAL);
  expect(hec.stored).toHaveLength(2);
});

test("acknowledged: done when the indexer has it, with its number", async () => {
  const { hec, exporter, states } = await rig({ max_events: 2 }, { afterQuestions: 2 });
  const batch = newEvents(5);
  await exporter.consume(batch, SIGNAL);
  expect(stored(hec)).toEqual(uids(batch));
  expect(exporter.acknowledgementOf?.(batch)).toEqual({ kind: "hec_ack", id: "2" });
  expect(hec.requests.filter(({ path }) => path.endsWith("/ack")).length).toBeGreaterThan(2);
  expect(states.at(-1)?.state).toBe("ok");
});

test("never acknowledged: sent again after the time limit, and there twice", async () => {
  const { hec, exporter } = await rig({ acknowledge_timeout: "300ms" }, "never");
  const batch = newEvents(2);
  const error = await failure(exporter.consume(batch, SIGNAL));
  expect([error.code, error.failed]).toEqual(["UNAVAILABLE", [0, 1]]);
  expect(error.message).toMatch(/no acknowledgement within 300 ms/);
  hec.ack = { afterQuestions: 0 };
  await sendAgain(exporter, batch);
  expect(stored(hec)).toEqual([...uids(batch), ...uids(batch)]);
});

test("Splunk restarts before it has indexed: what it forgot is sent again", async () => {
  const { hec, exporter } = await rig({}, "never");
  const batch = newEvents(2);
  const more = newEvents(2);
  // Numbers 0 and 1 are given before the restart; what comes after it gets 0 again.
  const before = [
    failure(exporter.consume(batch, SIGNAL)),
    failure(exporter.consume(more, SIGNAL)),
  ];
  await expect.poll(() => hec.stored.length).toBe(4);
  hec.restart();
  hec.ack = { afterQuestions: 0 };
  for (const error of await Promise.all(before)) expect(error.code).toBe("UNAVAILABLE");
  await sendAgain(exporter, batch);
  await sendAgain(exporter, more);
  expect(stored(hec).filter((uid) => uid === uids(more)[1])).toHaveLength(2);
});

test("a number that counts anew is no acknowledgement of what came before it", async () => {
  const { hec, exporter, states } = await rig({}, "never");
  const batch = newEvents(1);
  const first = failure(exporter.consume(batch, SIGNAL));
  await expect.poll(() => hec.stored.length).toBe(1);
  // Another indexer answers, in the same channel.
  hec.script.push({ status: 200, body: { text: "Success", code: 0 }, takes: true });
  hec.restart();
  const second = await failure(exporter.consume(newEvents(1), SIGNAL));
  expect([second.code, (await first).code]).toEqual(["UNAVAILABLE", "UNAVAILABLE"]);
  expect(states.at(-1)?.detail).toMatch(/count anew/);
});

test("without indexer acknowledgement nothing is sent at all", async () => {
  const { hec, exporter, states } = await rig({ acknowledge: true });
  const error = await failure(exporter.consume(newEvents(2), SIGNAL));
  expect([error.code, states.at(-1)?.state, hec.stored.length]).toEqual([
    "UNAVAILABLE",
    "failed",
    0,
  ]);
  expect(error.message).toMatch(/`acknowledge: false`/);
  hec.ack = { afterQuestions: 0 };
  await exporter.consume(newEvents(2), SIGNAL);
  expect(hec.stored).toHaveLength(2);
});

test("cookies of a load balancer come back with events and questions", async () => {
  const { hec, exporter } = await rig({}, { afterQuestions: 1 });
  hec.cookie = "route=indexer-7";
  await exporter.consume(newEvents(1), SIGNAL);
  expect(hec.requests.map(({ cookie }) => cookie)).toEqual([
    undefined,
    "route=indexer-7",
    "route=indexer-7",
    "route=indexer-7",
  ]);
});

test("who gives up while it is indexed is told so, and so is who is cut off by the stop", async () => {
  const { hec, exporter } = await rig({}, "never");
  const giveUp = new AbortController();
  const given = failure(exporter.consume(newEvents(1), giveUp.signal));
  const cut = failure(exporter.consume(newEvents(1), SIGNAL));
  await expect.poll(() => hec.stored.length).toBe(2);
  giveUp.abort();
  expect((await given).code).toBe("CANCELLED");
  await exporter.stop(AbortSignal.timeout(20));
  expect((await cut).code).toBe("CANCELLED");
});

test.each([
  ["https://splunk.example:8088/services/collector", "endpoint"],
  ["http://splunk.example:8088", "endpoint"],
])("%s is refused before anything starts", (endpoint, path) => {
  const faults = splunkHecExporter.check?.({ ...SPLUNK, endpoint, token: "a" } as never) ?? [];
  expect(faults.map((fault) => fault.path.join("."))).toEqual([path]);
});
