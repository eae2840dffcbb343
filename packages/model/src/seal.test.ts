import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { canonicalJson } from "./canonical.ts";
import { verifyChain } from "./chain.ts";
import {
  draftDecision,
  draftHeartbeat,
  draftLost,
  draftOutcome,
  draftStart,
  draftStop,
  type EventDraft,
} from "./draft.ts";
import type { Chain, CountersignEvent } from "./event.ts";
import { GENESIS, letGoOfParsed, seal, type SealedEvent, unseal, withheldEvent } from "./seal.ts";
import { validateClosed, validateOpen } from "./validate.ts";

const testdata = join(import.meta.dirname, "testdata");
const NAMES = ["start", "lost", "decision", "outcome", "decision-deny", "heartbeat", "stop"];

function reading(name: string): CountersignEvent {
  return JSON.parse(readFileSync(join(testdata, `${name}.json`), "utf8")) as CountersignEvent;
}

const lines = readFileSync(join(testdata, "chain.jsonl"), "utf8").trimEnd().split("\n");

/** The reading form through the builders, as an emitter would make it. */
function redraft(event: CountersignEvent): EventDraft {
  const id = event.id;
  switch (event.type) {
    case "dev.countersign.start.v1":
      return draftStart({ ...event.data, id });
    case "dev.countersign.decision.v1":
      return draftDecision({
        ...event.data,
        id,
        nameKnown: true,
        traceparent: event.traceparent,
      });
    case "dev.countersign.outcome.v1":
      return draftOutcome({ ...event.data, id, traceparent: event.traceparent });
    case "dev.countersign.heartbeat.v1":
      return draftHeartbeat({ ...event.data, id });
    case "dev.countersign.lost.v1":
      return draftLost({ ...event.data, id });
    case "dev.countersign.stop.v1":
      return draftStop({ ...event.data, id });
    case "dev.countersign.withheld.v1":
    case "dev.countersign.finding.v1":
      throw new Error("not made by an emitter");
  }
}

function sealed(event: CountersignEvent): SealedEvent {
  return seal(redraft(event), (event.data as { chain: Chain }).chain, event.time);
}

test.each(NAMES)(
  "%s: builders and canonical form both give the bytes of the true chain",
  (name) => {
    const event = reading(name);
    const line = lines[NAMES.indexOf(name)] as string;
    expect(canonicalJson(event)).toBe(line);
    expect(Buffer.from(sealed(event).bytes).toString("utf8")).toBe(line);
    expect(validateClosed(event)).toEqual([]);
    expect(validateOpen(event)).toEqual([]);
  },
);

const chain = NAMES.map((name) => sealed(reading(name)));

test("the true chain verifies, and what is changed, missing or swapped does not", () => {
  const read = lines.map((line) => unseal(Buffer.from(line)));
  expect(verifyChain(read)).toEqual({ ok: true });
  expect(verifyChain(chain)).toEqual({ ok: true });
  expect(verifyChain(read.slice(1))).toMatchObject({ ok: false, seq: 0 });
  const anchor = { seq: 0, hash: (read[0] as SealedEvent).hash };
  expect(verifyChain(read.slice(1), anchor)).toEqual({ ok: true });
  expect(verifyChain(read.toSpliced(3, 1))).toMatchObject({ ok: false, seq: 3 });
  const { hash, event } = read[2] as SealedEvent;
  const changed = { hash, event, bytes: Buffer.from("{}") };
  expect(verifyChain(read.with(2, changed))).toMatchObject({ ok: false, seq: 2 });
  const otherHash = { ...changed, hash: "1".repeat(64) };
  expect(verifyChain(read.with(2, otherHash))).toMatchObject({ ok: false, seq: 2 });
});

test("each link is looked at: number, hash of the one before, epoch and emitter", () => {
  const [first] = chain as [SealedEvent];
  const link = (change: Partial<Chain>): unknown => {
    const stop = draftStop({ ...(reading("stop").data as Parameters<typeof draftStop>[0]) });
    const place = { ...(first.event.data as { chain: Chain }).chain, seq: 1, prev: first.hash };
    return verifyChain([first, seal(stop, { ...place, ...change }, first.event.time)]);
  };
  expect(link({})).toEqual({ ok: true });
  expect(link({ prev: "0".repeat(64) })).toMatchObject({
    problem: expect.stringContaining("prev"),
  });
  expect(link({ seq: 2 })).toMatchObject({ problem: "seq is 2, expected 1" });
  expect(link({ seq: 0 })).toMatchObject({ problem: "seq is 0, expected 1" });
  expect(link({ epoch: "f".repeat(32) })).toMatchObject({ problem: "another epoch or emitter" });
  expect(link({ emitter: "other" })).toMatchObject({ problem: "another epoch or emitter" });
});

test("what was parsed of an event can go, and is made of its bytes again", () => {
  const [read, made] = [unseal(Buffer.from(lines[0] as string)), chain[1] as SealedEvent];
  const [parsed, own] = [read.event, made.event];
  expect(read.event).toBe(parsed);
  letGoOfParsed([read, made, { ...made, bytes: made.bytes }]);
  expect(read.event).not.toBe(parsed);
  expect(read.event).toEqual(parsed);
  expect(made.event).toBe(own);
});

/** A draft whose canonical text is `units` long, in UTF-16; `letter` may take several bytes. The schema is not asked. */
function drafted(units: number, letter: string): EventDraft {
  const draft = redraft(reading("decision"));
  Object.defineProperty(draft.event, "toJSON", { value: () => letter.repeat(units - 2) });
  return draft;
}

test("an event is sealed up to its bound, counted in bytes", () => {
  const place: Chain = { emitter: "tickets-1", epoch: "5".repeat(32), seq: 0, prev: GENESIS };
  const time = "2026-11-22T09:00:03.412Z";
  const sealing = (units: number, letter: string) => () =>
    seal(drafted(units, letter), place, time).bytes.length;
  const bug = expect.objectContaining({ code: "BUG" }) as Error;
  expect(sealing(32_768, "x")()).toBe(32_768);
  expect(sealing(32_769, "x")).toThrow(bug);
  expect(sealing(16_385, "\u00e9")()).toBe(32_768);
  expect(sealing(16_386, "\u00e9")).toThrow(bug);
  expect(sealing(10_923, "\u20ac")()).toBe(32_765);
  expect(sealing(10_925, "\u20ac")).toThrow(bug);
});

test("sealed bytes are made once, of the text", () => {
  const event = sealed(reading("decision"));
  expect(event.bytes).toBe(event.bytes);
});

test("bytes are read up to their bound", () => {
  const text = `{"a":"${"x".repeat(32_760)}"}`;
  expect(unseal(Buffer.from(text)).bytes).toHaveLength(32_768);
  expect(() => unseal(Buffer.from(text.replace("x", "xx")))).toThrow("over 32768 bytes");
});

test("why a form is refused is said after who refuses it, once", () => {
  const invalid = {
    code: "INPUT_INVALID",
    message: "unseal: null and empty strings must be absent",
  };
  expect(() => unseal(Buffer.from('{"a":null}'))).toThrow(
    expect.objectContaining(invalid) as Error,
  );
});

test("what is withheld has an id of its own: that of the component, the event and the member", () => {
  const [first, second] = chain as [SealedEvent, SealedEvent];
  const events = [
    withheldEvent(first, "card", "data.a"),
    withheldEvent(first, "card", "data.b"),
    withheldEvent(second, "card", "data.a"),
    withheldEvent(first, "card", "data.a", "other"),
  ].map(({ event }) => event);
  expect(new Set(events.map(({ id }) => id)).size).toBe(4);
  expect(new Set(events.map(({ source }) => source)).size).toBe(2);
  const { chain: _, ...data } = first.event.data as { chain: Chain };
  const loose = { ...first, event: { ...first.event, data } } as unknown as SealedEvent;
  expect(() => withheldEvent(loose, "card", "data.a")).toThrow(
    expect.objectContaining({ code: "INPUT_INVALID" }) as Error,
  );
});
