// The exporter that CONTRIBUTING shows, word for word: one file and one line are enough for all that an exporter is here.
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { openArchive } from "@countersign/archive";
import { silentLogger } from "@countersign/model";
import {
  type Component,
  type Consumer,
  createGraph,
  createMetrics,
  type Decisions,
  type ExporterSpec,
  type Receipt,
  readConfig,
} from "@countersign/pipeline";
import { exporterContract, type ExporterFixture } from "@countersign/pipeline/testing";
import { COMPONENTS } from "@countersign/processor";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sealedEvents } from "../../packages/processor/src/testing/events.ts";
import { newEvents, runtimeOf, SIGNAL } from "../../packages/processor/src/testing/exporters.ts";
import { until } from "../services/kafka-parts.ts";

const root = join(import.meta.dirname, "..", "..");
const run = promisify(execFile);
let place: string;
let inbox: ExporterSpec;

beforeAll(async () => {
  const text = readFileSync(join(root, "CONTRIBUTING.md"), "utf8");
  const [, source] = /```ts\n(import [\s\S]*?)```/.exec(text) ?? [];
  // Beside the package, so that it finds what the package may import, and nothing else.
  place = mkdtempSync(join(root, "packages", "processor", ".toy-"));
  writeFileSync(join(place, "inbox.ts"), source ?? "");
  const settings = {
    extends: "../../../tsconfig.base.json",
    compilerOptions: {
      noEmit: true,
      rootDir: root,
      composite: false,
      incremental: false,
      customConditions: ["@countersign/source"],
      types: ["node"],
    },
    files: ["inbox.ts"],
  };
  writeFileSync(join(place, "tsconfig.json"), JSON.stringify(settings));
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  await run(process.execPath, [tsc, "-p", place]).catch((error: { stdout: string }) => {
    throw new Error(`the example does not compile:\n${error.stdout}`);
  });
  const loaded = (await import(pathToFileURL(join(place, "inbox.ts")).href)) as {
    inboxExporter: ExporterSpec;
  };
  inbox = loaded.inboxExporter;
});

afterAll(() => {
  if (place !== undefined) rmSync(place, { recursive: true, force: true });
});

interface Inbox {
  readonly url: string;
  readonly ids: string[];
  status: number;
  close(): Promise<void>;
}

async function startInbox(): Promise<Inbox> {
  const ids: string[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      response.statusCode = one.status;
      if (one.status === 200)
        for (const { id } of JSON.parse(Buffer.concat(chunks).toString("utf8")) as { id: string }[])
          ids.push(id);
      response.end();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const one: Inbox = {
    url: `http://127.0.0.1:${port}`,
    ids,
    status: 200,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
  return one;
}

const STATUS = { well: 200, transient: 503, permanent: 400, partial: 200 } as const;

async function fixture(): Promise<ExporterFixture<Decisions>> {
  const server = await startInbox();
  return {
    create: () =>
      inbox.create({ endpoint: server.url } as never, runtimeOf("inbox")) as Component &
        Consumer<Decisions>,
    batch: newEvents,
    delivered: (batch) => batch.events.filter(({ event }) => server.ids.includes(event.id)).length,
    mood: (mood) => void (server.status = STATUS[mood]),
    moods: ["well", "transient", "permanent"],
    close: () => server.close(),
  };
}

test.each([...exporterContract<Decisions>(fixture)])("the contract: $name", async (check) => {
  expect(await check.run()).toBeUndefined();
});

test("one line on the list, and it stands behind a log, with receipts, halting and all", async () => {
  const server = await startInbox();
  const directory = place;
  const events = sealedEvents(600);
  const archive = await openArchive({
    directory: join(directory, "archive"),
    origin: "toy.example/a",
  });
  await archive.append(events);
  await archive.close();
  const { config, problems } = readConfig({
    file: "toy.yaml",
    env: {},
    components: [...COMPONENTS, inbox],
    text: `
receivers: { archive: { from: archive, cursors: ${directory}/cursors } }
exporters:
  archive: { directory: ${directory}/archive, origin: toy.example/a }
  inbox: { endpoint: "${server.url}" }
  file/dead_letter: { directory: ${directory}/letters, format: native }
  file/receipts: { directory: ${directory}/receipts, format: native }
service:
  dead_letter: file/dead_letter
  receipts: file/receipts
  pipelines: { decisions/inbox: { receivers: [archive], exporters: [inbox] } }
`,
  });
  expect(problems).toEqual([]);
  if (config === undefined) return;
  const metrics = createMetrics();
  const graph = createGraph({ config, metrics, logger: () => silentLogger });
  server.status = 401;
  await graph.start(SIGNAL);
  const halted = (): boolean => metrics.render().includes('exporter_halted{exporter="inbox"} 1');
  await until("the exporter is halted", halted);
  expect(graph.health().components.get("exporter inbox")?.state).toBe("failed");
  server.status = 200;
  await until("everything is there", () => server.ids.length >= events.length);
  await until("the position is stored", () => /receiver_lag\{[^}]*\} 0\n/.test(metrics.render()));
  expect(halted()).toBe(false);
  await graph.stop(AbortSignal.timeout(10_000));
  await server.close();
  expect(server.ids).toEqual(events.map(({ event }) => event.id));
  const receipts = readFileSync(join(directory, "receipts", "receipts-00000001.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Receipt);
  expect(receipts.reduce((sum, { delivered }) => sum + delivered, 0)).toBe(600);
});
