// `continuity` behind a real topic: replicas come, die and go, with what they remember and without. Every finding is told, none
// is false, none is another one when it comes twice.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FindingEvent, type Logger, type SealedEvent, silentLogger } from "@countersign/model";
import { createService, loadConfig, type Service } from "@countersign/processor";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { EmitterLife } from "../../packages/processor/src/testing/emitter-life.ts";
import { createRandom } from "../../packages/processor/src/testing/random.ts";
import { findService } from "./find.ts";
import { client, type KafkaCluster, startKafka } from "./kafka-broker.ts";
import { clientOf, exporterOf, SIGNAL, soonDeadline, until } from "./kafka-parts.ts";
import { recordsOnDisk } from "./kafka-segments.ts";

const found = findService("kafka");
const program = found?.kind === "binary" ? found.path : undefined;
const PARTITIONS = 4;
const WAIT_MS = 90_000;

let cluster: KafkaCluster;

beforeAll(async () => {
  if (program !== undefined) cluster = await startKafka(program, { nodes: 1 });
});
afterAll(async () => {
  await cluster?.dispose();
});

/** How long a replica waits before it tells a gap, and a silence. */
interface Patience {
  readonly settle: string;
  readonly silentAfter: string;
}

const PATIENT: Patience = { settle: "1h", silentAfter: "1h" };
const QUICK: Patience = { settle: "2s", silentAfter: "2s" };

interface Replica {
  readonly service: Service;
  readonly said: string[];
}

interface Scene {
  readonly topic: string;
  readonly write: (...lives: readonly EmitterLife[]) => Promise<void>;
  readonly replica: (patience: Patience, state?: string) => Promise<Replica>;
  readonly findings: () => FindingEvent[];
  /** All that the topic has was taken by the group. */
  readonly caughtUp: () => Promise<void>;
}

async function scene(topic: string): Promise<Scene> {
  await cluster.topic({ name: topic, partitions: PARTITIONS });
  await cluster.topic({ name: `${topic}-dlq` });
  const kafka = clientOf(cluster.brokers);
  const exporter = exporterOf(kafka, topic);
  await exporter.start(SIGNAL);
  onTestFinished(async () => {
    await exporter.stop(soonDeadline());
    await kafka.stop(soonDeadline());
  });
  return {
    topic,
    write: async (...lives) => {
      for (const life of lives) {
        life.shipAll();
        await exporter.consume({ events: life.log.splice(0) }, SIGNAL);
      }
    },
    replica: async (patience, state) => {
      const said: string[] = [];
      const { config } = loadConfig(configOf(topic, patience, state), "continuity.yaml", {});
      const service = createService(config, { logger: () => logInto(said) });
      await service.start();
      onTestFinished(() => service.stop(soonDeadline()));
      return { service, said };
    },
    findings: () => findingsOf(topic),
    caughtUp: () => until("all was taken", async () => (await lagOf(topic)) === 0n, WAIT_MS),
  };
}

function logInto(said: string[]): Logger {
  const note = (message: string, fields?: object): void =>
    void said.push(`${message} ${JSON.stringify(fields ?? {})}`);
  return { ...silentLogger, info: note, warn: note, error: note };
}

const configOf = (topic: string, { settle, silentAfter }: Patience, state?: string): string => `
clients:
  main: { brokers: [${cluster.brokers.join(", ")}] }
receivers:
  kafka/continuity: { client: main, topic: ${topic}, group: ${topic}, session_timeout: 8s, rebalance_timeout: 10s }
connectors:
  continuity: { settle: ${settle}, silent_after: ${silentAfter}, always_on: ["quiet-*"]${state === undefined ? "" : `, state: ${state}`} }
exporters:
  kafka: { client: main, topic: ${topic} }
  kafka/dead_letter: { client: main, topic: ${topic}-dlq }
service:
  dead_letter: kafka/dead_letter
  pipelines:
    decisions/continuity: { receivers: [kafka/continuity], exporters: [continuity] }
    decisions/findings: { receivers: [continuity], exporters: [kafka] }
`;

function findingsOf(topic: string): FindingEvent[] {
  return Array.from({ length: PARTITIONS }, (_, at) =>
    recordsOnDisk(cluster.nodes[0]?.directory ?? "", topic, at),
  )
    .flat()
    .filter(({ headers }) => headers.get("ce_type")?.includes("finding"))
    .map(({ value }) => JSON.parse(String(value)) as FindingEvent);
}

async function lagOf(topic: string): Promise<bigint> {
  const admin = await cluster.admin();
  const ends = await admin.fetchTopicOffsets(topic);
  const [stored] = await admin.fetchOffsets({ groupId: topic, topics: [topic] });
  return ends.reduce((sum, { partition, high }) => {
    const at = stored?.partitions.find((one) => one.partition === partition)?.offset ?? "-1";
    return sum + BigInt(high) - (BigInt(at) < 0n ? 0n : BigInt(at));
  }, 0n);
}

const words = (findings: readonly FindingEvent[]): readonly string[] =>
  findings.map(({ data }) => `${data.finding} ${data.of.emitter}`).toSorted();

/** Emitters of one epoch each, in all partitions, with so many heartbeats each. */
function crowd(names: readonly string[]): Map<string, EmitterLife> {
  return new Map(
    names.map((name, at) => {
      const life = new EmitterLife(createRandom(at + 1), name);
      life.start();
      beats(life, 20);
      return [name, life];
    }),
  );
}

function beats(life: EmitterLife, count: number): void {
  for (let at = 0; at < count; at += 1) {
    life.pass(1);
    const [epoch] = life.living;
    if (epoch !== undefined) life.beat(epoch);
  }
}

/** The next event of an emitter is gone. */
function lose(life: EmitterLife): void {
  beats(life, 1);
  life.living[0]?.unsent.splice(-1);
  beats(life, 1);
}

const NAMES = Array.from({ length: 12 }, (_, at) => `tickets-${at}`);

function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), "countersign-continuity-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A record that is no event, alone in its batch: no event, but a place in the log. */
async function writeGarbage(topic: string): Promise<void> {
  const producer = client(cluster.brokers).producer();
  await producer.connect();
  for (let partition = 0; partition < PARTITIONS; partition += 1)
    await producer.send({ topic, messages: [{ key: "x", value: "no event", partition }] });
  await producer.disconnect();
}

const rereads = ({ said }: Replica): readonly string[] =>
  said.filter((line) => line.startsWith("has read again"));

describe.skipIf(program === undefined)("continuity behind a topic", () => {
  test.each([
    ["without a state of its own it reads the topic again", () => undefined],
    ["with one it reads what came since", () => join(scratch(), "state")],
  ])(
    "a restart: %s, and what was broken while it was away is found",
    async (_, place) => {
      const state = place();
      const { topic, write, replica, findings, caughtUp } = await scene(
        `restart-${state === undefined ? "bare" : "state"}`,
      );
      const lives = crowd(NAMES);
      await write(...lives.values());
      const before = await replica(QUICK, state);
      await caughtUp();
      await before.service.stop(soonDeadline());
      expect(findings()).toEqual([]);

      // Between two lives: of one emitter an event is gone, another one's comes twice; the others go on.
      const [gone, twice] = [...lives.values()] as [EmitterLife, EmitterLife];
      lose(gone);
      for (const life of lives.values()) beats(life, 3);
      twice.shipAll();
      const again = twice.log.at(-1) as SealedEvent;
      await write(...lives.values());
      twice.log.push(again);
      await write(twice);
      const after = await replica(QUICK, state);
      const expected = ["DUPLICATE tickets-1", "GAP tickets-0"];
      await until("all is found", () => findings().length >= 2, WAIT_MS);
      await caughtUp();
      expect(words(findings())).toEqual(expected);
      const back = rereads(after);
      expect(back.length).toBeGreaterThan(0);
      const records = back.map((line) => Number((/"records":(\d+)/.exec(line) ?? [])[1]));
      // With a state only the event before its position, to see that it is the same log.
      const isRight = (one: number): boolean => (state === undefined ? one > 20 : one === 1);
      expect(records.filter((one) => !isRight(one))).toEqual([]);
      await after.service.stop(soonDeadline());

      // Another restart finds nothing anew.
      const last = await replica(QUICK, state);
      await until("it has read again", () => rereads(last).length >= back.length, WAIT_MS);
      for (const life of lives.values()) beats(life, 3);
      await write(...lives.values());
      await caughtUp();
      expect(words(findings())).toEqual(expected);
      expect(topic).toBeDefined();
    },
    240_000,
  );

  test("a gap that waited when its replica stopped is told by the next one, although nothing new comes; so is silence", async () => {
    const { write, replica, findings, caughtUp } = await scene("waiting");
    const lives = crowd(["tickets-0", "quiet-0"]);
    const gone = lives.get("tickets-0") as EmitterLife;
    beats(gone, 1);
    lose(gone);
    await write(...lives.values());
    const before = await replica(PATIENT);
    await caughtUp();
    await before.service.stop(soonDeadline());
    expect(findings()).toEqual([]);
    await replica(QUICK);
    await until("both are told", () => findings().length >= 2, WAIT_MS);
    await caughtUp();
    expect(words(findings())).toEqual(["GAP tickets-0", "SILENT quiet-0"]);
  }, 240_000);

  test("partitions go to another replica and back: chains go on, also past what is no event", async () => {
    const { topic, write, replica, findings, caughtUp } = await scene("moving");
    const lives = crowd(NAMES);
    const goOn = async (): Promise<void> => {
      for (const life of lives.values()) beats(life, 2);
      await write(...lives.values());
      await caughtUp();
    };
    const first = await replica(QUICK);
    await goOn();
    const second = await replica(QUICK, join(scratch(), "state"));
    await until("the second reads some", () => rereads(second).length > 0, WAIT_MS);
    const before = rereads(first).length;
    await goOn();
    await goOn();
    await second.service.stop(soonDeadline());
    await until("the first has them back", () => rereads(first).length > before, WAIT_MS);
    await goOn();
    expect(words(findings())).toEqual([]);

    await writeGarbage(topic);
    await caughtUp();
    lose(lives.get("tickets-0") as EmitterLife);
    await goOn();
    await until("the gap is found", () => findings().length > 0, WAIT_MS);
    await caughtUp();
    expect(words(findings())).toEqual(["GAP tickets-0"]);
  }, 300_000);
});
