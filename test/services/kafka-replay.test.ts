// `countersign replay` as a command, from a real topic: what was missing arrives, and nothing in the cluster shows that it was there.
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CountersignError, type SealedEvent, unseal } from "@countersign/model";
import { deadLettering } from "@countersign/pipeline";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sealedEvents } from "../../packages/processor/src/testing/events.ts";
import { findService } from "./find.ts";
import { client, type KafkaCluster, startKafka } from "./kafka-broker.ts";
import { clientOf, exporterOf, SIGNAL, soonDeadline } from "./kafka-parts.ts";

const found = findService("kafka");
const program = found?.kind === "binary" ? found.path : undefined;
const MAIN = join(import.meta.dirname, "..", "..", "packages", "cli", "src", "main.ts");
const EVENTS = "countersign.events.v1";
const RECEIPTS = "countersign.receipts.v1";
const LETTERS = "countersign.dlq.v1";

let cluster: KafkaCluster;
let directory: string;
let hashes: readonly string[];

beforeAll(async () => {
  if (program === undefined) return;
  directory = mkdtempSync(join(tmpdir(), "countersign-replay-"));
  cluster = await startKafka(program, { nodes: 1 });
  await cluster.topic({ name: EVENTS, partitions: 3 });
  for (const name of [RECEIPTS, LETTERS]) await cluster.topic({ name });
  const kafka = clientOf(cluster.brokers);
  const exporter = exporterOf(kafka, EVENTS);
  await exporter.start(SIGNAL);
  const events = ["one", "two", "three", "four"].flatMap((emitter, at) =>
    sealedEvents(400, { emitter, epoch: String(at).repeat(32) }),
  );
  hashes = events.map(({ hash }) => hash);
  for (let at = 0; at < events.length; at += 300)
    await exporter.consume({ events: events.slice(at, at + 300) }, SIGNAL);
  await exporter.stop(soonDeadline());
  await kafka.stop(soonDeadline());
  // A record that is none of ours lies in between: the receiver dead-lettered it, a replay passes it by.
  const producer = client(cluster.brokers).producer();
  await producer.connect();
  await producer.send({ topic: EVENTS, messages: [{ key: "x", value: "no event", partition: 0 }] });
  await producer.disconnect();
  writeFileSync(
    join(directory, "processor.yaml"),
    `
clients:
  main: { brokers: [${cluster.brokers.join(", ")}] }
receivers:
  kafka/siem: { client: main, group: countersign-siem }
exporters:
  file/siem: { directory: ${directory}/out, format: native }
  kafka/dead_letter: { client: main, topic: ${LETTERS} }
  kafka/receipts: { client: main, topic: ${RECEIPTS} }
service:
  dead_letter: kafka/dead_letter
  receipts: kafka/receipts
  pipelines:
    decisions/siem: { receivers: [kafka/siem], exporters: [file/siem] }
`,
  );
});

afterAll(async () => {
  await cluster?.dispose();
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
});

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function countersign(...args: string[]): Promise<Ran> {
  const argv = ["--conditions=@countersign/source", MAIN, ...args];
  return new Promise((resolve) =>
    execFile(process.execPath, argv, (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    ),
  );
}

interface Group {
  readonly reason: string;
  readonly sink?: string;
  readonly open: number;
  readonly redriven: number;
}

const replay = (...args: string[]): Promise<Ran> =>
  countersign(
    "replay",
    "--config",
    join(directory, "processor.yaml"),
    "--exporter",
    "file/siem",
    "--json",
    ...args,
  );

const dlq = (command: string, ...args: string[]): Promise<Ran> =>
  countersign("dlq", command, ...args, "--config", join(directory, "processor.yaml"), "--json");

const written = (): string[] =>
  (existsSync(join(directory, "out")) ? readdirSync(join(directory, "out")) : []).flatMap((file) =>
    readFileSync(join(directory, "out", file), "utf8")
      .split("\n")
      .slice(0, -1)
      .map((line) => unseal(Buffer.from(line)).hash),
  );

/** What a pipeline does whose sink refuses events: 90 letters in the topic, of two reasons. */
async function refuse(): Promise<readonly SealedEvent[]> {
  const kafka = clientOf(cluster.brokers);
  const letters = exporterOf(kafka, LETTERS);
  await letters.start(SIGNAL);
  const events = sealedEvents(90, { emitter: "refused", epoch: "9".repeat(32) });
  const reasons = events.map((_, at) => (at % 3 === 0 ? "too_old" : "mapping"));
  const refused = new CountersignError("REJECTED", "file/siem: refused", {
    failed: [...events.keys()],
    reasons,
  });
  const edge = deadLettering({ consume: () => Promise.reject(refused) }, "file/siem", letters);
  const offsetOf = (event: SealedEvent): bigint => BigInt(events.indexOf(event));
  const origin = { log: EVENTS, partition: 0, first: 0n, last: 89n, offsetOf };
  await edge.consume({ events, origin }, SIGNAL);
  await letters.stop(soonDeadline());
  await kafka.stop(soonDeadline());
  return events;
}

describe.skipIf(program === undefined)("replay from Kafka", () => {
  test("says what it would do, and does it when told so", async () => {
    const dry = await replay("--since", "2020-01-01T00:00:00Z", "--dry-run");
    expect(dry).toMatchObject({ code: 0 });
    expect(JSON.parse(dry.out)).toMatchObject({ read: 1600, sent: 1600, dryRun: true });
    const admin = await cluster.admin();
    expect((await admin.listGroups()).groups).toEqual([]);
    const done = await replay("--since", "2020-01-01T00:00:00Z", "--allow-duplicates");
    expect(done).toMatchObject({ code: 0 });
    expect(JSON.parse(done.out)).toMatchObject({
      exporter: "file/siem",
      log: EVENTS,
      read: 1600,
      sent: 1600,
      deadLettered: 0,
    });
    expect(written().toSorted()).toEqual([...hashes].toSorted());
    expect((await admin.listGroups()).groups).toEqual([]);
  });

  test("by places of one partition", async () => {
    const admin = await cluster.admin();
    const parts = await admin.fetchTopicOffsets(EVENTS);
    const fullest = parts.toSorted((a, b) => Number(b.high) - Number(a.high))[0];
    const place = `${fullest?.partition}:10-19`;
    const done = await replay("--offsets", place, "--dry-run");
    expect(JSON.parse(done.out)).toMatchObject({ read: 10, alreadyThere: 10, sent: 0 });
    const beyond = await replay("--offsets", `${fullest?.partition}:10-99999`, "--dry-run");
    expect(beyond).toMatchObject({ code: 78, out: "" });
    expect(beyond.err).toMatch(/does not hold 10 to 99999/);
  });

  test("letters in a topic are counted, shown, and sent again once", async () => {
    const events = await refuse();
    const open = async (): Promise<unknown> => {
      const { groups } = JSON.parse((await dlq("list")).out) as { groups: Group[] };
      return groups.map(({ reason, sink, open: left, redriven }) => [reason, sink, left, redriven]);
    };
    expect(await open()).toEqual([
      ["mapping", "file/siem", 60, 0],
      ["too_old", "file/siem", 30, 0],
    ]);
    const { code, out } = await dlq("show", "0:4", "--with-value");
    expect([code, JSON.parse(out)]).toMatchObject([
      0,
      { reason: "mapping", sink: "file/siem", place: `${EVENTS} 0:4`, hash: events[4]?.hash },
    ]);
    const before = new Set(written());
    const some = await dlq("redrive", "--reason", "too_old");
    expect(JSON.parse(some.out)).toMatchObject({ read: 30, sent: 30, redriven: 0 });
    const all = await dlq("redrive");
    expect(JSON.parse(all.out)).toMatchObject({ read: 90, sent: 60, redriven: 30 });
    expect(await open()).toEqual([
      ["mapping", "file/siem", 0, 60],
      ["too_old", "file/siem", 0, 30],
    ]);
    const added = written().filter((hash) => !before.has(hash));
    expect(added.toSorted()).toEqual(events.map(({ hash }) => hash).toSorted());
    const mistyped = await dlq("list", "--sink", "file/seim");
    expect(mistyped).toMatchObject({ code: 64, out: "" });
    expect(mistyped.err).toMatch(/no exporter file\/seim, .*known: .*file\/siem/);
  });

  test("a topic that is not there, and no broker, are said in one line", async () => {
    const file = join(directory, "processor.yaml");
    const text = readFileSync(file, "utf8");
    const other = join(directory, "other.yaml");
    writeFileSync(other, text.replace("group: countersign-siem", "group: g, topic: nowhere"));
    const args = ["--exporter", "file/siem", "--since", "1h", "--dry-run"];
    const missing = await countersign("replay", "--config", other, ...args);
    expect(missing).toMatchObject({ code: 78, out: "" });
    expect(missing.err).toMatch(/may not read topic nowhere, or it is not there/);
    writeFileSync(
      other,
      text.replace(/brokers: \[[^\]]*\]/, "brokers: [127.0.0.1:1], start_timeout: 2s"),
    );
    const away = await countersign("replay", "--config", other, ...args);
    expect(away).toMatchObject({ code: 69, out: "" });
  });
});
