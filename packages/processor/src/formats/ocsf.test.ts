import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type SealedEvent, sha256Hex } from "@countersign/model";
import type { Consumer, Decisions, Logs, Runtime } from "@countersign/pipeline";
import { createMetrics } from "@countersign/pipeline";
import { silentLogger } from "@countersign/model";
import { Ajv } from "ajv";
import { expect, test } from "vitest";
import { ocsfValidator } from "../../scripts/ocsf-validator.ts";
import { eventCarriers, type LogsRequest } from "../otlp/event-carriers.ts";
import { decodeJson } from "../otlp/decode-json.ts";
import { LOGS_REQUEST } from "../otlp/message.ts";
import { intakeProcessor } from "../processors/intake.ts";
import { sealedEvents } from "../testing/events.ts";
import { KINDS } from "../testing/kinds.ts";
import { nativeFormat } from "./native.ts";
import { ocsfFormat, ocsfProblem, toOcsf } from "./ocsf.ts";

const golden = join(import.meta.dirname, "..", "..", "..", "..", "test", "golden", "ocsf");
const published = JSON.parse(
  readFileSync(join(import.meta.dirname, "ocsf-1.8.0.schema.json"), "utf8"),
) as object;
const validatePublished = new Ajv({ strict: false, allErrors: true }).compile(published);

test.each(Object.keys(KINDS))("%s: golden, and valid by the published schema", async (name) => {
  const activity = toOcsf(KINDS[name] as SealedEvent) as Record<string, number>;
  validatePublished(activity);
  expect(validatePublished.errors).toBeNull();
  expect(ocsfProblem(activity)).toBeUndefined();
  // Across members no schema looks.
  expect(activity["type_uid"]).toBe(
    (activity["class_uid"] as number) * 100 + (activity["activity_id"] as number),
  );
  await expect(`${JSON.stringify(activity, undefined, 2)}\n`).toMatchFileSnapshot(
    join(golden, `${name}.json`),
  );
});

test("OTLP in, OCSF out: the contract's request", async () => {
  const text = readFileSync(join(import.meta.dirname, "..", "testing", "otlp-logs.json"));
  const events: SealedEvent[] = [];
  const next: Consumer<Decisions> = { consume: async (batch) => void events.push(...batch.events) };
  const box = { deposit: () => Promise.resolve() };
  const runtime = {
    id: "intake",
    log: silentLogger,
    metrics: createMetrics(),
    report: () => undefined,
    service: { deadLetters: box, quarantine: box },
  } as unknown as Runtime;
  const intake = intakeProcessor.create(
    {} as never,
    runtime,
    next as never,
  ) as unknown as Consumer<Logs>;
  const records = eventCarriers(decodeJson<LogsRequest>(text, LOGS_REQUEST).value);
  await intake.consume({ records }, new AbortController().signal);
  const lines = events.map((event) => Buffer.from(ocsfFormat.line(event) ?? []).toString("utf8"));
  expect(lines).toHaveLength(1);
  await expect(
    `${JSON.stringify(JSON.parse(lines[0] as string), undefined, 2)}\n`,
  ).toMatchFileSnapshot(join(golden, "contract-request.json"));
});

test("mapping is pure: the same event gives the same line", () => {
  const [event] = sealedEvents(1) as [SealedEvent];
  expect(ocsfFormat.line(event)).toEqual(ocsfFormat.line(event));
  expect(ocsfFormat.version).toBe("ocsf@1.8.0+2");
});

const BREAKERS: Readonly<Record<string, (activity: Record<string, unknown>) => void>> = {
  "no actor": (activity) => void delete activity["actor"],
  "empty actor": (activity) => void (activity["actor"] = {}),
  "no src_endpoint": (activity) => void delete activity["src_endpoint"],
  "no metadata": (activity) => void delete activity["metadata"],
  "no product": (activity) =>
    void delete (activity["metadata"] as Record<string, unknown>)["product"],
  "no operation": (activity) => void (activity["api"] = {}),
  "unknown member": (activity) => void (activity["extra"] = 1),
  "wrong disposition": (activity) => void (activity["disposition_id"] = 77),
  "time as text": (activity) => void (activity["time"] = "2026"),
  "other class": (activity) => void (activity["class_uid"] = 6004),
};

test.each(Object.keys(BREAKERS))(
  "%s fails at run time as it does by the published schema",
  (name) => {
    const activity = structuredClone(toOcsf(KINDS["allow"] as SealedEvent)) as Record<
      string,
      unknown
    >;
    BREAKERS[name]?.(activity);
    expect(validatePublished(activity)).toBe(false);
    expect(ocsfProblem(activity)).toBeDefined();
  },
);

test("the generated validator is what the schema gives now", () => {
  expect(readFileSync(join(import.meta.dirname, "ocsf-1.8.0.generated.ts"), "utf8")).toBe(
    ocsfValidator(),
  );
});

test("native is the sealed bytes, so the line's digest is the event's hash", () => {
  const [event] = sealedEvents(1) as [SealedEvent];
  expect(sha256Hex(nativeFormat.line(event) ?? new Uint8Array())).toBe(event.hash);
});

test("every golden has its event", () => {
  const names = [...Object.keys(KINDS), "contract-request"].map((name) => `${name}.json`);
  expect(readdirSync(golden).toSorted()).toEqual(names.toSorted());
});
