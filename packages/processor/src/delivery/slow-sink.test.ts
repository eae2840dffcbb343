// A sink that hangs for the whole run, beside one that works, behind one log: the other one has everything, and what waits is bounded.
import { join } from "node:path";
import { openArchive } from "@countersign/archive";
import { silentLogger } from "@countersign/model";
import { createGraph, createMetrics } from "@countersign/pipeline";
import { describe, expect, test, vi } from "vitest";
import { sealedEvents } from "../testing/events.ts";
import { scratch, SIGNAL } from "../testing/exporters.ts";
import { configWith, createShelf } from "../testing/shelf.ts";

describe("a slow sink", () => {
  test("delays nobody else, holds one batch, and goes on where it was", async () => {
    const directory = scratch();
    const events = sealedEvents(3000);
    const archive = await openArchive({
      directory: join(directory, "archive"),
      origin: "test.example/a",
    });
    for (let at = 0; at < events.length; at += 500)
      await archive.append(events.slice(at, at + 500));
    await archive.close();
    const good = createShelf("good");
    const hung = createShelf("hung");
    let held = 0;
    let mostHeld = 0;
    const release = Promise.withResolvers<void>();
    hung.before = async (batch) => {
      held += batch.events.length;
      mostHeld = Math.max(mostHeld, held);
      await release.promise;
      held -= batch.events.length;
    };
    const config = configWith(
      `
receivers: { archive: { from: archive, cursors: ${directory}/cursors } }
exporters:
  archive: { directory: ${directory}/archive, origin: test.example/a }
  good: {}
  hung: {}
  file/dead_letter: { directory: ${directory}/letters, format: native }
service:
  dead_letter: file/dead_letter
  pipelines:
    decisions/hung: { receivers: [archive], exporters: [hung] }
    decisions/good: { receivers: [archive], exporters: [good] }
`,
      good,
      hung,
    );
    const graph = createGraph({ config, metrics: createMetrics(), logger: () => silentLogger });
    await graph.start(SIGNAL);
    const ids = events.map(({ event }) => event.id);
    await vi.waitFor(() => expect(good.ids).toHaveLength(ids.length), { timeout: 50_000 });
    expect(good.ids).toEqual(ids);
    expect(hung.ids).toEqual([]);
    expect(mostHeld).toBeLessThanOrEqual(512);
    release.resolve();
    await vi.waitFor(() => expect(hung.ids).toHaveLength(ids.length), { timeout: 50_000 });
    expect(hung.ids).toEqual(ids);
    await graph.stop(AbortSignal.timeout(10_000));
  });
});
