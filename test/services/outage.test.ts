// A sink that is away, refuses our credentials, and asks for less, under load, and the processor dies in between: whatever was sent
// is in the sink, each event once where the sink knows ids, and the receipts say so. The long form has the outage of three minutes.
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { findService } from "./find.ts";
import { until } from "./kafka-parts.ts";
import { startOutageScene } from "./outage-scene.ts";
import { openSearchSink } from "./outage-sinks.ts";

const LONG = process.env["COUNTERSIGN_LONG"] === "1";
const DOWN_MS = LONG ? 180_000 : 3000;
const WHILE_MS = LONG ? 30_000 : 2000;
const PATIENCE_MS = LONG ? 600_000 : 180_000;

const found = findService("kafka");
const program = found?.kind === "binary" ? found.path : undefined;

describe.each([openSearchSink()])("outage: $name", ({ start, deduplicates }) => {
  const runs = program !== undefined && start !== undefined;
  test.skipIf(!runs)(
    "sent = distinct in the sink, and reconcile says 0 missing",
    { timeout: 1_800_000 },
    async () => {
      const sink = await start?.();
      if (sink === undefined) return;
      const scene = await startOutageScene(program ?? "", sink).catch(async (error: unknown) => {
        await sink.dispose();
        throw error;
      });
      try {
        const { front, processor, sent } = scene;
        const labels = `{exporter="${sink.exporter}"}`;
        const delivered = async (): Promise<number> =>
          (await scene.metric(`countersign_exporter_sent_log_records_total${labels}`)) ?? 0;
        const halted = async (): Promise<number | undefined> =>
          await scene.metric(`countersign_exporter_halted${labels}`);
        const more = async (): Promise<void> => {
          const before = await delivered();
          await until(
            "more is delivered",
            async () => (await delivered()) > before + 50,
            PATIENCE_MS,
          );
        };
        scene.begin();
        await more();

        // Down, under load. In the long form the process itself is gone.
        front.mood = "away";
        if (LONG) await sink.down();
        const before = sent.answered.size;
        await delay(DOWN_MS);
        await until("senders go on", () => sent.answered.size > before + 100, PATIENCE_MS);
        if (LONG) await sink.up();
        front.mood = "open";
        await more();

        // The credential is refused: loudly, and without a hand it goes on when that is mended.
        front.mood = { status: 401 };
        await until("halted", async () => (await halted()) === 1, PATIENCE_MS);
        const refused = await scene.ready();
        expect(refused.status).toBe(503);
        expect(refused.body).toContain(`exporter ${sink.exporter}`);
        await delay(WHILE_MS);
        expect(processor.said).toMatch(/halted: nothing is delivered until this is mended/);
        front.mood = "open";
        await until("it goes on by itself", async () => (await halted()) === 0, PATIENCE_MS);
        expect((await scene.ready()).status).toBe(200);

        // It asks for less; the processor dies while it waits, and another one goes on from the stored position.
        front.mood = { status: 429, retryAfter: "1" };
        await until("asked for less", () => (front.answered.get(429) ?? 0) >= 2, PATIENCE_MS);
        await processor.kill();
        await processor.start();
        await delay(WHILE_MS);
        front.mood = "open";
        await more();

        await scene.finish();
        const lag = 'countersign_receiver_lag{receiver="kafka/siem"}';
        await until("everything is read", async () => (await scene.metric(lag)) === 0, PATIENCE_MS);
        expect(await processor.drain()).toBe(0);
        expect(sent.made).toEqual(sent.answered);

        const held = await sink.held();
        expect(new Set(held.keys())).toEqual(sent.made);
        const twice = [...held.values()].filter((times) => times > 1);
        expect(deduplicates ? twice : []).toEqual([]);
        const reconciled = await scene.countersign("reconcile", "--json", "--until", "1s");
        expect(reconciled).toMatchObject({ code: 0 });
        const [one] = (JSON.parse(reconciled.out) as { sinks: { events: number }[] }).sinks;
        expect(one).toMatchObject({
          sink: sink.exporter,
          missing: 0,
          unreceipted: 0,
          absent: 0,
          deadLettered: 0,
          pending: 0,
          receipts: { wrong: 0, unchecked: 0 },
        });
        // A batch that was acknowledged by the brokers and not by us stands in the log twice.
        expect(one?.events).toBeGreaterThanOrEqual(sent.made.size);
        if (!deduplicates) return;
        const replayed = await scene.countersign(
          "replay",
          "--json",
          "--exporter",
          sink.exporter,
          "--since",
          "2020-01-01T00:00:00Z",
        );
        expect(replayed).toMatchObject({ code: 0 });
        expect(JSON.parse(replayed.out)).toMatchObject({ sent: 0, deadLettered: 0 });
        expect((await sink.held()).size).toBe(sent.made.size);
      } finally {
        await scene.dispose();
        await sink.dispose();
      }
    },
  );
});
