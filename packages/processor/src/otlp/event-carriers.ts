import { ATTR_EVENT_HASH } from "@countersign/model";
import type { EventCarrier, LogRecord, ResourceLogs } from "@countersign/pipeline";

/** A decoded `ExportLogsServiceRequest`. */
export interface LogsRequest {
  readonly resourceLogs?: readonly ResourceLogs[];
}

/** What may carry a sealed event in the records of a decoded request. `wireLogs` gives the same without decoding. */
export function eventCarriers({ resourceLogs = [] }: LogsRequest): EventCarrier[] {
  return resourceLogs
    .flatMap(({ scopeLogs = [] }) => scopeLogs)
    .flatMap(({ logRecords = [] }) => logRecords)
    .map(carrierOf);
}

function carrierOf(record: LogRecord): EventCarrier {
  const hash = record.attributes?.find(({ key }) => key === ATTR_EVENT_HASH);
  return { name: record.eventName, hash: hash?.value?.stringValue, body: bytesOf(record) };
}

function bytesOf({ body }: LogRecord): Buffer | undefined {
  if (body?.stringValue !== undefined) return Buffer.from(body.stringValue, "utf8");
  return body?.bytesValue === undefined ? undefined : Buffer.from(body.bytesValue, "base64");
}
