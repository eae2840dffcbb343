// Decisions and outcomes in ECS.
import {
  type Agent,
  type Check,
  deciding,
  type DecisionEvent,
  type Human,
  type ObjectRef,
  type OutcomeEvent,
  type RecordedCall,
} from "@countersign/model";
import { type Bag, chainOf, described, type EcsFields, serverOf, targetOf } from "./ecs-fields.ts";

/** The verdict of a call. */
export function decisionFields({ data, id, traceparent }: DecisionEvent): EcsFields {
  const { human, agent, call, policy, server } = data;
  const check = deciding(data.checks);
  return {
    event: {
      type: ["access", data.effect === "run" ? "allowed" : "denied"],
      action: call.method,
      reason: data.reason,
      duration: data.durationUs * 1000,
    },
    root: {
      ...personOf(human),
      rule: { name: policy.rule, id: policy.rule, ruleset: policy.digest },
      ...traceOf(traceparent),
      gen_ai: genAiOf(call, agent),
      service: targetOf(server),
    },
    ours: {
      chain: chainOf(data.chain),
      evidence: data.evidence,
      mode: data.mode,
      decision: data.decision,
      reason: data.reason,
      effect: data.effect,
      decision_id: id,
      call: decidedCallOf(call),
      trace_flags: traceparent?.slice(53),
      assurance: human?.assurance ?? "none",
      human: humanOf(human),
      agent: agentOf(agent),
      deciding: check === undefined ? undefined : checkOf(check),
      checks: severalOf(data.checks),
      list: listOf(data.list),
      server: serverOf(server),
      policy: { digest: policy.digest, rule: policy.rule },
    },
  };
}

/** What became of a call that was let through. */
export function outcomeFields({ data, traceparent }: OutcomeEvent): EcsFields {
  const { call, status, rpcCode } = data;
  return {
    event: {
      type: ["access", "end"],
      action: call.method,
      reason: status,
      duration: data.durationUs * 1000,
    },
    root: {
      ...traceOf(traceparent),
      gen_ai: genAiOf(call, undefined),
      error: rpcCode === undefined ? undefined : { code: String(rpcCode) },
    },
    ours: {
      chain: chainOf(data.chain),
      decision_id: data.decisionId,
      status,
      call: callOf(call),
      rpc_code: rpcCode,
      trace_flags: traceparent?.slice(53),
    },
  };
}

/** Only what the identity provider calls them: names and e-mails are never in an event. */
function personOf(human: Human | undefined): Bag | undefined {
  if (human === undefined) return undefined;
  return {
    user: { id: human.subject, domain: human.issuer },
    related: { user: [human.subject] },
  };
}

function humanOf(human: Human | undefined): Bag | undefined {
  if (human === undefined) return undefined;
  const { issuer, subject, method, authTime, binding } = human;
  return {
    issuer,
    subject,
    method,
    auth_time: authTime,
    key_thumbprint: binding?.jkt,
    token_id: binding?.jti,
    token_sha256: binding?.tokenSha256,
  };
}

function agentOf(agent: Agent | undefined): Bag | undefined {
  if (agent === undefined) return undefined;
  const { id, claimed, actors } = agent;
  return {
    id,
    claimed_name: described(claimed?.name),
    claimed_version: described(claimed?.version),
    actors: actors?.map(({ issuer, subject }) => ({ issuer, subject })),
  };
}

/** OpenTelemetry's names: a tool that was called, and the agent as it calls itself. */
function genAiOf(call: RecordedCall, agent: Agent | undefined): Bag | undefined {
  const isTool = call.method === "tools/call";
  if (!isTool && agent === undefined) return undefined;
  return {
    operation: isTool ? { name: "execute_tool" } : undefined,
    tool: isTool ? { name: described(call.name) } : undefined,
    agent: agent === undefined ? undefined : { id: agent.id, name: described(agent.claimed?.name) },
  };
}

function callOf({ method, name, nameWithheld }: RecordedCall): Bag {
  return { method, name: described(name), name_withheld: nameWithheld };
}

function decidedCallOf(call: DecisionEvent["data"]["call"]): Bag {
  return {
    method: call.method,
    name: described(call.name),
    name_withheld: call.nameWithheld,
    transport: call.transport,
    gate: call.gate,
    protocol_version: call.protocolVersion,
    request_id: call.requestId,
    params_digest: call.digest,
  };
}

/** One check is the deciding one, and stands there already. */
function severalOf(checks: readonly Check[] | undefined): readonly Bag[] | undefined {
  return checks === undefined || checks.length === 1 ? undefined : checks.map(checkOf);
}

function checkOf(check: Check): Bag {
  return {
    permission: check.permission,
    resource: objectOf(check.resource),
    subject: objectOf(check.subject),
    verdict: check.verdict,
    reason: check.reason,
    engine: check.engine,
    consistency_token: check.consistencyToken,
    expires_at: check.expiresAt,
    context_keys: check.contextKeys,
    duration_us: check.durationUs,
  };
}

function objectOf({ type, id }: ObjectRef): Bag {
  return { type, id };
}

function listOf(list: DecisionEvent["data"]["list"]): Bag | undefined {
  return list === undefined ? undefined : { offered: list.offered, shown: list.shown };
}

/** `00-<trace>-<span>-<flags>` */
function traceOf(traceparent: string | undefined): Bag | undefined {
  if (traceparent === undefined) return undefined;
  return { trace: { id: traceparent.slice(3, 35) }, span: { id: traceparent.slice(36, 52) } };
}
