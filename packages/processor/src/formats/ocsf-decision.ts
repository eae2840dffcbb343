import type {
  Agent,
  Check,
  DecisionEvent,
  Human,
  ObjectRef,
  SealedEvent,
  ServerInfo,
} from "@countersign/model";
import type { Gist } from "./gist.ts";
import {
  activityOf,
  type Bag,
  chainOf,
  classify,
  described,
  profilesOf,
  provenance,
  traceOf,
} from "./ocsf-base.ts";

type Data = DecisionEvent["data"];

/** A decision as API Activity with the profiles `security_control` and `trace`. */
export function decisionActivity(sealed: SealedEvent, event: DecisionEvent, gist: Gist): Bag {
  const { data, traceparent } = event;
  const { call } = data;
  return {
    ...classify(event, gist, activityOf(call.method)),
    ...provenance(sealed, profilesOf(traceparent), {
      event_code: data.reason,
      correlation_uid: event.id,
    }),
    ...verdict(data),
    duration: Math.round(data.durationUs / 1000),
    actor: actorOf(data),
    api: apiOf(data),
    src_endpoint: {
      name: call.transport === "stdio" ? "MCP client over STDIO" : "MCP client over HTTP",
      svc_name: "mcp-client",
    },
    dst_endpoint: endpointOf(data.server),
    policy: {
      uid: data.policy.digest,
      ...nameOf(data.policy.rule),
      is_applied: data.mode === "enforce",
    },
    ...checksOf(data),
    ...traceOf(traceparent),
    observables: observablesOf(data),
    unmapped: unmappedOf(event),
  };
}

function nameOf(name: string | undefined): Bag | undefined {
  return name === undefined ? undefined : { name };
}

/** The MCP server as an endpoint. */
export function endpointOf({ id, name }: ServerInfo): Bag {
  return { name: described(name) ?? id, svc_name: id };
}

/** The MCP server as a service. */
export function serviceOf({ id, name, version }: ServerInfo): Bag {
  return {
    uid: id,
    ...nameOf(described(name)),
    ...(version === undefined ? undefined : { version: described(version) }),
  };
}

/** `action` says what was done, `disposition` why; a verdict that was not enforced was only observed. */
function verdict(data: Data): Bag {
  const { decision, effect, reason } = data;
  const [actionId, action] =
    effect === "block" ? [2, "Denied"] : decision === "allow" ? [1, "Allowed"] : [3, "Observed"];
  const [dispositionId, disposition] = dispositionOf(data);
  return {
    action,
    action_id: actionId,
    disposition,
    disposition_id: dispositionId,
    status_code: reason,
    status_detail: `${decision}: ${reason}`,
  };
}

function dispositionOf({ decision, effect, reason }: Data): readonly [number, string] {
  if (decision === "allow") return [1, "Allowed"];
  if (effect === "run") return [17, "Logged"];
  if (decision === "error") return [27, "Error"];
  return reason.startsWith("identity_") ? [26, "Unauthorized"] : [2, "Blocked"];
}

/** OCSF wants somebody: without a human and an agent it is said that there was none. */
function actorOf({ human, agent, checks }: Data): Bag {
  const who: Bag = { ...userOf(human), ...appOf(agent) };
  if (Object.keys(who).length === 0) return { invoked_by: "unidentified" };
  return checks === undefined ? who : { ...who, authorizations: checks.map(authorizationOf) };
}

function userOf(human: Human | undefined): Bag {
  if (human === undefined) return {};
  return {
    user: { uid: human.subject, type: "User", type_id: 1 },
    idp: { name: human.issuer, uid: human.issuer },
    session: { issuer: human.issuer },
  };
}

function appOf(agent: Agent | undefined): Bag {
  return {
    ...(agent?.claimed?.name === undefined ? {} : { app_name: described(agent.claimed.name) }),
    ...(agent?.id === undefined ? {} : { app_uid: agent.id }),
  };
}

function apiOf({ call, server }: Data): Bag {
  return {
    operation: call.method,
    service: serviceOf(server),
    ...(call.requestId === undefined ? undefined : { request: { uid: call.requestId } }),
    ...(call.protocolVersion === undefined ? undefined : { version: call.protocolVersion }),
  };
}

function authorizationOf(check: Check): Bag {
  return { decision: check.verdict, policy: { name: check.permission, type: check.engine } };
}

function checksOf({ checks }: Data): Bag {
  if (checks === undefined) return {};
  return { authorizations: checks.map(authorizationOf), resources: resourcesOf(checks) };
}

function resourcesOf(checks: readonly Check[]): readonly Bag[] {
  const distinct = new Map(
    checks.map(({ resource }) => [`${resource.type}:${resource.id}`, resource]),
  );
  return [...distinct.values()].map(({ type, id }) => ({ type, uid: id }));
}

function observablesOf({ human, checks }: Data): readonly Bag[] {
  const user =
    human === undefined
      ? []
      : [{ name: "actor.user.uid", type: "User UID", type_id: 31, value: human.subject }];
  const resources = resourcesOf(checks ?? []).map((resource, index) => ({
    name: `resources[${index}].uid`,
    type: "Resource UID",
    type_id: 10,
    value: resource["uid"],
  }));
  return [...user, ...resources];
}

function unmappedOf(event: DecisionEvent): Bag {
  const { data, traceparent } = event;
  const { call, human, agent, list } = data;
  return {
    mode: data.mode,
    decision: data.decision,
    effect: data.effect,
    evidence: data.evidence,
    gate: call.gate,
    transport: call.transport,
    tool: described(call.name),
    name_withheld: call.nameWithheld,
    params_digest: call.digest,
    span_id: traceparent?.slice(36, 52),
    trace_flags: traceparent?.slice(53),
    assurance: human?.assurance ?? "none",
    identity_method: human?.method,
    auth_time: human?.authTime,
    key_thumbprint: human?.binding?.jkt,
    token_id: human?.binding?.jti,
    token_sha256: human?.binding?.tokenSha256,
    agent_version: described(agent?.claimed?.version),
    delegation: agent?.actors?.map(({ issuer, subject }) => ({ issuer, subject })),
    list: list === undefined ? undefined : { offered: list.offered, shown: list.shown },
    checks: data.checks?.map(checkOf),
    duration_us: data.durationUs,
    chain: chainOf(event),
  };
}

/** A check whole: OCSF's authorization has no place for its subject, nor for what tells one answer from a later one. */
function checkOf(check: Check): Bag {
  return {
    permission: check.permission,
    resource: pairOf(check.resource),
    subject: pairOf(check.subject),
    verdict: check.verdict,
    reason: check.reason,
    engine: check.engine,
    consistency_token: check.consistencyToken,
    expires_at: check.expiresAt,
    context_keys: check.contextKeys,
    duration_us: check.durationUs,
  };
}

function pairOf({ type, id }: ObjectRef): string {
  return `${type}:${id}`;
}
