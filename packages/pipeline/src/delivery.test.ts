// What delivery rests on: halting is seen and said, a sink's wish to wait is obeyed, a dead letter knows its place.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  CountersignError,
  type LogFields,
  type SealedEvent,
  silentLogger,
  unseal,
} from "@countersign/model";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Origin } from "./consumer.ts";
import { createHaltNotice } from "./halt-notice.ts";
import { createHost } from "./host.ts";
import { deadLettering, type Letter } from "./letters.ts";
import { createMerkleTree, merkleRoot } from "./merkle-root.ts";
import { createMetrics } from "./metrics.ts";
import { createRetry } from "./retry.ts";

const SIGNAL = new AbortController().signal;
const chain = join(import.meta.dirname, "..", "..", "model", "src", "testdata", "chain.jsonl");
const events: readonly SealedEvent[] = readFileSync(chain, "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => unseal(Buffer.from(line, "utf8")));

test("a halted exporter is said once, then every ten minutes, and when it goes on", () => {
  const said: [level: string, fields: LogFields | undefined][] = [];
  let nowMs = 0;
  const notice = createHaltNotice(
    {
      ...silentLogger,
      error: (_message, fields) => void said.push(["error", fields]),
      info: (_message, fields) => void said.push(["info", fields]),
    },
    () => nowMs,
  );
  const failed = { state: "failed", detail: "the token is not valid (401)" } as const;
  notice({ state: "ok" });
  for (; nowMs <= 1_200_000; nowMs += 30_000) notice(failed);
  notice({ state: "degraded" });
  notice({ state: "ok" });
  notice({ state: "ok" });
  expect(said).toEqual([
    ["error", { reason: failed.detail, haltedSeconds: 0 }],
    ["error", { reason: failed.detail, haltedSeconds: 600 }],
    ["error", { reason: failed.detail, haltedSeconds: 1200 }],
    ["info", { haltedSeconds: 1230 }],
  ]);
});

test("exporter_halted is 1 as long as an exporter needs somebody, and readiness says so", () => {
  const metrics = createMetrics();
  const host = createHost({ metrics, logger: () => silentLogger });
  const runtime = host.runtime("exporter", "splunk_hec/soc");
  const shown = (): string | undefined =>
    /exporter_halted\{exporter="splunk_hec\/soc"\} (\d)/.exec(metrics.render())?.[1];
  expect(shown()).toBe("0");
  runtime.report({ state: "failed", detail: "the token is not valid (401)" });
  expect(shown()).toBe("1");
  expect(host.health().components.get("exporter splunk_hec/soc")?.state).toBe("failed");
  runtime.report({ state: "ok" });
  expect(shown()).toBe("0");
});

test.each([
  ["beyond the longest backoff", 120_000, 120_000],
  ["but no more than five minutes", 86_400_000, 300_000],
])("a sink that asks for time gets it, %s", async (_name, retryAfterMs, expected) => {
  const waits: unknown[] = [];
  const retry = createRetry<string>(
    {
      consume: () =>
        Promise.reject(new CountersignError("OVERLOADED", "sink: busy", { retryAfterMs })),
    },
    {
      id: "sink",
      maxMs: 30_000,
      log: {
        ...silentLogger,
        warn: (_message, fields) => {
          waits.push(fields?.["waitMs"]);
          void retry.stop(SIGNAL);
        },
      },
    },
  );
  await expect(retry.consume("batch", SIGNAL)).rejects.toMatchObject({ code: "OVERLOADED" });
  expect(waits).toEqual([expected]);
});

test("a dead letter has reason, sink, attempts and place of each item", async () => {
  const letters: Letter[] = [];
  const origin: Origin = {
    log: "countersign.events.v1",
    partition: 3,
    first: 40n,
    last: 46n,
    offsetOf: (event) => 40n + BigInt(events.indexOf(event)),
  };
  let calls = 0;
  const edge = deadLettering(
    {
      consume: () => {
        calls += 1;
        return Promise.reject(
          calls === 1
            ? new CountersignError("UNAVAILABLE", "siem: away")
            : new CountersignError("REJECTED", "siem: 2 refused", {
                failed: [1, 2],
                reasons: ["mapper_parsing_exception", "too_large"],
              }),
        );
      },
    },
    "siem",
    { deposit: async (some) => void letters.push(...some) },
  );
  // A filter took the first events away, so an index of the batch says nothing of the place.
  const batch = { events: events.slice(2), origin };
  await expect(edge.consume(batch, SIGNAL)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  await edge.consume(batch, SIGNAL);
  expect(
    letters.map(({ reason, sink, attempts, place }) => ({ reason, sink, attempts, place })),
  ).toEqual([
    {
      reason: "mapper_parsing_exception",
      sink: "siem",
      attempts: 2,
      place: { log: "countersign.events.v1", partition: 3, offset: 43n },
    },
    {
      reason: "too_large",
      sink: "siem",
      attempts: 2,
      place: { log: "countersign.events.v1", partition: 3, offset: 44n },
    },
  ]);
});

test("a tree that grows has the root of the definition at every size", () => {
  const leaf = fc.uint8Array({ maxLength: 8 });
  fc.assert(
    fc.property(fc.array(leaf, { maxLength: 70 }), (leaves) => {
      const tree = createMerkleTree();
      for (const [at, one] of leaves.entries()) {
        tree.add(one);
        expect(tree.root()).toBe(rootByDefinition(leaves.slice(0, at + 1)).toString("hex"));
      }
      expect(merkleRoot(leaves)).toBe(tree.root());
    }),
    { numRuns: 30 },
  );
});

/** RFC 6962, section 2.1, word for word. */
function rootByDefinition(leaves: readonly Uint8Array[]): Buffer {
  const { createHash } = process.getBuiltinModule("node:crypto");
  const sha = (...parts: Uint8Array[]): Buffer =>
    createHash("sha256").update(Buffer.concat(parts)).digest();
  const [only] = leaves;
  if (only === undefined) return sha();
  if (leaves.length === 1) return sha(Buffer.of(0), only);
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  return sha(
    Buffer.of(1),
    rootByDefinition(leaves.slice(0, split)),
    rootByDefinition(leaves.slice(split)),
  );
}
