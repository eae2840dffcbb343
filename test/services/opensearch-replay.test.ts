// `replay` before a real OpenSearch: of an interval that is there it adds nothing, behind a rollover neither; to a new stream it
// adds exactly what is missing.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openArchive } from "@countersign/archive";
import { silentLogger } from "@countersign/model";
import { loadConfig, prepareReplay, reconcile, type ReplaySummary } from "@countersign/processor";
import { describe, expect, onTestFinished, test } from "vitest";
import { sealedEvents } from "../../packages/processor/src/testing/events.ts";
import { SIGNAL } from "../../packages/processor/src/testing/exporters.ts";
import { findService } from "./find.ts";
import { startOpenSearch } from "./opensearch-node.ts";

const found = findService("opensearch");
const program = found?.kind === "binary" ? found.path : undefined;
const SHIPPED = join(import.meta.dirname, "..", "..", "deploy", "elastic");
const OLD = "logs-countersign.decisions-old";
const NEW = "logs-countersign.decisions-new";

const shipped = (name: string): unknown => JSON.parse(readFileSync(join(SHIPPED, name), "utf8"));

describe.skipIf(program === undefined)("replay to OpenSearch", () => {
  test("adds what is missing and nothing else", { timeout: 300_000 }, async () => {
    const directory = mkdtempSync(join(tmpdir(), "countersign-replay-"));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    const events = sealedEvents(1500, { outcomes: true });
    const archive = await openArchive({
      directory: join(directory, "archive"),
      origin: "test.example/a",
    });
    await archive.append(events);
    await archive.close();
    const engine = await startOpenSearch(program ?? "");
    onTestFinished(() => engine.dispose());
    await engine.ask("PUT", "/_component_template/countersign-mappings", shipped("mappings.json"));
    await engine.ask(
      "PUT",
      "/_index_template/countersign",
      shipped("opensearch-index-template.json"),
    );
    for (const stream of [OLD, NEW]) await engine.ask("PUT", `/_data_stream/${stream}`);
    const counted = async (stream: string): Promise<number> => {
      await engine.ask("POST", `/${stream}/_refresh`);
      const { body } = await engine.ask("GET", `/${stream}/_count`);
      return (body as { count: number }).count;
    };
    const { config } = loadConfig(
      `
receivers: { archive: { from: archive, cursors: ${directory}/cursors } }
exporters:
  archive: { directory: ${directory}/archive, origin: test.example/a }
  elasticsearch/old: { endpoint: "${engine.url}", data_stream: ${OLD} }
  elasticsearch/new: { endpoint: "${engine.url}", data_stream: ${NEW} }
  file/dead_letter: { directory: ${directory}/letters, format: native }
  file/receipts: { directory: ${directory}/receipts, format: native }
service:
  dead_letter: file/dead_letter
  receipts: file/receipts
  pipelines:
    decisions/old: { receivers: [archive], exporters: [elasticsearch/old] }
    decisions/new: { receivers: [archive], exporters: [elasticsearch/new] }
`,
      "replay.yaml",
    );
    const replay = async (
      exporter: string,
      first: number,
      last: number,
    ): Promise<ReplaySummary> => {
      const offsets = [{ partition: 0, first: BigInt(first), last: BigInt(last) }];
      const prepared = await prepareReplay(
        { config, exporter, selection: { offsets }, logger: () => silentLogger },
        SIGNAL,
      );
      try {
        return await prepared.run(SIGNAL);
      } finally {
        await prepared.close();
      }
    };
    expect(await replay("elasticsearch/old", 0, 1499)).toMatchObject({
      sent: 1500,
      alreadyThere: 0,
    });
    expect(await counted(OLD)).toBe(1500);
    expect(await replay("elasticsearch/old", 0, 1499)).toMatchObject({
      sent: 0,
      alreadyThere: 1500,
    });
    // An index that was rolled over takes the same id again, so the answer 409 would not have kept them out.
    expect(await engine.ask("POST", `/${OLD}/_rollover`)).toMatchObject({ status: 200 });
    expect(await replay("elasticsearch/old", 300, 1199)).toMatchObject({
      sent: 0,
      alreadyThere: 900,
    });
    expect(await counted(OLD)).toBe(1500);

    expect(await replay("elasticsearch/new", 400, 799)).toMatchObject({ sent: 400 });
    expect(await engine.ask("POST", `/${NEW}/_rollover`)).toMatchObject({ status: 200 });
    expect(await replay("elasticsearch/new", 0, 1499)).toMatchObject({
      sent: 1100,
      alreadyThere: 400,
    });
    expect(await counted(NEW)).toBe(1500);
    const { ok, sinks } = await reconcile(
      { config, logger: () => silentLogger, untilMs: Date.now() + 86_400_000 },
      SIGNAL,
    );
    expect(ok).toBe(true);
    for (const sink of sinks)
      expect(sink).toMatchObject({ asked: true, missing: 0, absent: 0, extra: 0, duplicated: 0 });
  });
});
