// Parts of events, each built in the member order of RFC 8785, so that sealing is one JSON.stringify.
import { BOUNDS } from "./bounds.ts";
import type {
  Agent,
  Check,
  Counters,
  DecisionCall,
  Human,
  ObjectRef,
  Principal,
  RecordedCall,
  SdkCoverage,
  ServerInfo,
} from "./event.ts";
import {
  claimed,
  descriptive,
  identifying,
  methodForm,
  nameForm,
  protocolVersionText,
  requestIdText,
  type Withholding,
} from "./free-text.ts";
import { boundText } from "./neutralise.ts";
import { isObjectId } from "./object-id.ts";
import { CountersignError } from "./error.ts";

/** An object under construction; members are set in order, absent ones not at all. */
export type Members<T> = { -readonly [Key in keyof T]?: T[Key] };

/** A count or a duration as events have it: a whole number, 0 or more. */
export function whole(value: number): number {
  return value > 0 && value <= Number.MAX_SAFE_INTEGER ? Math.round(value) : 0;
}

/** The call of a decision, as the gate has it. */
export interface CallFields extends Omit<DecisionCall, "requestId"> {
  /** As received; recorded only in the form of contract section 3. */
  readonly requestId?: string | number | undefined;
}

export function decisionCall(
  fields: CallFields,
  nameKnown: boolean,
  count: Withholding,
): DecisionCall {
  const call: Members<DecisionCall> = {};
  if (fields.digest !== undefined) call.digest = fields.digest;
  call.gate = fields.gate;
  recordCall(call, fields, nameKnown ? "known" : "unknown", count);
  const protocolVersion = protocolVersionText(fields.protocolVersion);
  if (protocolVersion !== undefined) call.protocolVersion = protocolVersion;
  const requestId = requestIdText(fields.requestId);
  if (requestId !== undefined) call.requestId = requestId;
  call.transport = fields.transport;
  return call as DecisionCall;
}

export function outcomeCall(fields: RecordedCall, count: Withholding): RecordedCall {
  const call: Members<RecordedCall> = {};
  recordCall(call, fields, "recorded", count);
  return call as RecordedCall;
}

function recordCall(
  call: Members<RecordedCall>,
  fields: RecordedCall,
  source: "known" | "unknown" | "recorded",
  count: Withholding,
): void {
  call.method = methodForm(fields.method, count);
  if (fields.nameWithheld === true) call.nameWithheld = true;
  else Object.assign(call, nameForm(fields.name, source, count));
}

/** `<method>/<name>`; the method alone without a recorded name. */
export function callSubject(call: RecordedCall): string {
  const subject = call.name === undefined ? call.method : `${call.method}/${call.name}`;
  // Both are neutral already: only the bound is left to do.
  return boundText(subject, BOUNDS.stringBytes);
}

export function humanPart(human: Human): Human {
  const part: Members<Human> = { assurance: human.assurance };
  if (human.authTime !== undefined) part.authTime = human.authTime;
  if (human.binding !== undefined) {
    const { jkt, jti, tokenSha256 } = human.binding;
    const binding: Members<NonNullable<Human["binding"]>> = {};
    if (jkt !== undefined) binding.jkt = jkt;
    if (jti !== undefined) binding.jti = identifying("human.binding.jti", jti, BOUNDS.jtiBytes);
    if (tokenSha256 !== undefined) binding.tokenSha256 = tokenSha256;
    part.binding = binding;
  }
  part.issuer = identifying("human.issuer", human.issuer, BOUNDS.issuerBytes);
  part.method = human.method;
  part.subject = identifying("human.subject", human.subject, BOUNDS.stringBytes);
  return part as Human;
}

/** The agent, or undefined when nothing of it may be recorded. */
export function agentPart(agent: Agent, count: Withholding): Agent | undefined {
  const part: Members<Agent> = {};
  if (agent.actors !== undefined && agent.actors.length > 0) {
    if (agent.actors.length > BOUNDS.actors) {
      throw new CountersignError("BUG", `draft: more than ${BOUNDS.actors} actors`);
    }
    part.actors = agent.actors.map(principal);
  }
  const name = claimed(agent.claimed?.name, count);
  const version = claimed(agent.claimed?.version, count);
  if (name !== undefined || version !== undefined) {
    part.claimed = {
      ...(name === undefined ? {} : { name }),
      ...(version === undefined ? {} : { version }),
    };
  }
  if (agent.id !== undefined) part.id = identifying("agent.id", agent.id, BOUNDS.stringBytes);
  return Object.keys(part).length === 0 ? undefined : part;
}

function principal({ issuer, subject }: Principal): Principal {
  return {
    issuer: identifying("agent.actors issuer", issuer, BOUNDS.issuerBytes),
    subject: identifying("agent.actors subject", subject, BOUNDS.stringBytes),
  };
}

/** One check. `brief` leaves out what only describes: for events that would be too large. */
export function checkPart(check: Check, brief: boolean): Check {
  const part: Members<Check> = {};
  const token = check.consistencyToken;
  if (
    !brief &&
    token !== undefined &&
    token !== "" &&
    token.length <= BOUNDS.consistencyTokenBytes
  ) {
    // Opaque: a cut token is no token, so one over the bound is left out.
    part.consistencyToken = identifying("consistencyToken", token, BOUNDS.consistencyTokenBytes);
  }
  const keys = brief ? [] : contextKeys(check.contextKeys ?? []);
  if (keys.length > 0) part.contextKeys = keys;
  part.durationUs = whole(check.durationUs);
  part.engine = check.engine;
  if (check.expiresAt !== undefined) part.expiresAt = check.expiresAt;
  part.permission = identifying("permission", check.permission, BOUNDS.permissionBytes);
  if (check.reason !== undefined) part.reason = check.reason;
  part.resource = objectPart(check.resource);
  part.subject = objectPart(check.subject);
  part.verdict = check.verdict;
  return part as Check;
}

function contextKeys(keys: readonly string[]): readonly string[] {
  const fit = keys.map((key) => descriptive(key, BOUNDS.permissionBytes));
  return [...new Set(fit.filter((key) => key !== undefined))].slice(0, BOUNDS.contextKeys);
}

function objectPart({ type, id }: ObjectRef): ObjectRef {
  if (!isObjectId(id)) throw new CountersignError("BUG", "draft: an object id is not encoded");
  return { id, type };
}

export function serverPart(server: ServerInfo, count: Withholding): ServerInfo {
  const part: Members<ServerInfo> = {
    id: identifying("server.id", server.id, BOUNDS.stringBytes),
  };
  const name = claimed(server.name, count);
  if (name !== undefined) part.name = name;
  const version = claimed(server.version, count);
  if (version !== undefined) part.version = version;
  return part as ServerInfo;
}

export function countersPart(counters: Readonly<Counters>): Counters {
  return {
    allow: counters.allow,
    auditDenied: counters.auditDenied,
    deny: counters.deny,
    droppedNotifications: counters.droppedNotifications,
    error: counters.error,
    notRun: counters.notRun,
    outcomes: counters.outcomes,
    unrecorded: counters.unrecorded,
    withheld: counters.withheld,
  };
}

export function sdkPart(sdk: SdkCoverage): SdkCoverage {
  return {
    format: sdk.format,
    package: descriptive(sdk.package) ?? "unknown",
    patched: sdk.patched,
    version: descriptive(sdk.version, BOUNDS.versionBytes) ?? "unknown",
  };
}
