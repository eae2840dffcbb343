// Every kind of event, field by field, for the text formats. Who walks gets the values as they are: escaping is the format's.
import {
  type CountersignEvent,
  type EventKind,
  type FindingEvent,
  type HeartbeatEvent,
  type LostEvent,
  type OutcomeEvent,
  type SealedEvent,
  type StartEvent,
  type StopEvent,
  type WithheldEvent,
} from "@countersign/model";
import type { EventOf, Gist } from "./gist.ts";
import { type Put, putTrace } from "./text-put.ts";
import { walkDecision } from "./text-walk-decision.ts";

/** Puts the fields of an event; `brief`: without what is optional in the fields that hold JSON. */
export function walk(sealed: SealedEvent, gist: Gist, put: Put, brief: boolean): void {
  const { event, hash } = sealed;
  put("id", event.id);
  put("kind", gist.kind);
  put("action", gist.action);
  put("result", gist.result);
  put("tenant", event.data.tenant);
  walkChain(event, put);
  put("hash", hash);
  (WALKS[gist.kind] as Walk<CountersignEvent>)(event, put, brief);
  put("source", event.source);
  put("message", gist.message);
}

type Walk<Event> = (event: Event, put: Put, brief: boolean) => void;

const WALKS: { readonly [Kind in EventKind]: Walk<EventOf<Kind>> } = {
  decision: walkDecision,
  outcome: walkOutcome,
  start: walkStart,
  heartbeat: walkHeartbeat,
  lost: walkLost,
  stop: walkStop,
  withheld: walkWithheld,
  finding: walkFinding,
};

function walkChain(event: CountersignEvent, put: Put): void {
  const chain = "chain" in event.data ? event.data.chain : undefined;
  if (chain === undefined) return;
  put("emitter", chain.emitter);
  put("epoch", chain.epoch);
  put("seq", chain.seq);
  put("prev", chain.prev);
}

function walkOutcome({ data, traceparent }: OutcomeEvent, put: Put): void {
  put("reason", data.status);
  put("method", data.call.method);
  put("name", data.call.name);
  put("decisionId", data.decisionId);
  if (data.call.nameWithheld === true) put("nameWithheld", "true");
  put("durationUs", data.durationUs);
  put("rpcCode", data.rpcCode);
  putTrace(traceparent, put);
}

function walkStart({ data }: StartEvent, put: Put): void {
  const { previous, server, policy, runtime } = data;
  put("serverId", server.id);
  put("mode", data.mode);
  put("gate", data.gate);
  put("durability", data.durability);
  put("policyDigest", policy.digest);
  put("policyDefault", policy.default);
  put("epochNumber", data.epochNumber);
  if (previous !== undefined) {
    put("previousEpoch", previous.epoch);
    put("previousSeq", previous.seq);
    put("previousHash", previous.hash);
    put("previousEnd", previous.end);
  }
  put("auditDenied", data.auditDenied);
  put("serverName", server.name);
  put("serverVersion", server.version);
  const { countersign, node, os } = runtime;
  put("runtime", JSON.stringify({ countersign, node, os }));
  const sdks = data.coverage.sdks.map(({ package: name, version, format, patched }) => ({
    package: name,
    version,
    format,
    patched,
  }));
  put("sdks", JSON.stringify(sdks));
}

function walkHeartbeat({ data }: HeartbeatEvent, put: Put): void {
  const { bytes, unacknowledged, oldestUnacknowledgedMs } = data.journal;
  put("uptimeMs", data.uptimeMs);
  walkCounters(data.counters, put);
  put("journalBytes", bytes);
  put("unacknowledged", unacknowledged);
  put("oldestUnacknowledgedMs", oldestUnacknowledgedMs);
}

function walkCounters(counters: StopEvent["data"]["counters"], put: Put): void {
  put("allow", counters.allow);
  put("deny", counters.deny);
  put("error", counters.error);
  put("outcomes", counters.outcomes);
  put("notRun", counters.notRun);
  put("auditDenied", counters.auditDenied);
  put("unrecorded", counters.unrecorded);
  put("withheld", counters.withheld);
  put("droppedNotifications", counters.droppedNotifications);
}

function walkLost({ data: { reason, what, count, records, calls } }: LostEvent, put: Put): void {
  put("reason", reason);
  put("lost", what);
  put("count", count);
  put("lostEpoch", records?.epoch);
  put("fromSeq", records?.fromSeq);
  put("toSeq", records?.toSeq);
  put("since", calls?.since);
  put("until", calls?.until);
}

function walkStop({ data }: StopEvent, put: Put): void {
  put("reason", data.reason);
  put("uptimeMs", data.uptimeMs);
  walkCounters(data.counters, put);
}

function walkWithheld({ data: { of, detector, member } }: WithheldEvent, put: Put): void {
  put("reason", detector);
  put("detector", detector);
  put("member", member);
  put("ofEmitter", of.emitter);
  put("ofEpoch", of.epoch);
  put("ofSeq", of.seq);
  put("ofHash", of.hash);
}

function walkFinding({ data }: FindingEvent, put: Put): void {
  const { finding, of, missing, expected, clock, policy } = data;
  put("reason", finding);
  put("finding", finding);
  put("ofEmitter", of.emitter);
  put("ofEpoch", of.epoch);
  put("ofSeq", of.seq);
  put("ofHash", of.hash);
  put("ofId", of.id);
  put("ofSource", of.source);
  put("missing", missing?.what);
  put("missingFrom", missing?.from);
  put("missingTo", missing?.to);
  put("expectedHash", expected);
  put("clock", clock);
  put("policyDigest", policy?.digest);
}
