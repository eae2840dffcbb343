// Sealed events for tests: true ones, made by the model.
import {
  type Chain,
  detect,
  draftDecision,
  draftOutcome,
  eventTime,
  GENESIS,
  seal,
  type SealedEvent,
  uuidv7,
} from "@countersign/model";

/** What a test wants of its events. */
export interface EventOptions {
  readonly emitter?: string;
  readonly epoch?: string;
  /** Also an outcome after each decision. */
  readonly outcomes?: boolean;
}

const DIGEST = `sha256:${"ab".repeat(32)}`;
const START_MS = Date.UTC(2026, 10, 22, 9);

/** `count` events of one chain, decisions that allow and deny in turn. */
export function sealedEvents(count: number, options: EventOptions = {}): SealedEvent[] {
  const { emitter = "tickets-test", epoch = "5".repeat(32), outcomes = false } = options;
  const events: SealedEvent[] = [];
  let chain: Chain = { emitter, epoch, seq: 0, prev: GENESIS };
  const add = (make: () => SealedEvent): void => {
    const sealed = withoutCard(make);
    events.push(sealed);
    chain = { ...chain, seq: chain.seq + 1, prev: sealed.hash };
  };
  for (let at = 0; events.length < count; at += 1) {
    const time = eventTime(START_MS + at);
    const allow = at % 2 === 0;
    add(() => seal(decisionDraft(uuidv7(), allow), chain, time));
    const { id: decisionId } = (events.at(-1) as SealedEvent).event;
    if (!outcomes || !allow || events.length === count) continue;
    add(() => seal(outcomeDraft(decisionId), chain, time));
  }
  return events;
}

/**
 * Ids and hashes alone set off the card detector in one event of sixty (contract, section 3). Here that is chance, and what becomes of
 * an event must not be: another id is taken until nothing fires.
 */
function withoutCard(make: () => SealedEvent): SealedEvent {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const sealed = make();
    if (detect(`${Buffer.from(sealed.bytes).toString()} ${sealed.hash}`) === undefined)
      return sealed;
  }
  throw new Error("a hundred events in a row look like card numbers");
}

function outcomeDraft(decisionId: string): ReturnType<typeof draftOutcome> {
  return draftOutcome({
    id: uuidv7(),
    tenant: "acme",
    decisionId,
    status: "completed",
    durationUs: 900,
    call: { method: "tools/call", name: "read_ticket" },
  });
}

function decisionDraft(id: string, allow: boolean): ReturnType<typeof draftDecision> {
  return draftDecision({
    id,
    tenant: "acme",
    mode: "enforce",
    decision: allow ? "allow" : "deny",
    reason: allow ? "permitted" : "forbidden",
    effect: allow ? "run" : "block",
    call: {
      method: "tools/call",
      name: "read_ticket",
      transport: "stdio",
      gate: "in_process",
      requestId: "7",
    },
    nameKnown: true,
    human: {
      issuer: "https://idp.example",
      subject: "auth0|alice",
      assurance: "bearer",
      method: "bearer",
    },
    checks: [
      {
        permission: "read",
        resource: { type: "ticket", id: "T-1042" },
        subject: { type: "user", id: "auth0|alice" },
        verdict: allow ? "allow" : "deny",
        engine: "relationships",
        durationUs: 120,
      },
    ],
    server: { id: "urn:mcp:tickets", name: "tickets" },
    policy: { digest: DIGEST, rule: "tools.read_ticket" },
    durationUs: 3120,
    traceparent: `00-${"4b".repeat(16)}-${"53".repeat(8)}-01`,
  });
}
