// Secrets in events, through the whole line: what intake took out comes out of no exporter, in no format, and the service says it nowhere.
import { expect, test } from "vitest";
import { requestOf } from "./testing/logs.ts";
import { type Planted, plantedRecords } from "./testing/leak-records.ts";
import { createLeakScan } from "./testing/leak-scan.ts";
import { type LeakScene, leakScene } from "./testing/leak-scene.ts";
import { post } from "./testing/receiver.ts";

const LONG = process.env["COUNTERSIGN_LONG"] === "1";
const ROUNDS = LONG ? 110 : 1;
const RECORDS_PER_REQUEST = 100;

test("no secret of an event gets past intake, by no exporter and in no word of the service", async () => {
  const scene = await leakScene();
  const fates = { withheld: 0, rejected: 0, accepted: 0, foreign: 0 };
  const found: string[] = [];
  let kept = 0;
  const all = plantedRecords(ROUNDS);
  for (let some = take(all); some.length > 0; some = take(all)) {
    const names = new Map(some.map(({ secret, name }) => [secret, name]));
    const scan = createLeakScan();
    for (const { secret, fate } of some) {
      scan.plant(secret);
      fates[fate] += 1;
    }
    await send(scene, some);
    await delivered(scene, fates.withheld + fates.accepted);
    const texts = await scene.collect();
    for (const [where, text] of texts) {
      const leaks = scan.found(text);
      if (where === "quarantine") kept += leaks.length;
      else found.push(...leaks.map((secret) => `${where}: ${names.get(secret)}`));
    }
  }
  expect(found).toEqual([]);
  // The search sees a secret where one is: the originals are in quarantine, and only there.
  expect(kept).toBe(fates.withheld + fates.rejected);
  const metrics = (await scene.collect()).get("metrics") ?? "";
  for (const [result, count] of Object.entries(fates))
    expect(metrics).toContain(
      `processor_intake_items_total{processor="intake",result="${result}"} ${count}`,
    );
  console.log(`through ${scene.sinks.length} exporters:`, JSON.stringify(fates));
}, 3_600_000);

function take(all: Generator<Planted>): readonly Planted[] {
  const some: Planted[] = [];
  while (some.length < 5 * RECORDS_PER_REQUEST) {
    const next = all.next();
    if (next.done === true) break;
    some.push(next.value);
  }
  return some;
}

async function send({ url }: LeakScene, some: readonly Planted[]): Promise<void> {
  for (let at = 0; at < some.length; at += RECORDS_PER_REQUEST) {
    const records = some.slice(at, at + RECORDS_PER_REQUEST).map(({ record }) => record);
    const { status } = await post(url, JSON.stringify(requestOf(records)));
    expect(status).toBe(200);
  }
}

async function delivered(scene: LeakScene, events: number): Promise<void> {
  const lacking = (): readonly string[] => {
    const counts = scene.receipted();
    return scene.sinks.filter((sink) => (counts.get(sink) ?? 0) < events);
  };
  await expect.poll(lacking, { timeout: 60_000, interval: 100 }).toEqual([]);
}
