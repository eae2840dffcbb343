import { ATTR_EVENT_HASH, eventName, kindOf, type SealedEvent } from "@countersign/model";
import type { LogRecord, Logs } from "@countersign/pipeline";
import { eventCarriers } from "../otlp/event-carriers.ts";

/** A log record as the journal's shipper makes it, without the copies for routing. */
export function logRecord(event: SealedEvent): LogRecord {
  return {
    eventName: eventName(kindOf(event.event.type) ?? "decision"),
    body: { stringValue: Buffer.from(event.bytes).toString("utf8") },
    attributes: [{ key: ATTR_EVENT_HASH, value: { stringValue: event.hash } }],
  };
}

/** One request of log records, as intake gets it. */
export function logsOf(records: readonly LogRecord[]): Logs {
  return { records: eventCarriers(requestOf(records)) };
}

/** One request of log records, as a sender's JSON. */
export function requestOf(records: readonly LogRecord[]): Parameters<typeof eventCarriers>[0] {
  return { resourceLogs: [{ scopeLogs: [{ logRecords: records }] }] };
}
