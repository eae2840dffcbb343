// A decision, field by field, for the text formats.
import {
  type Agent,
  type Check,
  deciding,
  type DecisionEvent,
  type Human,
} from "@countersign/model";
import { type Put, putTrace } from "./text-put.ts";

/** What people search for first; several checks follow as JSON behind the deciding one. */
export function walkDecision(event: DecisionEvent, put: Put, brief: boolean): void {
  const { data, id, traceparent } = event;
  const { call, human, agent, checks, list, server, policy } = data;
  const check = deciding(checks);
  put("reason", data.reason);
  put("subject", human?.subject);
  put("person", human?.subject);
  put("issuer", human?.issuer);
  put("assurance", human?.assurance ?? "none");
  put("method", call.method);
  put("name", call.name);
  if (check !== undefined) {
    put("permission", check.permission);
    put("resource", `${check.resource.type}:${check.resource.id}`);
  }
  put("rule", policy.rule);
  put("serverId", server.id);
  put("agentId", agent?.id);
  put("decisionId", id);
  put("evidence", data.evidence);
  put("mode", data.mode);
  put("decision", data.decision);
  put("effect", data.effect);
  walkCall(call, put);
  putTrace(traceparent, put);
  walkHuman(human, put);
  walkAgent(agent, put);
  if (check !== undefined) walkCheck(check, put);
  if (checks !== undefined && checks.length > 1) put("checks", checksJson(checks, brief));
  put("listOffered", list?.offered);
  put("listShown", list?.shown);
  put("policyDigest", policy.digest);
  put("durationUs", data.durationUs);
  put("serverName", server.name);
  put("serverVersion", server.version);
}

function walkCall(call: DecisionEvent["data"]["call"], put: Put): void {
  put("transport", call.transport);
  put("gate", call.gate);
  if (call.nameWithheld === true) put("nameWithheld", "true");
  put("protocolVersion", call.protocolVersion);
  put("requestId", call.requestId);
  put("paramsDigest", call.digest);
}

function walkHuman(human: Human | undefined, put: Put): void {
  if (human === undefined) return;
  put("identityMethod", human.method);
  put("authTime", human.authTime);
  put("keyThumbprint", human.binding?.jkt);
  put("tokenId", human.binding?.jti);
  put("tokenSha256", human.binding?.tokenSha256);
}

function walkAgent(agent: Agent | undefined, put: Put): void {
  if (agent === undefined) return;
  const actors = agent.actors?.map(({ issuer, subject }) => ({ issuer, subject }));
  if (actors !== undefined) put("actors", JSON.stringify(actors));
  put("agentName", agent.claimed?.name);
  put("agentVersion", agent.claimed?.version);
}

function walkCheck(check: Check, put: Put): void {
  put("checkSubject", `${check.subject.type}:${check.subject.id}`);
  put("verdict", check.verdict);
  put("checkReason", check.reason);
  put("engine", check.engine);
  put("expiresAt", check.expiresAt);
  put("consistencyToken", check.consistencyToken);
  if (check.contextKeys !== undefined) put("contextKeys", JSON.stringify(check.contextKeys));
  put("checkDurationUs", check.durationUs);
}

/** The members that the event has, `brief` without those that describe. */
function checksJson(checks: readonly Check[], brief: boolean): string {
  return JSON.stringify(
    checks.map(
      ({ permission, resource, subject, verdict, reason, engine, expiresAt, ...more }) => ({
        permission,
        resource: `${resource.type}:${resource.id}`,
        subject: `${subject.type}:${subject.id}`,
        verdict,
        reason,
        engine,
        expiresAt,
        ...(brief
          ? undefined
          : {
              consistencyToken: more.consistencyToken,
              contextKeys: more.contextKeys,
              durationUs: more.durationUs,
            }),
      }),
    ),
  );
}
