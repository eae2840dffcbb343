import { canonicalBytes, canonicalJson, sha256Hex } from "./canonical.ts";
import type { FindingEvent } from "./event.ts";
import { CONNECTOR_SOURCE_PREFIX, dataSchema, eventType } from "./names.ts";
import type { SealedEvent } from "./seal.ts";
import { uuidv8From } from "./uuid.ts";

/** What a finding is made of. */
export interface FindingFields {
  readonly data: FindingEvent["data"];
  /** Of the event that showed it: not now, or the same finding would not give the same bytes. */
  readonly time: string;
  /** Name of the component that found it. */
  readonly component: string;
}

/**
 * Says what was found. The same finding gives the same bytes and the same id (a UUIDv8 of what was found), so one that is
 * made again, after a restart or by another process, is dropped as a duplicate.
 */
export function findingEvent({ data, time, component }: FindingFields): SealedEvent {
  const source = CONNECTOR_SOURCE_PREFIX + component;
  const event: FindingEvent = {
    data,
    datacontenttype: "application/json",
    dataschema: dataSchema("finding") as FindingEvent["dataschema"],
    id: uuidv8From(`${source}\n${canonicalJson(data)}`),
    source,
    specversion: "1.0",
    time,
    type: eventType("finding") as FindingEvent["type"],
  };
  const bytes = canonicalBytes(event);
  return { bytes, hash: sha256Hex(bytes), event };
}
