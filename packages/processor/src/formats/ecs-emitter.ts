// What an emitter says of itself, in ECS.
import type {
  Counters,
  HeartbeatEvent,
  LostEvent,
  SdkCoverage,
  StartEvent,
  StopEvent,
} from "@countersign/model";
import { type Bag, chainOf, type EcsFields, serverOf, targetOf } from "./ecs-fields.ts";

/** First event of an epoch: what runs, under which policy, and how the epoch before ended. */
export function startFields({ data }: StartEvent): EcsFields {
  const { server, policy, runtime, previous } = data;
  return {
    event: { type: ["start"], action: "start", reason: data.mode },
    root: { service: targetOf(server), rule: { ruleset: policy.digest } },
    ours: {
      chain: chainOf(data.chain),
      epoch_number: data.epochNumber,
      previous: previousOf(previous),
      mode: data.mode,
      durability: data.durability,
      gate: data.gate,
      server: serverOf(server),
      policy: { digest: policy.digest, default: policy.default },
      runtime: { countersign: runtime.countersign, node: runtime.node, os: runtime.os },
      sdks: data.coverage.sdks.map(sdkOf),
      audit_denied: data.auditDenied,
    },
  };
}

/** The emitter lives. */
export function heartbeatFields({ data }: HeartbeatEvent): EcsFields {
  const { bytes, unacknowledged, oldestUnacknowledgedMs } = data.journal;
  return {
    event: { kind: "metric", type: ["info"], action: "heartbeat" },
    root: {},
    ours: {
      chain: chainOf(data.chain),
      uptime_ms: data.uptimeMs,
      counters: countersOf(data.counters),
      journal: { bytes, unacknowledged, oldest_unacknowledged_ms: oldestUnacknowledgedMs },
    },
  };
}

/** Something is missing, and this says how much. */
export function lostFields({ data }: LostEvent): EcsFields {
  const { records, calls } = data;
  return {
    event: { type: ["info"], action: "lost", reason: data.reason },
    root: {},
    ours: {
      chain: chainOf(data.chain),
      lost: {
        what: data.what,
        count: data.count,
        epoch: records?.epoch,
        from_seq: records?.fromSeq,
        to_seq: records?.toSeq,
        since: calls?.since,
        until: calls?.until,
      },
    },
  };
}

/** Last event of an epoch that ended in order. */
export function stopFields({ data }: StopEvent): EcsFields {
  return {
    event: { type: ["end"], action: "stop", reason: data.reason },
    root: {},
    ours: {
      chain: chainOf(data.chain),
      uptime_ms: data.uptimeMs,
      counters: countersOf(data.counters),
    },
  };
}

function previousOf(previous: StartEvent["data"]["previous"]): Bag | undefined {
  if (previous === undefined) return undefined;
  return { epoch: previous.epoch, seq: previous.seq, hash: previous.hash, end: previous.end };
}

function sdkOf({ package: name, version, format, patched }: SdkCoverage): Bag {
  return { package: name, version, format, patched };
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
