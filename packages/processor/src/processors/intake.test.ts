import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  ATTR_EVENT_HASH,
  canonicalBytes,
  CountersignError,
  sha256Hex,
  validateOpen,
  silentLogger,
  unseal,
  type WithheldEvent,
  withheldEvent,
} from "@countersign/model";
import {
  type Component,
  type Consumer,
  createMetrics,
  type Decisions,
  type Letter,
  type LetterBox,
  type LogRecord,
  type Logs,
} from "@countersign/pipeline";
import { expect, test } from "vitest";
import { decodeJson } from "../otlp/decode-json.ts";
import { eventCarriers, type LogsRequest } from "../otlp/event-carriers.ts";
import { LOGS_REQUEST } from "../otlp/message.ts";
import { sealedEvents } from "../testing/events.ts";
import { logRecord, logsOf } from "../testing/logs.ts";
import { intakeProcessor } from "./intake.ts";

const SIGNAL = new AbortController().signal;

interface Bench {
  readonly intake: Component & Consumer<Logs>;
  readonly events: Decisions["events"][number][];
  readonly dead: Letter[];
  readonly quarantined: Letter[];
  /** What happens next, in order. */
  readonly steps: string[];
  readonly metrics: () => string;
}

function bench(
  config: object = {},
  faults: { next?: Error; dead?: Error; quarantine?: Error } = {},
): Bench {
  const events: Decisions["events"][number][] = [];
  const dead: Letter[] = [];
  const quarantined: Letter[] = [];
  const steps: string[] = [];
  const box = (into: Letter[], name: string, fault: Error | undefined): LetterBox => ({
    deposit: async (letters) => {
      if (letters.length === 0) return;
      steps.push(name);
      if (fault !== undefined) throw fault;
      into.push(...letters);
    },
  });
  const metrics = createMetrics();
  const runtime = {
    id: "intake",
    log: silentLogger,
    metrics,
    report: () => undefined,
    service: {
      exporter: () => undefined,
      client: () => undefined,
      extension: () => undefined,
      health: () => ({
        phase: "running" as const,
        components: new Map(),
        beside: new Set<string>(),
      }),
      deadLetters: box(dead, "dead", faults.dead),
      quarantine: box(quarantined, "quarantine", faults.quarantine),
    },
  };
  const next: Consumer<Decisions> = {
    consume: async (batch) => {
      steps.push("next");
      if (faults.next !== undefined) throw faults.next;
      events.push(...batch.events);
    },
  };
  const intake = intakeProcessor.create(
    config as never,
    runtime,
    next as never,
  ) as unknown as Component & Consumer<Logs>;
  return { intake, events, dead, quarantined, steps, metrics: () => metrics.render() };
}

function recordOf(event: object): LogRecord {
  const bytes = canonicalBytes(event);
  return { ...logRecord(unseal(bytes)), body: { stringValue: Buffer.from(bytes).toString() } };
}

type Changed = Record<string, unknown> & {
  data: Record<string, unknown> & { call: Record<string, unknown> };
};

/** The first event of a chain, changed, and sealed again as if by an emitter that does not check. */
function changed(change: (event: Changed) => void): LogRecord {
  const [first] = sealedEvents(1);
  const event = structuredClone(first?.event) as unknown as Changed;
  change(event);
  return recordOf(event);
}

test("sealed events pass, byte for byte, from string and from bytes", async () => {
  const sealed = sealedEvents(3, { outcomes: true });
  const { intake, events, dead } = bench();
  const records = sealed.map(logRecord);
  const [first] = sealed;
  records[0] = {
    ...records[0],
    body: { bytesValue: Buffer.from(first?.bytes ?? []).toString("base64") },
  };
  await intake.consume(logsOf(records), SIGNAL);
  expect(events.map(({ hash }) => hash)).toEqual(sealed.map(({ hash }) => hash));
  expect(events.map(({ bytes }) => sha256Hex(bytes))).toEqual(sealed.map(({ hash }) => hash));
  expect(dead).toEqual([]);
});

test("the contract's example passes", async () => {
  const text = readFileSync(join(import.meta.dirname, "..", "testing", "otlp-logs.json"));
  const { intake, events } = bench();
  await intake.consume(
    { records: eventCarriers(decodeJson<LogsRequest>(text, LOGS_REQUEST).value) },
    SIGNAL,
  );
  expect(events.map(({ hash }) => hash)).toEqual([
    "a478555330aa8c262b4a5f71a61762f643485dad09bc21ceaeeb400d3c8e2576",
  ]);
});

const valid = logRecord(sealedEvents(1)[0] as never);
const text = valid.body?.stringValue as string;
const hashed = (body: string): LogRecord => ({
  ...valid,
  body: { stringValue: body },
  attributes: [{ key: ATTR_EVENT_HASH, value: { stringValue: sha256Hex(body) } }],
});

test.each<[string, LogRecord]>([
  ["body_missing", { ...valid, body: { boolValue: true } }],
  ["body_missing", { eventName: "countersign.decision" }],
  ["hash_missing", { ...valid, attributes: [] }],
  [
    "hash_mismatch",
    {
      ...hashed(text),
      attributes: [{ key: ATTR_EVENT_HASH, value: { stringValue: "0".repeat(64) } }],
    },
  ],
  ["not_sealed", hashed("{not json")],
  ["not_sealed", hashed(` ${text}`)],
  ["not_sealed", hashed(JSON.stringify({ type: 1, a: 2 }))],
  ["not_sealed", hashed(`"${"x".repeat(40_000)}"`)],
  ["schema_invalid", changed((event) => void (event["type"] = "dev.countersign.decision.v2"))],
  ["schema_invalid", changed((event) => void (event["type"] = "dev.countersign.finding.v1"))],
  ["schema_invalid", changed((event) => void delete event.data["policy"])],
  ["schema_invalid", changed((event) => void (event.data["effect"] = "block"))],
  [
    "source_mismatch",
    changed((event) => void (event["source"] = "urn:countersign:emitter:someone-else")),
  ],
  [
    "not_from_emitter",
    changed((event) => {
      event.data["evidence"] = "span";
      delete event.data["chain"];
      event["source"] = "urn:countersign:connector:decisions";
    }),
  ],
  [
    "not_from_emitter",
    logRecord(withheldEvent(sealedEvents(1)[0] as never, "card", "data.call.name")),
  ],
  ["tenant_unknown", changed((event) => void (event.data["tenant"] = "other"))],
])("%s is dead-lettered with its reason, and the rest goes on", async (reason, record) => {
  const { intake, events, dead, quarantined } = bench({ tenants: ["acme"] });
  const good = sealedEvents(2, { epoch: "6".repeat(32) });
  await intake.consume(
    logsOf([logRecord(good[0] as never), record, logRecord(good[1] as never)]),
    SIGNAL,
  );
  expect(events.map(({ hash }) => hash)).toEqual(good.map(({ hash }) => hash));
  expect(dead.map((letter) => [letter.reason, letter.component])).toEqual([[reason, "intake"]]);
  expect(quarantined).toEqual([]);
});

test.each([
  [{ tenant: "acme", emitter: "tickets-test" }, undefined],
  [{ tenant: "acme", emitter: "tickets-*" }, undefined],
  [{ tenant: "acme", emitter: "*-test" }, undefined],
  [{ tenant: "acme", emitter: "*" }, undefined],
  [{ tenant: "acme", emitter: "tickets" }, "emitter_mismatch"],
  [{ tenant: "acme", emitter: "tickets-test-*" }, "emitter_mismatch"],
  [{ tenant: "acme", emitter: "billing-*" }, "emitter_mismatch"],
  [{ tenant: "acme", emitter: "" }, "emitter_mismatch"],
  [{ tenant: "acm", emitter: "*" }, "tenant_mismatch"],
  [{ tenant: "Acme", emitter: "*" }, "tenant_mismatch"],
])("who sends as %j sends for its own tenant and emitters only: %s", async (sentBy, reason) => {
  const { intake, events, dead } = bench();
  const sealed = sealedEvents(2);
  await intake.consume({ ...logsOf(sealed.map(logRecord)), sentBy }, SIGNAL);
  const hashes = sealed.map(({ hash }) => hash);
  expect(events.map(({ hash }) => hash)).toEqual(reason === undefined ? hashes : []);
  expect(dead.map((letter) => [letter.reason, letter.hash])).toEqual(
    reason === undefined ? [] : hashes.map((hash) => [reason, hash]),
  );
});

test("unknown members and reasons of a known major pass: emitters may be newer", async () => {
  const record = changed((event) => {
    event.data["reason"] = "brand_new";
    event.data["decision"] = "error";
    event.data["effect"] = "block";
    event.data["addedLater"] = { a: 1 };
  });
  const { intake, events, dead } = bench();
  await intake.consume(logsOf([record]), SIGNAL);
  expect([events.length, dead.length]).toEqual([1, 0]);
});

const SECRETS = ["4111 1111 1111 1111", "alice@example.com", `sk-${"proj-".padEnd(48, "aB3")}`];

test.each(SECRETS)(
  "a leak (%s) is quarantined and a withheld event takes its place",
  async (secret) => {
    const record = changed((event) => {
      event.data.call["name"] = secret;
      event["subject"] = "tools/call";
    });
    const { intake, events, dead, quarantined } = bench();
    await intake.consume(logsOf([record]), SIGNAL);
    expect(dead).toEqual([]);
    expect(quarantined).toHaveLength(1);
    expect(Buffer.from(quarantined[0]?.bytes ?? []).toString()).toBe(record.body?.stringValue);
    expect(quarantined[0]?.detail).not.toContain(secret);
    const [withheld] = events;
    expect(withheld?.event.type).toBe("dev.countersign.withheld.v1");
    expect((withheld?.event as WithheldEvent | undefined)?.data.of.hash).toBe(quarantined[0]?.hash);
    expect(Buffer.from(withheld?.bytes ?? []).toString()).not.toContain(secret);
  },
);

test("bytes that cannot be read and may hold a secret are kept in quarantine only", async () => {
  const { intake, dead, quarantined } = bench();
  await intake.consume(logsOf([hashed('{"password for alice@example.com":'), valid]), SIGNAL);
  expect(dead.map(({ reason, bytes }) => [reason, bytes])).toEqual([["not_sealed", undefined]]);
  expect(quarantined.map(({ reason }) => reason)).toEqual(["not_sealed"]);
  expect(JSON.stringify(dead)).not.toContain("alice");
});

test("other people's logs beside ours are counted and written nowhere", async () => {
  const { intake, events, dead, quarantined } = bench();
  const foreign = { body: { stringValue: "card 4111111111111111" } };
  await intake.consume(logsOf([foreign, valid, foreign]), SIGNAL);
  expect(events).toHaveLength(1);
  expect(dead.map(({ reason, count }) => [reason, count])).toEqual([["not_countersign", 2]]);
  expect(JSON.stringify([dead, quarantined])).not.toContain("4111111111111111");
});

test("a request of other people's logs alone is refused", async () => {
  const { intake } = bench();
  const refused = intake.consume(logsOf([{ body: { stringValue: "hello" } }]), SIGNAL);
  await expect(refused).rejects.toMatchObject({ code: "INPUT_INVALID" });
});

test("an empty request is taken", async () => {
  expect(await bench().intake.consume({ records: [] }, SIGNAL)).toBeUndefined();
});

const down = new CountersignError("UNAVAILABLE", "down");

test("nothing is acknowledged when the next owner, the dead letters or the quarantine fail", async () => {
  const leak = changed((event) => {
    event.data.call["name"] = SECRETS[0];
    event["subject"] = "tools/call";
  });
  const all = logsOf([valid, hashed("{"), leak]);
  for (const faults of [{ next: down }, { dead: down }, { quarantine: down }]) {
    const { intake } = bench({}, faults);
    await expect(intake.consume(all, SIGNAL)).rejects.toBe(down);
  }
});

test("events first, then letters", async () => {
  const { intake, steps } = bench();
  await intake.consume(logsOf([hashed("{"), valid]), SIGNAL);
  expect(steps).toEqual(["next", "dead"]);
});

test("a large request goes on in pieces", async () => {
  const { intake, events, steps } = bench();
  await intake.consume(logsOf(sealedEvents(1100).map(logRecord)), SIGNAL);
  expect([events.length, steps.length]).toEqual([1100, 3]);
});

test("what became of the records is counted", async () => {
  const { intake, metrics } = bench();
  const leak = changed((event) => {
    event.data.call["name"] = SECRETS[1];
    event["subject"] = "tools/call";
  });
  await intake.consume(logsOf([valid, hashed("{"), leak, { body: { stringValue: "x" } }]), SIGNAL);
  const counts = [...metrics().matchAll(/intake_items_total\{.*result="(\w+)"\} (\d+)/g)].map(
    ([, name, value]) => `${name}=${value}`,
  );
  expect(counts.toSorted()).toEqual(["accepted=1", "foreign=1", "rejected=1", "withheld=1"]);
});

/** As an emitter of a later minor version might write it. */
const newer = (more: object): LogRecord =>
  changed((event) => Object.assign(event.data.call, { costs: more }));

test("members of a newer version pass, byte for byte, and are counted", async () => {
  const { intake, events, quarantined, metrics } = bench();
  const record = newer({ unit: "USD", cents: [412, { of: "a month" }] });
  await intake.consume(logsOf([valid, record]), SIGNAL);
  expect(events.map(({ bytes }) => Buffer.from(bytes).toString())).toEqual([
    text,
    record.body?.stringValue,
  ]);
  expect(quarantined).toEqual([]);
  expect(metrics()).toContain('processor_intake_newer_items_total{processor="intake"} 1');
});

test.each([
  ["a text", { note: SECRETS[1] }],
  ["a text in an array", { notes: ["x", { deeper: [SECRETS[1]] }] }],
  ["a name", { [SECRETS[1] as string]: 1 }],
  ["a number", { card: 4_111_111_111_111_111 }],
])("a leak as %s in a member of a newer version is withheld", async (_, more) => {
  const { intake, events, quarantined } = bench();
  const record = newer(more);
  await intake.consume(logsOf([record]), SIGNAL);
  expect(quarantined.map(({ reason, detail }) => [reason, detail])).toEqual([
    ["leak", expect.stringMatching(/^\w+ in data\.call$/)],
  ]);
  expect(events.map(({ event }) => event.type)).toEqual(["dev.countersign.withheld.v1"]);
  expect(validateOpen(events[0]?.event)).toEqual([]);
});

test("what a connector made passes, but for tenants that are not taken", async () => {
  const events = sealedEvents(2);
  const taken = [bench(), bench({ tenants: ["acme"] }), bench({ tenants: ["other"] })];
  for (const { intake } of taken) {
    await (intake as unknown as Consumer<Decisions>).consume({ events }, SIGNAL);
  }
  expect(taken.map((one) => one.events.length)).toEqual([2, 2, 0]);
  expect(taken.map((one) => one.dead.map(({ reason }) => reason))).toEqual([
    [],
    [],
    ["tenant_unknown", "tenant_unknown"],
  ]);
});
