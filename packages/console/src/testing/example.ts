import { DECISION_FIELDS, type ChainMaker } from "@countersign/archive/testing";
import type { Check, DecisionFields, Human, SealedEvent } from "@countersign/model";
import type { SpanView } from "../trace-source.ts";

type Fields = Partial<DecisionFields>;

const DENIED = { decision: "deny", reason: "forbidden", effect: "block" } as const satisfies Fields;
const IDP = "https://idp.example";
const ALICE: Human = {
  issuer: IDP,
  subject: "auth0|5f7c8ec7c33c6c004bbafe82",
  assurance: "call_bound",
  method: "call_proof",
  authTime: "2026-11-22T08:12:44.000Z",
  binding: {
    jkt: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
    jti: "Zm9yIG9uZSBjYWxsIG9ubHk",
    tokenSha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
  },
};
const CHAIN_OF_AGENTS: DecisionFields["agent"] = {
  id: "billing-server",
  claimed: { name: "support-agent", version: "1.4.0" },
  actors: [
    { issuer: IDP, subject: "billing-server" },
    { issuer: IDP, subject: "tickets-server" },
  ],
};
const BOB: Human = { issuer: IDP, subject: "bob", assurance: "bearer", method: "bearer" };
const CAROL: Human = {
  issuer: "urn:example:os",
  subject: "1000",
  assurance: "os_user",
  method: "os_account",
};
const SUBJECT = { type: "user", id: ALICE.subject };
const FILES = { id: "urn:mcp:filesystem", name: "secure-filesystem-server", version: "0.2.0" };
const DESKTOP = { claimed: { name: "desktop-assistant", version: "1.2" } };
const { digest } = DECISION_FIELDS.policy;
const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";

function check(fields: Partial<Check>): Check {
  return {
    permission: "read",
    resource: { type: "ticket", id: "T-1042" },
    subject: SUBJECT,
    verdict: "allow",
    engine: "spicedb",
    durationUs: 1840,
    ...fields,
  };
}

function onFile(id: string, verdict: "allow" | "deny", permission = "read"): readonly Check[] {
  return [
    check({
      permission,
      verdict,
      resource: { type: "file", id },
      subject: { type: "user", id: "bob" },
    }),
  ];
}

function tool(
  name: string,
  requestId: string,
  more: Partial<DecisionFields["call"]> = {},
): DecisionFields["call"] {
  return { method: "tools/call", name, transport: "stdio", gate: "guard", requestId, ...more };
}

const listing: Fields = {
  reason: "listed",
  call: { method: "tools/list", transport: "stdio", gate: "guard" },
  checks: undefined,
  list: { offered: 14, shown: 9 },
  server: FILES,
  human: CAROL,
  agent: DESKTOP,
};
const timeout: Fields = {
  decision: "error",
  reason: "pdp_timeout",
  effect: "block",
  human: ALICE,
  checks: [check({ verdict: "error", reason: "timeout", durationUs: 2_000_000 })],
  durationUs: 2_003_100,
};
const unmapped: Fields = {
  ...DENIED,
  reason: "unmapped",
  human: CAROL,
  checks: undefined,
  server: FILES,
  policy: { digest },
  call: tool("move_file", "9"),
  agent: DESKTOP,
};

/** Two calls of several checks each: the first allowed, the second not. */
function moves(allowed: boolean): Fields {
  const queue = { type: "queue", id: allowed ? "emea/billing" : "r=26d/billing=2Eeu" };
  return {
    ...(allowed ? {} : DENIED),
    human: ALICE,
    checks: [
      check({ permission: "edit" }),
      check({
        permission: "add_ticket",
        resource: queue,
        verdict: allowed ? "allow" : "deny",
        durationUs: 2210,
      }),
    ],
    call: tool("move_ticket", allowed ? "14" : "15", {
      transport: "http",
      gate: "in_process",
      protocolVersion: "2026-07-28",
    }),
    policy: { digest, rule: "tools.move_ticket" },
    agent: CHAIN_OF_AGENTS,
    traceparent: allowed ? undefined : `00-${TRACE}-b7ad6b7169203331-01`,
    durationUs: 3904,
  };
}

/** A piece of work in which every look of a row occurs, oldest first: for tests and for the screenshot. */
export function exampleEvents(chain: ChainMaker): SealedEvent[] {
  const events: SealedEvent[] = [];
  const decide = (fields: Fields): SealedEvent => {
    const event = chain.decision(fields);
    events.push(event);
    return event;
  };
  decide(listing);
  events.push(chain.outcome(decide({ human: ALICE, checks: [check({})] })));
  const read = decide({
    human: BOB,
    server: FILES,
    checks: onFile("srv/reports/2026/q3=2Epdf", "allow"),
    call: tool("read_text_file", "11"),
  });
  events.push(chain.outcome(read, { status: "tool_error", durationUs: 2300 }));
  decide({
    ...DENIED,
    human: BOB,
    server: FILES,
    checks: onFile("srv/payroll/salaries=2Exlsx", "deny", "write"),
    call: tool("write_file", "12"),
  });
  decide(unmapped);
  decide(timeout);
  events.push(chain.outcome(decide(moves(true)), { durationUs: 31_400 }));
  decide(moves(false));
  decide({
    ...DENIED,
    reason: "identity_missing",
    human: undefined,
    checks: undefined,
    agent: { claimed: { name: "curl" } },
  });
  events.push(chain.heartbeat());
  return events;
}

/** The trace id of the example's denied `move_ticket`, and its spans. */
export function exampleSpans(startUs: number): readonly [string, readonly SpanView[]] {
  const span = (spanId: string, name: string, more: Partial<SpanView>): SpanView => ({
    spanId,
    name,
    kind: "internal",
    service: "tickets",
    startUs,
    durationUs: 9400,
    status: "unset",
    attributes: {},
    ...more,
  });
  const call = "tools/call move_ticket";
  return [
    TRACE,
    [
      span("a1", call, { kind: "client", service: "support-agent", status: "error" }),
      span("a2", call, {
        parentSpanId: "a1",
        kind: "server",
        startUs: startUs + 1600,
        durationUs: 6300,
        status: "error",
      }),
      span("a3", "authorize", { parentSpanId: "a2", startUs: startUs + 1900, durationUs: 3904 }),
      span("a4", "check", {
        parentSpanId: "a3",
        kind: "client",
        startUs: startUs + 2500,
        durationUs: 2210,
      }),
    ],
  ];
}
