import type { Agent, Check, DecisionEvent, Human, SealedEvent } from "@countersign/model";
import { classify, OCSF, provenance } from "./ocsf-base.ts";

type Bag = Readonly<Record<string, unknown>>;
type Data = DecisionEvent["data"];

const READS = /^(?:resources\/|prompts\/|completion\/|tools\/list$)/;

/** A decision as API Activity with the profiles `security_control` and `trace`. */
export function decisionActivity(sealed: SealedEvent, event: DecisionEvent): Bag {
  const { data, traceparent } = event;
  const { call } = data;
  const reads = READS.test(call.method);
  const sequence = data.chain === undefined ? {} : { sequence: data.chain.seq };
  const profiles = ["security_control", ...(traceparent === undefined ? [] : ["trace"])];
  return {
    ...classify(event, {
      activity: reads ? OCSF.read : OCSF.other,
      activityName: reads ? "Read" : "Invoke",
      severity: severityOf(data),
    }),
    ...provenance(sealed, profiles, { ...sequence, event_code: data.reason }),
    ...verdict(data),
    message: `${data.decision} ${event.subject ?? call.method}: ${data.reason}`,
    duration: Math.round(data.durationUs / 1000),
    actor: actorOf(data),
    api: apiOf(data),
    src_endpoint: {
      name: call.transport === "stdio" ? "MCP client over STDIO" : "MCP client over HTTP",
      svc_name: "mcp-client",
    },
    dst_endpoint: { name: data.server.name ?? data.server.id, svc_name: data.server.id },
    policy: {
      uid: data.policy.digest,
      ...nameOf(data.policy.rule),
      is_applied: data.mode === "enforce",
    },
    ...checksOf(data),
    ...(traceparent === undefined ? {} : { trace: { uid: traceparent.slice(3, 35) } }),
    observables: observablesOf(data),
    unmapped: unmappedOf(event),
  };
}

function nameOf(name: string | undefined): Bag {
  return name === undefined ? {} : { name };
}

function severityOf(data: Data): readonly [number, string] {
  if (data.decision === "allow") return OCSF.informational;
  return data.decision === "deny" ? OCSF.low : OCSF.medium;
}

/** `action` says what was done, `disposition` why; a verdict that was not enforced was only observed. */
function verdict(data: Data): Bag {
  const { decision, effect, reason } = data;
  const [actionId, action] =
    effect === "block" ? [2, "Denied"] : decision === "allow" ? [1, "Allowed"] : [3, "Observed"];
  const [dispositionId, disposition] = dispositionOf(data);
  const [statusId, status] = effect === "run" ? OCSF.success : OCSF.failure;
  return {
    action,
    action_id: actionId,
    disposition,
    disposition_id: dispositionId,
    status,
    status_id: statusId,
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
    ...(agent?.claimed?.name === undefined ? {} : { app_name: agent.claimed.name }),
    ...(agent?.id === undefined ? {} : { app_uid: agent.id }),
  };
}

function apiOf({ call, server }: Data): Bag {
  return {
    operation: call.method,
    service: {
      uid: server.id,
      ...nameOf(server.name),
      ...(server.version === undefined ? {} : { version: server.version }),
    },
    ...(call.requestId === undefined ? {} : { request: { uid: call.requestId } }),
    ...(call.protocolVersion === undefined ? {} : { version: call.protocolVersion }),
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

/** What OCSF 1.8.0 has no home for, under our own names. */
function unmappedOf({ data }: DecisionEvent): Bag {
  const { call, human, agent } = data;
  return Object.fromEntries(
    Object.entries({
      mode: data.mode,
      effect: data.effect,
      evidence: data.evidence,
      gate: call.gate,
      transport: call.transport,
      tool: call.name,
      name_withheld: call.nameWithheld,
      params_digest: call.digest,
      assurance: human?.assurance ?? "none",
      identity_method: human?.method,
      agent_version: agent?.claimed?.version,
      delegation: agent?.actors,
      list: data.list,
      subjects: data.checks?.map(({ subject }) => `${subject.type}:${subject.id}`),
      chain: data.chain,
    }).filter(([, value]) => value !== undefined),
  );
}
