// node test/bench/pipeline/p4-stages.ts [--reps 60]      what each step of P4 costs, in one process, without network
//
// Of each body the fastest run counts: it is short enough to be left alone on a busy machine. So garbage collection is not in it.
import { createRequire } from "node:module";
import { loadavg } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { findLeak, unseal, validateOpen } from "../../../packages/model/src/index.ts";
import { loadKafkajs } from "../../../packages/processor/src/kafka/kafkajs-patched.ts";
import { eventRecords } from "../../../packages/processor/src/kafka/record.ts";
import { wireLogs } from "../../../packages/processor/src/otlp/wire-logs.ts";
import { requestBodies } from "./sealed-events.ts";

const { values: options } = parseArgs({ options: { reps: { type: "string", default: "60" } } });
const BODIES = 64;
const PER_BODY = 100;

loadKafkajs();
const processor = createRequire(
  join(import.meta.dirname, "../../../packages/processor/src/index.ts"),
);
const produce = processor("kafkajs/src/protocol/requests/produce/v7/request.js") as (
  fields: object,
) => object;
const encode = processor("kafkajs/src/protocol/request.js") as (fields: object) => Promise<unknown>;

const bodies = requestBodies(BODIES, PER_BODY);
const carriers = bodies.map((body) => wireLogs(body).value);
const sealed = carriers.map((some) => some.map(({ body }) => unseal(body as Uint8Array)));
const records = sealed.map((events) => eventRecords(events, Date.now()));

function requestOf(messages: readonly unknown[]): object {
  const partitions = [{ partition: 0, firstSequence: 0, messages }];
  const request = produce({
    acks: -1,
    timeout: 30_000,
    producerId: "1",
    producerEpoch: 0,
    compression: 0,
    topicData: [{ topic: "countersign.events.v1", partitions }],
  });
  return { correlationId: 1, clientId: "bench", request };
}

/** What a step does with one body's events. */
const STEPS: readonly (readonly [string, (body: number) => unknown])[] = [
  ["protobuf", (at) => wireLogs(bodies[at] as Buffer)],
  ["unseal", (at) => carriers[at]?.map(({ body }) => unseal(body as Uint8Array))],
  ["schema", (at) => sealed[at]?.map(({ event }) => validateOpen(event))],
  ["leaks", (at) => sealed[at]?.map(({ event }) => findLeak(event))],
  ["records", (at) => eventRecords(sealed[at] ?? [], 1_795_338_003_412)],
  ["batch", (at) => encode(requestOf(records[at] ?? []))],
];

async function usPerEvent(step: (body: number) => unknown): Promise<number> {
  const fastest = Array.from({ length: BODIES }, () => Number.POSITIVE_INFINITY);
  for (let rep = 0; rep < Number(options.reps); rep += 1) {
    for (const [at, best] of fastest.entries()) {
      const started = performance.now();
      await step(at);
      fastest[at] = Math.min(best, performance.now() - started);
    }
  }
  return (1000 * fastest.reduce((sum, ms) => sum + ms, 0)) / (BODIES * PER_BODY);
}

let total = 0;
for (const [name, step] of STEPS) {
  const us = await usPerEvent(step);
  total += us;
  process.stdout.write(`P4 step ${name.padEnd(8)} ${us.toFixed(2)} µs an event\n`);
}
process.stdout.write(
  `P4 steps together ${total.toFixed(2)} µs an event, load ${loadavg()[0]?.toFixed(1)}\n`,
);
