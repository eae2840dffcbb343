// A `file` exporter is asked from beside the service, as the command does it: what it holds is what the service wrote.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openArchive } from "@countersign/archive";
import { silentLogger } from "@countersign/model";
import { type Config, createGraph, createMetrics } from "@countersign/pipeline";
import { describe, expect, test, vi } from "vitest";
import { sealedEvents } from "../testing/events.ts";
import { scratch, SIGNAL } from "../testing/exporters.ts";
import { configWith, createShelf } from "../testing/shelf.ts";
import { listLetters, showLetter } from "./dead-letters.ts";
import { reconcile, type Reconciliation } from "./reconcile.ts";
import { prepareReplay, type ReplaySummary } from "./replay.ts";

const ORIGIN = "test.example/a";
const COUNT = 20;
const quiet = { logger: () => silentLogger };

interface World {
  readonly config: Config;
  readonly directory: string;
  readonly replay: () => Promise<ReplaySummary>;
  readonly check: () => Promise<Reconciliation>;
}

/** A service ran, and has written what was in its archive. */
async function world(format: string): Promise<World> {
  const directory = scratch();
  const archive = await openArchive({ directory: join(directory, "archive"), origin: ORIGIN });
  await archive.append(sealedEvents(COUNT));
  await archive.close();
  const config = configWith(
    `
receivers: { archive: { from: archive, cursors: ${directory}/cursors } }
exporters:
  archive: { directory: ${directory}/archive, origin: ${ORIGIN} }
  file/siem: { directory: ${directory}/out, format: ${format} }
  file/dead_letter: { directory: ${directory}/letters, format: native }
  file/receipts: { directory: ${directory}/receipts, format: native }
service:
  dead_letter: file/dead_letter
  receipts: file/receipts
  pipelines: { decisions/siem: { receivers: [archive], exporters: [file/siem] } }
`,
    createShelf(),
  );
  const metrics = createMetrics();
  const graph = createGraph({ config, metrics, ...quiet });
  await graph.start(SIGNAL);
  await vi.waitFor(() => expect(metrics.render()).toMatch(/receiver_lag\{[^}]*\} 0\n/), {
    timeout: 30_000,
    interval: 20,
  });
  await graph.stop(AbortSignal.timeout(10_000));
  const selection = { offsets: [{ partition: 0, first: 0n, last: BigInt(COUNT - 1) }] };
  return {
    config,
    directory,
    check: () => reconcile({ config, ...quiet }, SIGNAL),
    replay: async () => {
      const prepared = await prepareReplay(
        { config, exporter: "file/siem", selection, ...quiet },
        SIGNAL,
      );
      try {
        return await prepared.run(SIGNAL);
      } finally {
        await prepared.close();
      }
    },
  };
}

// A disk, and whoever else works on this machine, may take their time.
describe("a file as a sink", () => {
  test.each(["native", "ocsf", "ecs", "cef", "leef"])(
    "%s: nothing is missing and nothing sent again; what was lost is put beside, and counts",
    async (format) => {
      const { directory, replay, check } = await world(format);
      expect(await check()).toMatchObject({ ok: true, sinks: [{ missing: 0, absent: 0 }] });
      expect(await replay()).toMatchObject({ read: COUNT, alreadyThere: COUNT, sent: 0 });
      const file = join(directory, "out", "siem-00000001.jsonl");
      const lines = readFileSync(file, "utf8").split("\n").slice(0, -1);
      writeFileSync(
        file,
        lines
          .slice(3)
          .map((line) => `${line}\n`)
          .join(""),
      );
      expect(await check()).toMatchObject({ ok: false, sinks: [{ missing: 3, absent: 3 }] });
      expect(await replay()).toMatchObject({ alreadyThere: COUNT - 3, sent: 3 });
      expect(readdirSync(join(directory, "out"))).toHaveLength(2);
      expect(await check()).toMatchObject({ ok: true, sinks: [{ missing: 0, duplicated: 0 }] });
      expect(await replay()).toMatchObject({ alreadyThere: COUNT, sent: 0 });
    },
  );

  test("files of another exporter in the same directory are not its own", async () => {
    const { directory, check } = await world("native");
    const out = join(directory, "out");
    const text = readFileSync(join(out, "siem-00000001.jsonl"));
    writeFileSync(join(out, "siem-2-00000001.jsonl"), text);
    expect(await check()).toMatchObject({ ok: true, sinks: [{ missing: 0, duplicated: 0 }] });
  });

  test("a letter whose text has a line separator is one letter, found by the id that the list gives", async () => {
    const { config, directory } = await world("native");
    const time = "2026-11-29T10:00:00.000Z";
    const letter = {
      time,
      component: "intake",
      reason: "not_sealed",
      value: '{"a":"\u2028\u2029"}',
    };
    writeFileSync(
      join(directory, "letters", "dead_letter-00000001.jsonl"),
      `${JSON.stringify({ ...letter, reason: "schema_invalid" })}\n${JSON.stringify(letter)}\n`,
    );
    const { open, groups } = await listLetters(config, { reason: "not_sealed" }, SIGNAL);
    expect(open).toBe(1);
    expect(groups).toMatchObject([{ reason: "not_sealed", newest: "dead_letter-00000001:2" }]);
    const found = await showLetter(config, "dead_letter-00000001:2", SIGNAL);
    expect(Buffer.from(found.letter.bytes ?? []).toString("utf8")).toBe(letter.value);
  });
});
