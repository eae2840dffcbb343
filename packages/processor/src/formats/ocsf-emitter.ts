// Outcomes, and what an emitter says of itself, in OCSF. Start and stop have a class of their own there (Application
// Lifecycle, 6002); one class for all our events keeps a chain together in one table.
import type {
  Counters,
  CountersignEvent,
  HeartbeatEvent,
  LostEvent,
  OutcomeEvent,
  SealedEvent,
  StartEvent,
  StopEvent,
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
import { endpointOf, serviceOf } from "./ocsf-decision.ts";

const GATE = "Countersign gate";

/** What became of a call; `correlation_uid` is the decision's `metadata.uid`. */
export function outcomeActivity(sealed: SealedEvent, event: OutcomeEvent, gist: Gist): Bag {
  const { data, traceparent } = event;
  const { call, status, rpcCode } = data;
  return {
    ...classify(event, gist, activityOf(call.method)),
    ...provenance(sealed, profilesOf(traceparent), {
      event_code: `outcome.${status}`,
      correlation_uid: data.decisionId,
    }),
    status_code: status,
    duration: Math.round(data.durationUs / 1000),
    actor: { app_name: GATE },
    api: {
      operation: call.method,
      ...(rpcCode === undefined ? undefined : { response: { code: rpcCode } }),
    },
    src_endpoint: { name: data.chain.emitter },
    ...traceOf(traceparent),
    unmapped: {
      status,
      tool: described(call.name),
      name_withheld: call.nameWithheld,
      span_id: traceparent?.slice(36, 52),
      trace_flags: traceparent?.slice(53),
      duration_us: data.durationUs,
      chain: chainOf(event),
    },
  };
}

/** First event of an epoch. */
export function startActivity(sealed: SealedEvent, event: StartEvent, gist: Gist): Bag {
  const { data } = event;
  const { server, policy, runtime, previous } = data;
  return {
    ...ofItself(sealed, gist, { activity: "Start", server, detail: `mode ${data.mode}` }),
    policy: { uid: policy.digest, is_applied: data.mode === "enforce" },
    unmapped: {
      epoch_number: data.epochNumber,
      previous:
        previous === undefined
          ? undefined
          : {
              epoch: previous.epoch,
              seq: previous.seq,
              hash: previous.hash,
              end: previous.end,
            },
      mode: data.mode,
      durability: data.durability,
      gate: data.gate,
      policy_default: policy.default,
      runtime: { countersign: runtime.countersign, node: runtime.node, os: runtime.os },
      sdks: data.coverage.sdks.map(({ package: name, version, format, patched }) => ({
        package: name,
        version,
        format,
        patched,
      })),
      audit_denied: data.auditDenied,
      chain: chainOf(event),
    },
  };
}

/** The emitter lives. */
export function heartbeatActivity(sealed: SealedEvent, event: HeartbeatEvent, gist: Gist): Bag {
  const { uptimeMs, counters, journal } = event.data;
  return {
    ...ofItself(sealed, gist, { activity: "Heartbeat" }),
    unmapped: {
      uptime_ms: uptimeMs,
      counters: countersOf(counters),
      journal: {
        bytes: journal.bytes,
        unacknowledged: journal.unacknowledged,
        oldest_unacknowledged_ms: journal.oldestUnacknowledgedMs,
      },
      chain: chainOf(event),
    },
  };
}

/** Something is missing. */
export function lostActivity(sealed: SealedEvent, event: LostEvent, gist: Gist): Bag {
  const { what, count, reason, records, calls } = event.data;
  return {
    ...ofItself(sealed, gist, { activity: "Lose", detail: reason }),
    unmapped: {
      what,
      count,
      reason,
      records:
        records === undefined
          ? undefined
          : { epoch: records.epoch, from_seq: records.fromSeq, to_seq: records.toSeq },
      calls: calls === undefined ? undefined : { since: calls.since, until: calls.until },
      chain: chainOf(event),
    },
  };
}

/** Last event of an epoch that ended in order. */
export function stopActivity(sealed: SealedEvent, event: StopEvent, gist: Gist): Bag {
  const { reason, uptimeMs, counters } = event.data;
  return {
    ...ofItself(sealed, gist, { activity: "Stop", detail: reason }),
    unmapped: {
      reason,
      uptime_ms: uptimeMs,
      counters: countersOf(counters),
      chain: chainOf(event),
    },
  };
}

interface Itself {
  readonly activity: string;
  readonly server?: StartEvent["data"]["server"];
  readonly detail?: string;
}

/** The gate acts here itself: it is the actor, and where the event comes from. */
function ofItself(sealed: SealedEvent, gist: Gist, { activity, server, detail }: Itself): Bag {
  const event: CountersignEvent = sealed.event;
  return {
    ...classify(event, gist, activity),
    ...provenance(sealed, ["security_control"], { event_code: gist.code }),
    status_code: gist.code,
    ...(detail === undefined ? undefined : { status_detail: detail }),
    actor: { app_name: GATE },
    api: {
      operation: activity.toLowerCase(),
      service: server === undefined ? { name: GATE } : serviceOf(server),
    },
    src_endpoint: { name: event.source.slice(event.source.lastIndexOf(":") + 1) },
    ...(server === undefined ? undefined : { dst_endpoint: endpointOf(server) }),
  };
}

function countersOf(counters: Readonly<Counters>): Bag {
  return {
    allow: counters.allow,
    deny: counters.deny,
    error: counters.error,
    outcomes: counters.outcomes,
    not_run: counters.notRun,
    audit_denied: counters.auditDenied,
    unrecorded: counters.unrecorded,
    withheld: counters.withheld,
    dropped_notifications: counters.droppedNotifications,
  };
}
