import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Gate, createChecker, createGate, loadPolicy } from "@countersign/gate";
import { createIdentity } from "@countersign/identity";
import { createJournal } from "@countersign/journal";
import type { CountersignEvent, DecisionEvent, OutcomeEvent } from "@countersign/model";
import { readJournal } from "./journal-events.ts";

/** A real gate on a real journal in a directory of its own. */
export interface GateScene {
  readonly gate: Gate;
  events(): CountersignEvent[];
  decisions(): DecisionEvent[];
  outcomes(): OutcomeEvent[];
  close(): Promise<void>;
}

const POLICY = `
version: 1
server: urn:mcp:tickets
tenant: acme
mode: enforce
identity:
  minimum: asserted
  subject: "user:{human.subject}"
authorizer:
  relationships:
    - "ticket:T-1#read@user:alice"
    - "prompt:greet#use@user:alice"
tools:
  read_ticket: { permission: read, resource: "ticket:{arguments.id}" }
  close_ticket: { permission: close, resource: "ticket:{arguments.id}" }
resources:
  "ticket://{id}": { permission: read, resource: "ticket:{id}" }
prompts:
  "*": { permission: use, resource: "prompt:{name}" }
default: deny
`;

/** `human`: who the environment asserts; undefined: nobody. */
export function openScene(human: string | undefined = "alice"): GateScene {
  const directory = mkdtempSync(join(tmpdir(), "gate-"));
  const env = human === undefined ? {} : { COUNTERSIGN_ASSERTED_HUMAN: human };
  const { policy } = loadPolicy(POLICY, "policy.yaml", env);
  const gate = createGate({
    policy,
    identity: createIdentity(policy.identity, { env }),
    checker: createChecker(policy.authorizer),
    journal: createJournal({
      directory,
      env,
      epoch: {
        tenant: policy.tenant,
        mode: policy.mode,
        durability: policy.durability,
        gate: "in_process",
        server: { id: policy.server },
        policy: { digest: policy.digest, default: "deny" },
        runtime: { countersign: "0", node: "0", os: "test" },
        coverage: () => ({ sdks: [] }),
      },
    }),
  });
  const events = (): CountersignEvent[] => readJournal(directory);
  return {
    gate,
    events,
    decisions: () =>
      events().filter((event): event is DecisionEvent => event.type.endsWith("decision.v1")),
    outcomes: () =>
      events().filter((event): event is OutcomeEvent => event.type.endsWith("outcome.v1")),
    close: async () => {
      await gate.stop("shutdown", AbortSignal.timeout(5_000));
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
