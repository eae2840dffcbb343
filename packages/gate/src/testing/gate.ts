// A real gate for tests: a policy file, a real journal in a directory of its own, and the relationships checker.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createIdentity, type IdentityResolver } from "@countersign/identity";
import { createJournal, type Journal, type JournalOptions } from "@countersign/journal";
import type { DecisionEvent, Logger, OutcomeEvent, SealedEvent } from "@countersign/model";
import type { McpCall } from "../call.ts";
import type { CheckAnswer, Checker } from "../check/checker.ts";
import type { GateClock } from "../clock.ts";
import { createGate, type Gate, type GateLimits } from "../gate.ts";
import { createChecker, identityConfig } from "../open.ts";
import { loadPolicy } from "../policy/load.ts";

/** What a test replaces. */
export interface TestGateOptions {
  readonly policy: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly checker?: Checker;
  readonly identity?: IdentityResolver;
  readonly journal?: (real: Journal) => Journal;
  readonly journalOptions?: Partial<JournalOptions>;
  readonly clock?: GateClock;
  readonly limits?: GateLimits;
  readonly log?: Logger;
}

/** A gate, and what it has written. */
export interface TestGate {
  readonly gate: Gate;
  readonly journal: Journal;
  readonly directory: string;
  readonly sealed: readonly SealedEvent[];
  decisions(): readonly DecisionEvent["data"][];
  outcomes(): readonly OutcomeEvent["data"][];
  close(): Promise<void>;
}

/** Opens one. Everything is real unless an option says otherwise. */
export function testGate(options: TestGateOptions): TestGate {
  const directory = mkdtempSync(join(tmpdir(), "countersign-gate-"));
  const env = { COUNTERSIGN_ASSERTED_HUMAN: "ada", ...options.env };
  const { policy } = loadPolicy(options.policy, "policy.yaml", env);
  const sealed: SealedEvent[] = [];
  const real = createJournal({
    directory: join(directory, "journal"),
    emitter: "test",
    env: {},
    epoch: {
      tenant: policy.tenant,
      mode: policy.mode,
      durability: policy.durability,
      gate: "in_process",
      server: { id: policy.server },
      policy: { digest: policy.digest, default: "deny" },
      runtime: { countersign: "0.0.0", node: process.versions.node, os: process.platform },
      coverage: () => ({ sdks: [] }),
    },
    ...options.journalOptions,
  });
  const journal = recording(options.journal?.(real) ?? real, sealed);
  const gate = createGate({
    policy,
    checker: options.checker ?? createChecker(policy.authorizer),
    identity:
      options.identity ??
      createIdentity(identityConfig(policy), { env, stateDirectory: join(directory, "state") }),
    journal,
    ...(options.clock === undefined ? {} : { clock: options.clock }),
    ...(options.limits === undefined ? {} : { limits: options.limits }),
    ...(options.log === undefined ? {} : { log: options.log }),
  });
  const data = (kind: string): readonly unknown[] =>
    sealed
      .map(({ event }) => event)
      .filter((event) => event.type.includes(`.${kind}.`))
      .map((event) => event.data);
  return {
    gate,
    journal,
    directory,
    sealed,
    decisions: () => data("decision") as readonly DecisionEvent["data"][],
    outcomes: () => data("outcome") as readonly OutcomeEvent["data"][],
    close: async () => {
      await gate.stop("shutdown", AbortSignal.timeout(1000));
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** The journal itself, but everything it sealed is kept for the test to look at. */
function recording(journal: Journal, sealed: SealedEvent[]): Journal {
  return {
    counters: journal.counters,
    append: async (draft, options) => {
      const event = await journal.append(draft, options);
      sealed.push(event);
      return event;
    },
    acknowledged: (event, timeoutMs) => journal.acknowledged(event, timeoutMs),
    noteUnrecorded: (count, sinceMs, untilMs) => journal.noteUnrecorded(count, sinceMs, untilMs),
    status: () => journal.status(),
    stop: (reason, deadline) => journal.stop(reason, deadline),
  };
}

/** A request as an adapter would hand it over. */
export function mcpCall(method: string, params?: unknown, more: Partial<McpCall> = {}): McpCall {
  return {
    method,
    params,
    requestId: 1,
    transport: "stdio",
    gate: "in_process",
    signal: new AbortController().signal,
    ...more,
  };
}

/** `tools/call`. */
export function toolCall(name: string, args: unknown, more: Partial<McpCall> = {}): McpCall {
  return mcpCall("tools/call", { name, arguments: args }, more);
}

/** As the authorizer is asked about `ada` where there are issuers. */
const ADA = "@user:urn=3Acountersign=3Aasserted/ada";
const ISSUER = `subject: "user:{human.issuer}/{human.subject}"
  issuers: [{ issuer: "https://idp.example", clients: [tickets-agent], algorithms: [ES256] }]`;

/** A policy for the asserted human `ada`, over relationships. `more` is YAML at the top level; if it asks for more than an assertion, there is an issuer. */
export function policyText(more: string, relationships: readonly string[] = []): string {
  const issuers = more.includes("minimum:");
  const tuples = relationships.map((tuple) => (issuers ? tuple.replace("@user:ada", ADA) : tuple));
  return `version: 1
server: urn:mcp:tickets
tenant: acme
${more.includes("mode:") ? "" : "mode: enforce"}
identity:
  minimum: asserted
  ${issuers ? ISSUER : 'subject: "user:{human.subject}"'}
authorizer: { relationships: [${tuples.map((tuple) => `"${tuple}"`).join(", ")}] }
default: deny
${more}
`;
}

/** The journal itself as a plain object, so that a test replaces one method of it by spreading. */
export function delegating(journal: Journal): Journal {
  return {
    counters: journal.counters,
    append: (draft, options) => journal.append(draft, options),
    acknowledged: (event, timeoutMs) => journal.acknowledged(event, timeoutMs),
    noteUnrecorded: (count, sinceMs, untilMs) => journal.noteUnrecorded(count, sinceMs, untilMs),
    status: () => journal.status(),
    stop: (reason, deadline) => journal.stop(reason, deadline),
  };
}

/** An authorizer that gives the same answer to every question. */
export function answering(answer: Partial<CheckAnswer>): Checker {
  const full: CheckAnswer = { verdict: "deny", engine: "relationships", durationUs: 1, ...answer };
  return {
    engine: "relationships",
    check: (requests) => Promise.resolve(requests.map(() => full)),
    probe: () => Promise.resolve({ ok: true, detail: "" }),
    close: () => Promise.resolve(),
  };
}

/** A policy with one entry of each kind, and what ada may. */
export const TOOLS = `
tools:
  read_ticket: { permission: read, resource: "ticket:{arguments.id}" }
  close_many: { permission: close, resource: "ticket:{arguments.ids[*]}" }
  move_ticket:
    - { permission: edit, resource: "ticket:{arguments.id}" }
    - { permission: add_ticket, resource: "queue:{arguments.team}/{arguments.queue}" }
  refund: { permission: read, resource: "ticket:{arguments.id}", minimum: call_bound }
resources:
  "ticket://{id}": { permission: read, resource: "ticket:{id}" }
prompts:
  "*": { permission: use, resource: "prompt:{name}" }
`;

/** See {@link TOOLS}. */
export const TUPLES: readonly string[] = [
  "ticket:T-1#read@user:ada",
  "ticket:T-2#read@user:ada",
  "ticket:T-1#close@user:ada",
  "ticket:T-2#close@user:ada",
  "ticket:T-1#edit@user:ada",
  "queue:red/billing=2Eeu#add_ticket@user:ada",
  "prompt:greet#use@user:ada",
];
