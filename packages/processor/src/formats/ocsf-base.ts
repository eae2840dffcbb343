// What all our OCSF events have in common (1.8.0, class API Activity). What OCSF has no home for stands under `unmapped`, where
// members that are `undefined` are left out by JSON; elsewhere the schema wants them not to be there.
import type { CountersignEvent, SealedEvent } from "@countersign/model";
import type { Gist, Result, Severity } from "./gist.ts";
import { unformula } from "./text.ts";
import { eventMilliseconds } from "./time.ts";

/** Part of an activity. */
export type Bag = Readonly<Record<string, unknown>>;

const CLASS_UID = 6003;

const SEVERITIES: Readonly<Record<Severity, string>> = {
  1: "Informational",
  2: "Low",
  3: "Medium",
  4: "High",
  5: "Critical",
};

const STATUSES: Readonly<Record<Result, readonly [number, string]>> = {
  success: [1, "Success"],
  failure: [2, "Failure"],
  unknown: [0, "Unknown"],
};

/**
 * Class, category, type, time, severity, status. `type_uid` = class × 100 + activity: no schema checks that.
 * @param activity "Read", or a name of ours: OCSF knows none of them, so the number is 99
 */
export function classify(event: CountersignEvent, gist: Gist, activity: string): Bag {
  const activityId = activity === "Read" ? 2 : 99;
  const [statusId, status] = STATUSES[gist.result];
  return {
    activity_id: activityId,
    activity_name: activity,
    category_name: "Application Activity",
    category_uid: 6,
    class_name: "API Activity",
    class_uid: CLASS_UID,
    message: gist.message,
    severity: SEVERITIES[gist.severity],
    severity_id: gist.severity,
    status,
    status_id: statusId,
    time: eventMilliseconds(event.time),
    type_name: `API Activity: ${activityId === 2 ? "Read" : "Other"}`,
    type_uid: CLASS_UID * 100 + activityId,
  };
}

const READS = /^(?:resources\/|prompts\/|completion\/|tools\/list$)/;

/** What a call does, as far as its method tells: tools may do anything. */
export function activityOf(method: string): string {
  return READS.test(method) ? "Read" : "Invoke";
}

/** `metadata` and the fingerprint of the sealed bytes. */
export function provenance(
  sealed: SealedEvent,
  profiles: readonly string[],
  more: {
    readonly event_code: string;
    readonly correlation_uid?: string;
    readonly sequence?: number;
  },
): Bag {
  const { event, bytes, hash } = sealed;
  return {
    metadata: {
      uid: event.id,
      version: "1.8.0",
      product: { name: "Countersign", vendor_name: "Countersign" },
      profiles,
      tenant_uid: event.data.tenant,
      original_time: event.time,
      log_format: event.type,
      log_source: event.source,
      ...sequenceOf(event),
      ...more,
    },
    raw_data_hash: { algorithm: "SHA-256", algorithm_id: 3, value: hash },
    raw_data_size: bytes.length,
  };
}

function sequenceOf(event: CountersignEvent): Bag | undefined {
  const chain = "chain" in event.data ? event.data.chain : undefined;
  return chain === undefined ? undefined : { sequence: chain.seq };
}

/** Place in the chain, member by member: what a later version adds passes unmapped. */
export function chainOf(event: CountersignEvent): Bag | undefined {
  const chain = "chain" in event.data ? event.data.chain : undefined;
  if (chain === undefined) return undefined;
  return { emitter: chain.emitter, epoch: chain.epoch, seq: chain.seq, prev: chain.prev };
}

/** Profile `trace`; a span would want its start and end. */
export function traceOf(traceparent: string | undefined): Bag | undefined {
  return traceparent === undefined ? undefined : { trace: { uid: traceparent.slice(3, 35) } };
}

/** `security_control`, and `trace` where there is one. */
export function profilesOf(traceparent: string | undefined): readonly string[] {
  return traceparent === undefined ? ["security_control"] : ["security_control", "trace"];
}

/** Text that describes: no spreadsheet takes it for a formula. */
export function described(text: string | undefined): string | undefined {
  return text === undefined ? undefined : unformula(text);
}
