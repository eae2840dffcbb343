// One epoch with every kind that an emitter seals, and the kinds that a processor makes.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { findingEvent, type SealedEvent, unseal, withheldEvent } from "@countersign/model";

const CHAIN = join(
  import.meta.dirname,
  "..",
  "..",
  "..",
  "model",
  "src",
  "testdata",
  "chain.jsonl",
);

/** Start, lost, decisions, outcome, heartbeat, stop, withheld and findings. */
export function everyKind(): SealedEvent[] {
  const chain = readFileSync(CHAIN, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => unseal(Buffer.from(line)));
  const decision = chain.find(({ event }) => event.type.includes("decision")) as SealedEvent;
  const of = { emitter: "tickets-7f3a9c2e51d0b684", epoch: "5".repeat(32), seq: 4 };
  const finding = (data: object): SealedEvent =>
    findingEvent({
      data: { tenant: "acme", of, ...data } as never,
      time: decision.event.time,
      component: "continuity",
    });
  return [
    ...chain,
    withheldEvent(decision, "card", "data.call.name"),
    finding({ finding: "GAP", missing: { what: "events", from: 4, to: 6 } }),
    finding({ finding: "FORK", expected: "ab".repeat(32) }),
    finding({ finding: "CLOCK_SKEW", clock: "ahead" }),
    finding({ finding: "POLICY_UNKNOWN", policy: { digest: `sha256:${"cd".repeat(32)}` } }),
  ];
}
