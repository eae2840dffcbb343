// A sink that is away, refuses our credentials, and asks for less, under load, and the processor dies in between: whatever was sent
// is in the sink, each event once where the sink knows ids, and the receipts say so. The long form has the outage of three minutes.
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { findService } from "./find.ts";
import { until } from "./kafka-parts.ts";
import { type OutageScene, startOutageScene } from "./outage-scene.ts";
import { hecSink, openSearchSink, type OutageSink, rsyslogSink } from "./outage-sinks.ts";

const LONG = process.env["COUNTERSIGN_LONG"] === "1";
const DOWN_MS = LONG ? 180_000 : 3000;
const WHILE_MS = LONG ? 30_000 : 2000;
const PATIENCE_MS = LONG ? 600_000 : 180_000;

const found = findService("kafka");
const program = found?.kind === "binary" ? found.path : undefined;

/** The sink and what is before it, and what the processor says of it. */
class Outage {
  readonly #scene: OutageScene;
  readonly #sink: OutageSink;
  readonly #labels: string;

  constructor(scene: OutageScene, sink: OutageSink) {
    this.#scene = scene;
    this.#sink = sink;
    this.#labels = `{exporter="${sink.exporter}"}`;
  }

  /** Waits until events arrive that had not. */
  async moves(): Promise<void> {
    const name = `countersign_exporter_sent_log_records_total${this.#labels}`;
    const delivered = async (): Promise<number> => (await this.#scene.metric(name)) ?? 0;
    const before = await delivered();
    await until("events arrive", async () => (await delivered()) > before + 50, PATIENCE_MS);
  }

  /** Down, under load: by itself in the long form, and where nobody can stand before it. */
  async goesDown(): Promise<void> {
    const { front, sent } = this.#scene;
    const itself = LONG || !this.#sink.speaksHttp;
    front.mood = "away";
    if (itself) await this.#sink.down();
    const before = sent.answered.size;
    await delay(DOWN_MS);
    await until("senders go on", () => sent.answered.size > before + 100, PATIENCE_MS);
    if (itself) await this.#sink.up();
    front.mood = "open";
    await this.moves();
  }

  /** Loudly halted; without a hand on the processor it goes on when that is mended. */
  async refusesCredentials(): Promise<void> {
    const { front, processor } = this.#scene;
    if (!this.#sink.speaksHttp) return;
    const halted = (): Promise<number | undefined> =>
      this.#scene.metric(`countersign_exporter_halted${this.#labels}`);
    front.mood = { status: 401 };
    await until("it is halted", async () => (await halted()) === 1, PATIENCE_MS);
    const ready = await this.#scene.ready();
    await delay(WHILE_MS);
    expectHalted(ready, processor.said, this.#sink.exporter);
    front.mood = "open";
    await until("it goes on by itself", async () => (await halted()) === 0, PATIENCE_MS);
  }

  /** It asks for less, or is away; the processor dies meanwhile, and the next one goes on from the stored position. */
  async outlivesTheProcessor(): Promise<void> {
    const { front, processor } = this.#scene;
    const { speaksHttp } = this.#sink;
    if (speaksHttp) {
      front.mood = { status: 429, retryAfter: "1" };
      await until("it asks for less", () => (front.answered.get(429) ?? 0) >= 2, PATIENCE_MS);
    }
    await processor.kill();
    await processor.start();
    await delay(WHILE_MS);
    front.mood = "open";
    await this.moves();
  }
}

/** Whoever looks sees it; senders are taken from all the same, since the log stands between. */
function expectHalted(ready: { status: number; body: string }, said: string, id: string): void {
  const { problems } = JSON.parse(ready.body) as { problems: readonly object[] };
  expect(ready.status).toBe(200);
  expect(problems).toContainEqual(
    expect.objectContaining({
      component: `exporter ${id}`,
      state: "failed",
      refusesSenders: false,
    }),
  );
  expect(said).toMatch(/halted: nothing is delivered until this is mended/);
}

/** Receipts and log agree, and where the sink can be asked it has everything, once; so a replay of all adds nothing. */
async function expectProven(scene: OutageScene, sink: OutageSink): Promise<void> {
  const reconciled = await scene.countersign("reconcile", "--json", "--until", "1s");
  expect(reconciled).toMatchObject({ code: 0 });
  const [one] = (JSON.parse(reconciled.out) as { sinks: { events: number; asked: boolean }[] })
    .sinks;
  expect(one).toMatchObject({
    sink: sink.exporter,
    missing: 0,
    unreceipted: 0,
    absent: 0,
    deadLettered: 0,
    pending: 0,
    receipts: { wrong: 0, unchecked: 0 },
  });
  // A batch that the brokers acknowledged and we did not stands in the log twice.
  expect(one?.events).toBeGreaterThanOrEqual(scene.sent.made.size);
  if (one === undefined || !one.asked) return;
  const all = ["--exporter", sink.exporter, "--since", "2020-01-01T00:00:00Z"];
  const replayed = await scene.countersign("replay", "--json", ...all);
  expect(replayed).toMatchObject({ code: 0 });
  expect(JSON.parse(replayed.out)).toMatchObject({ sent: 0, deadLettered: 0 });
  expect((await sink.held()).size).toBe(scene.sent.made.size);
}

describe.each([openSearchSink(), hecSink(), rsyslogSink()])(
  "outage: $name",
  ({ start, deduplicates }) => {
    const runs = program !== undefined && start !== undefined;
    test.skipIf(!runs)(
      "sent = distinct in the sink, 0 missing",
      { timeout: 1_800_000 },
      async () => {
        const sink = await start?.();
        if (sink === undefined) return;
        const scene = await startOutageScene(program ?? "", sink).catch(async (error: unknown) => {
          await sink.dispose();
          throw error;
        });
        try {
          const outage = new Outage(scene, sink);
          scene.begin();
          await outage.moves();
          await outage.goesDown();
          await outage.refusesCredentials();
          await outage.outlivesTheProcessor();
          await scene.finish();
          const lag = 'countersign_receiver_lag{receiver="kafka/siem"}';
          await until("all is read", async () => (await scene.metric(lag)) === 0, PATIENCE_MS);
          expect(await scene.processor.drain()).toBe(0);
          expect(scene.sent.made).toEqual(scene.sent.answered);
          const held = await sink.held();
          expect(new Set(held.keys())).toEqual(scene.sent.made);
          const twice = [...held.values()].filter((times) => times > 1);
          expect(deduplicates ? twice : []).toEqual([]);
          await expectProven(scene, sink);
        } catch (error) {
          throw new Error(`the processor said:\n${scene.processor.said.slice(-4000)}`, {
            cause: error,
          });
        } finally {
          await scene.dispose();
          await sink.dispose();
        }
      },
    );
  },
);
