import { randomBytes } from "node:crypto";
import {
  GENESIS,
  draftDecision,
  draftHeartbeat,
  draftOutcome,
  eventTime,
  seal,
  uuidv7,
  zeroCounters,
  type DecisionFields,
  type EventDraft,
  type OutcomeFields,
  type SealedEvent,
} from "@countersign/model";

/** An emitter that seals without a journal: for tests that need true chains and no disk. */
export interface ChainMaker {
  readonly emitter: string;
  readonly epoch: string;
  decision(fields?: Partial<DecisionFields>): SealedEvent;
  outcome(of: SealedEvent, fields?: Partial<OutcomeFields>): SealedEvent;
  heartbeat(): SealedEvent;
  /** A second event for the last place: what a fork looks like. */
  forkOfLast(): SealedEvent;
}

/** Makes an emitter. `startMs` is the time of its first event; each later one is a millisecond on. */
export function createChainMaker(
  emitter = "test-emitter",
  startMs = 1_763_800_000_000,
): ChainMaker {
  return new SealingChain(emitter, startMs);
}

/** What a decision is made of when a test does not care. */
export const DECISION_FIELDS: Omit<DecisionFields, "id"> = {
  tenant: "acme",
  mode: "enforce",
  decision: "allow",
  reason: "permitted",
  effect: "run",
  call: {
    method: "tools/call",
    name: "read_ticket",
    transport: "stdio",
    gate: "guard",
    requestId: "7",
  },
  nameKnown: true,
  human: { issuer: "https://idp.example", subject: "alice", assurance: "bearer", method: "bearer" },
  agent: { id: "tickets-agent", claimed: { name: "support-agent", version: "1.4.0" } },
  checks: [
    {
      permission: "read",
      resource: { type: "ticket", id: "T-1042" },
      subject: { type: "user", id: "alice" },
      verdict: "allow",
      engine: "spicedb",
      durationUs: 1840,
    },
  ],
  server: { id: "urn:mcp:tickets", name: "tickets", version: "2.3.1" },
  policy: { digest: `sha256:${"0".repeat(64)}`, rule: "tools.read_ticket" },
  durationUs: 3120,
};

class SealingChain implements ChainMaker {
  readonly emitter: string;
  readonly epoch: string = randomBytes(16).toString("hex");
  #seq = 0;
  #prev: string = GENESIS;
  #before: string = GENESIS;
  #timeMs: number;

  constructor(emitter: string, startMs: number) {
    this.emitter = emitter;
    this.#timeMs = startMs;
  }

  decision(fields: Partial<DecisionFields> = {}): SealedEvent {
    return this.#seal(draftDecision({ id: uuidv7(), ...DECISION_FIELDS, ...fields }));
  }

  outcome(of: SealedEvent, fields: Partial<OutcomeFields> = {}): SealedEvent {
    const decisionId = of.event.id;
    return this.#seal(
      draftOutcome({
        id: uuidv7(),
        tenant: "acme",
        decisionId,
        status: "completed",
        call: { method: "tools/call", name: "read_ticket" },
        durationUs: 48_211,
        ...fields,
      }),
    );
  }

  heartbeat(): SealedEvent {
    return this.#seal(heartbeatDraft());
  }

  forkOfLast(): SealedEvent {
    const chain = {
      emitter: this.emitter,
      epoch: this.epoch,
      seq: this.#seq - 1,
      prev: this.#before,
    };
    return seal(heartbeatDraft(), chain, eventTime(this.#timeMs));
  }

  #seal(draft: EventDraft): SealedEvent {
    const chain = { emitter: this.emitter, epoch: this.epoch, seq: this.#seq, prev: this.#prev };
    const sealed = seal(draft, chain, eventTime(this.#timeMs));
    this.#seq += 1;
    this.#timeMs += 1;
    this.#before = this.#prev;
    this.#prev = sealed.hash;
    return sealed;
  }
}

function heartbeatDraft(): EventDraft {
  return draftHeartbeat({
    id: uuidv7(),
    tenant: "acme",
    uptimeMs: 60_000,
    counters: zeroCounters(),
    journal: { bytes: 0, unacknowledged: 0, oldestUnacknowledgedMs: 0 },
  });
}

export { temporaryDirectory } from "./place.ts";
export { openArchiveStand, type ArchiveStand } from "./stand.ts";
