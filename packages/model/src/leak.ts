// Where the detectors look in an event (contract, section 3): free text only. Builders withhold what they find, the gate
// denies on a leak in an id before it sends anything, and intake looks again with the same rules.
import type { CountersignEvent, ObjectRef } from "./event.ts";
import { detect, detectInId } from "./detect.ts";
import type { Detector } from "./detect/scan.ts";
import { unescapeObjectId } from "./object-id.ts";
import type { UnknownMember } from "./unknown-members.ts";

/** A value that must not be in an event: which detector fired, and the path of the member, never the value. */
export interface Leak {
  readonly detector: Detector;
  readonly member: string;
}

/**
 * The first id in which a detector fires, unescaped. E-mails are legitimate ids; card numbers count by brand and length
 * only, since one in ten long numbers passes Luhn. The gate denies such a call (`resource_invalid`) and sends nothing.
 */
export function leakInIds(
  checks: readonly { readonly resource: ObjectRef; readonly subject: ObjectRef }[],
): Leak | undefined {
  for (let index = 0; index < checks.length; index += 1) {
    const { resource, subject } = checks[index] as (typeof checks)[number];
    const ofResource = leakInId(resource.id);
    if (ofResource !== undefined)
      return { detector: ofResource, member: `checks[${index}].resource.id` };
    const ofSubject = leakInId(subject.id);
    if (ofSubject !== undefined)
      return { detector: ofSubject, member: `checks[${index}].subject.id` };
  }
  return undefined;
}

function leakInId(id: string): Detector | undefined {
  return detectInId(id) ?? (id.includes("=") ? detectInId(unescapeObjectId(id) ?? id) : undefined);
}

/** The first leak in members that this version does not know: what in them is free text nobody can say, their names included. */
export function leakInUnknown(members: readonly UnknownMember[]): Leak | undefined {
  for (const { parent, name, value } of members) {
    for (const text of [name, ...textsIn(value)]) {
      const leak = leakIn(parent === "" ? "event" : parent, text);
      if (leak !== undefined) return leak;
    }
  }
  return undefined;
}

/** An event is at most 32 KiB, and canonical JSON has its own bound of depth. */
function* textsIn(value: unknown): Generator<string> {
  if (typeof value === "string") yield value;
  else if (typeof value === "number") yield String(value);
  else if (typeof value === "object" && value !== null) {
    for (const [name, member] of Object.entries(value)) {
      yield name;
      yield* textsIn(member);
    }
  }
}

interface Texts {
  readonly call?: { readonly method?: unknown; readonly name?: unknown };
  readonly agent?: { readonly claimed?: { readonly name?: unknown; readonly version?: unknown } };
  readonly server?: { readonly name?: unknown; readonly version?: unknown };
  readonly checks?: readonly { readonly resource: ObjectRef; readonly subject: ObjectRef }[];
}

/** The first leak in an event that is valid by the open schema, else undefined. Intake quarantines an event with one. */
export function findLeak(event: CountersignEvent): Leak | undefined {
  const { call, agent, server, checks } = event.data as Texts;
  const inTexts =
    leakIn("subject", "subject" in event ? event.subject : undefined) ??
    leakIn("data.call.method", call?.method) ??
    leakIn("data.call.name", call?.name) ??
    leakIn("data.agent.claimed.name", agent?.claimed?.name) ??
    leakIn("data.agent.claimed.version", agent?.claimed?.version) ??
    leakIn("data.server.name", server?.name) ??
    leakIn("data.server.version", server?.version);
  if (inTexts !== undefined || checks === undefined) return inTexts;
  const inIds = leakInIds(checks);
  return inIds && { detector: inIds.detector, member: `data.${inIds.member}` };
}

/** Texts that hold nothing for a detector: the same few names and versions come with nearly every event. */
const clean = new Set<string>();
const MAX_CLEAN = 2048;
const MAX_CLEAN_CHARACTERS = 256;

function leakIn(member: string, text: unknown): Leak | undefined {
  if (typeof text !== "string" || clean.has(text)) return undefined;
  const detector = detect(text);
  if (detector !== undefined) return { detector, member };
  if (text.length <= MAX_CLEAN_CHARACTERS) {
    if (clean.size >= MAX_CLEAN) clean.clear();
    clean.add(text);
  }
  return undefined;
}
