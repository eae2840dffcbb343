// What all our OCSF events have in common (1.8.0, class API Activity).
import { eventMilliseconds } from "./time.ts";
import type { CountersignEvent, SealedEvent } from "@countersign/model";

/** OCSF enumerations that are used here: number and caption. */
export const OCSF = {
  read: [2, "Read"],
  other: [99, "Other"],
  informational: [1, "Informational"],
  low: [2, "Low"],
  medium: [3, "Medium"],
  high: [4, "High"],
  success: [1, "Success"],
  failure: [2, "Failure"],
} as const;

const CLASS_UID = 6003;

/** Activity, severity and the name of the activity, if it is none of OCSF's. */
export interface Classification {
  readonly activity: readonly [number, string];
  readonly activityName: string;
  readonly severity: readonly [number, string];
}

/** Class, category, type, time, severity. `type_uid` = class × 100 + activity: no schema checks that. */
export function classify(
  event: CountersignEvent,
  how: Classification,
): Readonly<Record<string, unknown>> {
  const [activityId, caption] = how.activity;
  return {
    activity_id: activityId,
    activity_name: how.activityName,
    category_name: "Application Activity",
    category_uid: 6,
    class_name: "API Activity",
    class_uid: CLASS_UID,
    severity: how.severity[1],
    severity_id: how.severity[0],
    time: eventMilliseconds(event.time),
    type_name: `API Activity: ${caption}`,
    type_uid: CLASS_UID * 100 + activityId,
  };
}

/** `metadata` and the fingerprint of the sealed bytes. */
export function provenance(
  sealed: SealedEvent,
  profiles: readonly string[],
  more: Readonly<Record<string, unknown>> = {},
): Readonly<Record<string, unknown>> {
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
      ...more,
    },
    raw_data_hash: { algorithm: "SHA-256", algorithm_id: 3, value: hash },
    raw_data_size: bytes.length,
  };
}
