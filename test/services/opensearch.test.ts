// The exporter against a real OpenSearch: the guide, the mapping, rollovers, and everything that a cluster does to those who write into it.
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { everyKind } from "../../packages/processor/src/testing/every-kind.ts";
import { SIGNAL } from "../../packages/processor/src/testing/exporters.ts";
import { followed, guideBlocks, type GuidePlace, processorOfGuide } from "./elastic-guide.ts";
import {
  batchesOfLog,
  counted,
  type Delivery,
  deliveryTo,
  refusingProxy,
} from "./elastic-parts.ts";
import { detectionsHold } from "./detection-searches.ts";
import { findService } from "./find.ts";
import { startOpenSearch } from "./opensearch-node.ts";
import type { SearchEngine } from "./search-engine.ts";

const found = findService("opensearch");
const program = found?.kind === "binary" ? found.path : undefined;
const isLong = process.env["COUNTERSIGN_LONG"] === "1";

let engine: SearchEngine;
let place: GuidePlace;

beforeAll(async () => {
  if (program === undefined) return;
  engine = await startOpenSearch(program);
  // Plugins, which no registry has.
  place = { engine, admin: "none:none", lacks: ["_plugins/_ism"] };
  await followed(guideBlocks("opensearch")[0] ?? "", place);
}, 300_000);
afterAll(async () => {
  await engine?.dispose();
});

/** A data stream of its own for a test, made from the template of the guide. */
async function newStream(name: string): Promise<string> {
  const stream = `logs-countersign.decisions-${name}`;
  const answer = await engine.ask("PUT", `/_data_stream/${stream}`);
  expect(answer).toEqual({ status: 200, body: { acknowledged: true } });
  return stream;
}

async function delivering(...args: Parameters<typeof deliveryTo>): Promise<Delivery> {
  const delivery = await deliveryTo(...args);
  onTestFinished(() => delivery.stop());
  return delivery;
}

async function hits(stream: string, query: object): Promise<number> {
  await engine.ask("POST", `/${stream}/_refresh`);
  const { body } = await engine.ask("POST", `/${stream}/_count`, { query });
  return (body as { count: number }).count;
}

describe.skipIf(program === undefined)("OpenSearch", () => {
  test("Elastic in ten minutes, as it stands in the guide", async () => {
    await processorOfGuide(place, "compression: none");
    const [human, denied, resource, observed, ...more] = await followed(
      guideBlocks("searches")[0] ?? "",
      place,
    );
    expect(more).toEqual([]);
    expect(human).toContain("allow tools/call/read_ticket: permitted");
    expect(denied).toContain('"value":0');
    expect(resource).toContain('"id":"auth0|5f7c8ec7c33c6c004bbafe82"');
    expect(observed).toContain('"value":0');
  });

  test("the detections find what they must, and nothing else", async () => {
    const held = await detectionsHold(engine, await newStream("detections"));
    expect(held).toEqual({ searches: 12, rules: 12 });
  });

  test("every kind is taken by the mapping, and found by human, decision and resource", async () => {
    const stream = await newStream("kinds");
    const { exporter } = await delivering(engine.url, stream);
    const events = everyKind();
    const before = await engine.ask("GET", `/${stream}/_mapping`);
    await exporter.consume({ events }, SIGNAL);
    expect(await hits(stream, { match_all: {} })).toBe(events.length);
    expect(await exporter.missing(events, SIGNAL)).toEqual([]);
    const terms: readonly [string, number][] = [
      ["user.id", 2],
      ["countersign.decision", 2],
      ["countersign.deciding.resource.id", 2],
      ["countersign.finding", 4],
      ["countersign.of.seq", 5],
      ["countersign.lost.count", 1],
      ["event.hash", events.length],
    ];
    for (const [field, count] of terms)
      expect([field, await hits(stream, { exists: { field } })]).toEqual([field, count]);
    expect(
      await hits(stream, { term: { "countersign.deciding.resource.id": "T-1042" } }),
    ).toBeGreaterThan(0);
    // Nothing of it became a field that was none.
    expect(await engine.ask("GET", `/${stream}/_mapping`)).toEqual(before);
  });

  test("behind a rollover: a restart adds nothing, a replay exactly what is missing", async () => {
    const stream = await newStream("rollover");
    const batches = batchesOfLog(4, 50);
    const events = batches.flatMap((batch) => batch.events);
    const first = await delivering(engine.url, stream);
    for (const batch of batches.slice(0, 3)) await first.exporter.consume(batch, SIGNAL);
    expect(await engine.ask("POST", `/${stream}/_rollover`)).toMatchObject({ status: 200 });
    // Its last position was not stored: the third batch comes again, to another process.
    const second = await delivering(engine.url, stream);
    for (const batch of batches.slice(2)) await second.exporter.consume(batch, SIGNAL);
    expect(second.duplicates).toBe(50);
    expect(await counted(engine, second, stream)).toEqual({ documents: 200, distinct: 200 });

    // Of the whole interval nothing is missing, so a replay sends nothing.
    expect(await second.exporter.missing(events, SIGNAL)).toEqual([]);
    const fresh = await newStream("fresh");
    const third = await delivering(engine.url, fresh);
    await third.exporter.consume({ events: events.slice(20, 30) }, SIGNAL);
    const missing = await third.exporter.missing(events, SIGNAL);
    expect(missing).toEqual([...events.keys()].filter((at) => at < 20 || at >= 30));
    await third.exporter.consume({ events: missing.map((at) => events[at] as never) }, SIGNAL);
    expect(await counted(engine, third, fresh)).toEqual({ documents: 200, distinct: 200 });

    // What is guarded against: without looking first, the engine takes a known id again.
    const careless = await delivering(engine.url, stream, { deduplicate: "never" });
    await careless.exporter.consume({ events: events.slice(0, 5) }, SIGNAL);
    expect(await counted(engine, careless, stream)).toEqual({ documents: 205, distinct: 200 });
  });

  test("what the mapping refuses has the engine's reason; its neighbours arrive", async () => {
    const narrow = "logs-countersign.narrow-test";
    await engine.ask("PUT", "/_index_template/narrow", {
      index_patterns: [narrow],
      data_stream: {},
      priority: 900,
      template: {
        mappings: { dynamic: "strict", properties: { "@timestamp": { type: "date" } } },
      },
    });
    await engine.ask("PUT", `/_data_stream/${narrow}`);
    const { exporter } = await delivering(engine.url, narrow);
    const { events } = batchesOfLog(1, 3)[0] as { events: never[] };
    await expect(exporter.consume({ events }, SIGNAL)).rejects.toMatchObject({
      code: "REJECTED",
      failed: [0, 1, 2],
      reasons: Array.from({ length: 3 }, () => "strict_dynamic_mapping_exception"),
    });
  });

  test("without a data stream nothing is delivered, and none is made; it goes on when there is one", async () => {
    const stream = "logs-countersign.decisions-later";
    const { exporter, lasting, states } = await delivering(engine.url, stream);
    const [batch] = batchesOfLog(1, 3) as [never];
    await expect(exporter.consume(batch, SIGNAL)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(states.at(-1)).toMatchObject({ state: "failed" });
    expect(await engine.ask("GET", `/_data_stream/${stream}`)).toMatchObject({ status: 404 });
    const arrives = lasting.consume(batch, SIGNAL);
    await newStream("later");
    await arrives;
    expect(states.at(-1)).toEqual({ state: "ok" });
    // A plain index that took its name is told by its answers.
    await engine.ask("DELETE", `/_data_stream/${stream}`);
    await engine.ask("DELETE", "/_index_template/countersign");
    await expect(exporter.consume(batchesOfLog(1, 3)[0] as never, SIGNAL)).rejects.toThrow(
      "is no data stream",
    );
    await engine.ask("DELETE", `/${stream}`);
    await followed((guideBlocks("opensearch")[0] ?? "").split("\n").slice(2, 3).join("\n"), place);
  });

  test("refused, answered too late, frozen, killed, rolled over in between: sent = distinct = documents", async () => {
    const stream = await newStream("outage");
    const proxy = await refusingProxy(engine);
    onTestFinished(() => proxy.close());
    const delivery = await delivering(proxy.url, stream, { timeout: "1s" });
    const batches = batchesOfLog(isLong ? 200 : 12, isLong ? 500 : 50);
    const trouble: readonly (() => Promise<void>)[] = [
      async () => void proxy.refusals.push({ status: 429 }, { status: 503 }),
      // Carried out, and the answer lost.
      async () => void proxy.refusals.push({ status: 502, after: true }),
      async () => {
        proxy.refusals.push({ status: 504, after: true });
        await engine.ask("POST", `/${stream}/_rollover`);
      },
      async () => {
        engine.freeze();
        setTimeout(() => engine.thaw(), 3000);
      },
      async () => {
        await engine.kill();
        setTimeout(() => void engine.start(), 500);
      },
      async () => void proxy.refusals.push({ status: 401 }, { status: 413 }),
    ];
    const step = Math.floor(batches.length / trouble.length);
    for (const [at, batch] of batches.entries()) {
      if (at % step === 0) await trouble[at / step]?.();
      await delivery.lasting.consume(batch, SIGNAL);
    }
    const sent = batches.flatMap(({ events }) => events);
    expect(await counted(engine, delivery, stream)).toEqual({
      documents: sent.length,
      distinct: sent.length,
    });
    const states = new Set(delivery.states.map(({ state }) => state));
    expect([...states].toSorted()).toEqual(["degraded", "failed", "ok"]);
  }, 300_000);
});
