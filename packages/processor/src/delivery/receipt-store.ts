// Receipts, read back from where the service keeps them: a Kafka topic, or files.
import { CountersignError } from "@countersign/model";
import type { Config, Receipt } from "@countersign/pipeline";
import { jsonLines, seriesOf } from "./json-lines.ts";
import { openTopic } from "./log-source.ts";

/** What of a receipt a check needs, small: there are many. */
export interface RangeReceipt {
  readonly partition: number;
  readonly first: bigint;
  readonly last: bigint;
  readonly events: number;
  /** RFC 6962, lower-case hex. */
  readonly root: string;
}

/** The receipts of one sink and one log, by partition and then by place. */
export type ReceiptRanges = ReadonlyMap<number, readonly RangeReceipt[]>;

/** Receipts of one run that are held in memory: about 200 MB. */
const MAX_RECEIPTS = 1_000_000;

/** By `<sink> <log>`, all that `service.receipts` holds. Rejects CONFIG_INVALID when there is no such place that can be read. */
export async function readReceipts(
  config: Config,
  signal: AbortSignal,
): Promise<(sink: string, log: string) => ReceiptRanges> {
  const found = new Map<string, Map<number, RangeReceipt[]>>();
  let count = 0;
  for await (const receipt of allReceipts(config, signal)) {
    count += 1;
    if (count > MAX_RECEIPTS) {
      throw new CountersignError(
        "UNAVAILABLE",
        `reconcile: there are more than ${MAX_RECEIPTS} receipts; shorten their retention, or keep them by sink`,
      );
    }
    const key = keyOf(receipt.sink, receipt.log);
    const partitions = found.get(key) ?? new Map<number, RangeReceipt[]>();
    found.set(key, partitions);
    const ranges = partitions.get(receipt.partition) ?? [];
    partitions.set(receipt.partition, ranges);
    ranges.push({
      partition: receipt.partition,
      first: BigInt(receipt.firstOffset),
      last: BigInt(receipt.lastOffset),
      events: receipt.events,
      root: receipt.root,
    });
  }
  for (const partitions of found.values())
    for (const ranges of partitions.values())
      ranges.sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  return (sink, log) => found.get(keyOf(sink, log)) ?? new Map();
}

const keyOf = (sink: string, log: string): string => `${sink} ${log}`;

async function* allReceipts(config: Config, signal: AbortSignal): AsyncGenerator<Receipt> {
  const box = config.exporters.get(config.receipts ?? "");
  const settings = box?.config as Readonly<Record<string, string>> | undefined;
  if (box?.spec.type === "kafka") {
    const reader = await openTopic(config, settings?.["client"], settings?.["topic"]);
    try {
      for (const stretch of await reader.bounds())
        for await (const records of reader.read(stretch, signal))
          for (const { value } of records) yield* receiptIn(parsed(value));
    } finally {
      await reader.close();
    }
    return;
  }
  if (box?.spec.type !== "file") {
    throw new CountersignError(
      "CONFIG_INVALID",
      "config: `service.receipts` names no `kafka` or `file` exporter, so there is nothing to compare the log with; name one, and what is delivered from then on is provable",
    );
  }
  for await (const { value } of jsonLines(seriesOf(box.id, settings?.["directory"] ?? "")))
    yield* receiptIn(value);
}

function parsed(value: Uint8Array | null): unknown {
  try {
    return JSON.parse(Buffer.from(value ?? []).toString("utf8"));
  } catch {
    return undefined;
  }
}

/** Where letters or other things lie beside them, they are passed by. */
function* receiptIn(value: unknown): Generator<Receipt> {
  const one = (value ?? {}) as Partial<Record<keyof Receipt, unknown>>;
  const place = /^\d{1,19}$/;
  const isReceipt =
    one.version === 1 &&
    typeof one.sink === "string" &&
    typeof one.log === "string" &&
    Number.isSafeInteger(one.partition) &&
    Number.isSafeInteger(one.events) &&
    typeof one.root === "string" &&
    place.test(String(one.firstOffset)) &&
    place.test(String(one.lastOffset));
  if (isReceipt) yield value as Receipt;
}
