// Bounds of the event (contract, section 3), in bytes of UTF-8. Identifying values over a bound deny the call;
// descriptive ones are cut.
import type { Agent, Check, Human } from "./event.ts";
import { byteLength, neutralise } from "./neutralise.ts";

/** Bounds of an event, in bytes of UTF-8 or in items. */
export const BOUNDS = {
  stringBytes: 256,
  issuerBytes: 512,
  objectIdBytes: 1024,
  consistencyTokenBytes: 512,
  tenantBytes: 64,
  permissionBytes: 64,
  jtiBytes: 128,
  versionBytes: 64,
  checks: 32,
  actors: 8,
  contextKeys: 16,
  sdks: 16,
  eventBytes: 32_768,
} as const;

/** Room that what identifies (human, agent, checks) may take, as JSON; the rest of an event always fits beside it. */
const IDENTIFYING_BYTES = 21_504;

/** Keys and the members of a check that do not identify, without the token and the context keys. */
const CHECK_OVERHEAD_BYTES = 240;

function fits(text: string | undefined, maxBytes: number): boolean {
  return text === undefined || (text !== "" && byteLength(neutralise(text)) <= maxBytes);
}

function jsonBytes(text: string | undefined): number {
  return text === undefined ? 0 : byteLength(JSON.stringify(neutralise(text)));
}

/** What identifies in a decision: who, for whom, on what. */
export interface Identifying {
  readonly human?: Human | undefined;
  readonly agent?: Agent | undefined;
  readonly checks?: readonly Pick<Check, "permission" | "resource" | "subject">[] | undefined;
}

/**
 * Path of the first identifying value that does not fit into an event, else undefined. The gate asks before it sends
 * anything: over a bound in `human` or `agent` is `identity_invalid`, in `checks` `too_many_checks` (more than 32, or
 * together too large) or `resource_invalid` (one id). {@link draftDecision} refuses such values as a bug.
 */
export function overBound(parts: Identifying): string | undefined {
  return (
    humanOverBound(parts.human) ??
    agentOverBound(parts.agent) ??
    checksOverBound(parts.checks ?? []) ??
    (identifyingBytes(parts) > IDENTIFYING_BYTES ? "checks" : undefined)
  );
}

function humanOverBound(human: Human | undefined): string | undefined {
  if (human === undefined) return undefined;
  if (!fits(human.issuer, BOUNDS.issuerBytes)) return "human.issuer";
  if (!fits(human.subject, BOUNDS.stringBytes)) return "human.subject";
  if (!fits(human.binding?.jti, BOUNDS.jtiBytes)) return "human.binding.jti";
  return undefined;
}

function agentOverBound(agent: Agent | undefined): string | undefined {
  if (!fits(agent?.id, BOUNDS.stringBytes)) return "agent.id";
  const actors = agent?.actors ?? [];
  if (actors.length > BOUNDS.actors) return "agent.actors";
  const bad = actors.findIndex(
    (actor) => !fits(actor.issuer, BOUNDS.issuerBytes) || !fits(actor.subject, BOUNDS.stringBytes),
  );
  return bad < 0 ? undefined : `agent.actors[${bad}]`;
}

function checksOverBound(checks: NonNullable<Identifying["checks"]>): string | undefined {
  if (checks.length > BOUNDS.checks) return "checks";
  const bad = checks.findIndex(
    ({ permission, resource, subject }) =>
      !fits(permission, BOUNDS.permissionBytes) ||
      !fits(resource.id, BOUNDS.objectIdBytes) ||
      !fits(subject.id, BOUNDS.objectIdBytes) ||
      resource.type.length > 128 ||
      subject.type.length > 128,
  );
  return bad < 0 ? undefined : `checks[${bad}]`;
}

function identifyingBytes({ human, agent, checks = [] }: Identifying): number {
  let bytes = jsonBytes(human?.issuer) + jsonBytes(human?.subject) + jsonBytes(agent?.id);
  for (const actor of agent?.actors ?? []) {
    bytes += jsonBytes(actor.issuer) + jsonBytes(actor.subject) + 24;
  }
  for (const { permission, resource, subject } of checks) {
    bytes +=
      CHECK_OVERHEAD_BYTES +
      jsonBytes(permission) +
      resource.id.length +
      resource.type.length +
      subject.id.length +
      subject.type.length;
  }
  return bytes;
}
