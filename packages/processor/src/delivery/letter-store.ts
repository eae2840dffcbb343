// Dead letters, read back from where the service keeps them: a Kafka topic, or files.
import { CountersignError, NAME_HEADER } from "@countersign/model";
import type { Config } from "@countersign/pipeline";
import type { StoredRecord, TopicReader } from "../kafka/port.ts";
import { jsonLines, seriesOf } from "./json-lines.ts";
import { openTopic } from "./log-source.ts";

/** A letter, and what it is called where it lies. */
export interface StoredLetter {
  /** Of a topic `<partition>:<offset>`, of a file `<file>:<line>`. */
  readonly id: string;
  /** ISO 8601. */
  readonly time: string;
  readonly reason: string;
  readonly component: string;
  readonly sink?: string;
  readonly attempts?: number;
  readonly detail?: string;
  readonly hash?: string;
  readonly size?: number;
  readonly count?: number;
  readonly place?: { readonly log: string; readonly partition: number; readonly offset: bigint };
  /** The original, where it was kept. */
  readonly bytes?: Uint8Array;
}

/** Where letters are. */
export interface LetterStore {
  /** All of them, as they came; again from the start with each call. */
  letters(signal: AbortSignal): AsyncIterable<StoredLetter>;
  close(): Promise<void>;
}

/** Opens the store of `service.dead_letter`. Rejects CONFIG_INVALID when there is none that can be read, UNAVAILABLE when it is away. */
export async function openLetterStore(config: Config): Promise<LetterStore> {
  const box = config.exporters.get(config.deadLetter ?? "");
  const settings = box?.config as Readonly<Record<string, string>> | undefined;
  if (box?.spec.type === "kafka")
    return topicStore(await openTopic(config, settings?.["client"], settings?.["topic"]));
  if (box?.spec.type === "file") {
    const series = seriesOf(box.id, settings?.["directory"] ?? "");
    return { letters: () => linesOf(series), close: () => Promise.resolve() };
  }
  throw new CountersignError(
    "CONFIG_INVALID",
    "config: `service.dead_letter` names no `kafka` or `file` exporter, so there are no letters to read",
  );
}

function topicStore(reader: TopicReader): LetterStore {
  return {
    async *letters(signal) {
      for (const stretch of await reader.bounds()) {
        for await (const records of reader.read(stretch, signal)) {
          for (const record of records) yield letterOfRecord(record);
        }
      }
    },
    close: () => reader.close(),
  };
}

const PREFIX = `${NAME_HEADER}dlq_`;

/** A letter of a topic. Anybody may write into one: what is missing or absurd is left out, and ends no listing. */
export function letterOfRecord(record: StoredRecord): StoredLetter {
  const { partition, offset, value, headers, timestampMs } = record;
  const said = (name: string): string | undefined => {
    const bytes = headers.get(`${PREFIX}${name}`);
    return bytes === undefined ? undefined : Buffer.from(bytes).toString("utf8");
  };
  const place = { log: said("topic"), partition: said("partition"), offset: said("offset") };
  return letterOf({
    id: `${partition}:${offset}`,
    time: said("time") ?? isoTime(timestampMs),
    reason: said("reason"),
    component: said("component"),
    sink: said("sink"),
    attempts: said("attempts"),
    detail: said("detail"),
    hash: said("hash"),
    size: said("size"),
    count: said("count"),
    place,
    bytes: value ?? undefined,
  });
}

/** A broker may be told to take any time; not every number is one. */
function isoTime(timeMs: number): string | undefined {
  const date = new Date(timeMs);
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}

async function* linesOf(series: ReturnType<typeof seriesOf>): AsyncGenerator<StoredLetter> {
  for await (const { id, value } of jsonLines(series)) {
    if (typeof value["reason"] !== "string" || typeof value["component"] !== "string") continue;
    const { value: text, valueBase64: base64 } = value;
    const bytes =
      typeof text === "string"
        ? Buffer.from(text, "utf8")
        : typeof base64 === "string"
          ? Buffer.from(base64, "base64")
          : undefined;
    yield letterOf({ ...(value as unknown as Loose), id, bytes });
  }
}

interface Loose {
  readonly id: string;
  readonly time: unknown;
  readonly reason: unknown;
  readonly component: unknown;
  readonly sink?: unknown;
  readonly attempts?: unknown;
  readonly detail?: unknown;
  readonly hash?: unknown;
  readonly size?: unknown;
  readonly count?: unknown;
  readonly place?: {
    readonly log?: unknown;
    readonly partition?: unknown;
    readonly offset?: unknown;
  };
  readonly bytes: Uint8Array | undefined;
}

/** Whoever wrote it: what is no text is none, what is no number is none. */
function letterOf(loose: Loose): StoredLetter {
  const { id, bytes, place } = loose;
  const optional = {
    sink: textOf(loose.sink),
    attempts: numberOf(loose.attempts),
    detail: textOf(loose.detail),
    hash: textOf(loose.hash),
    size: numberOf(loose.size),
    count: numberOf(loose.count),
    place: placeOf(place),
    bytes,
  };
  return {
    id,
    time: textOf(loose.time) ?? "",
    reason: textOf(loose.reason) ?? "unknown",
    component: textOf(loose.component) ?? "unknown",
    ...(Object.fromEntries(
      Object.entries(optional).filter(([, value]) => value !== undefined),
    ) as Partial<StoredLetter>),
  };
}

const textOf = (value: unknown): string | undefined =>
  typeof value === "string" ? value : undefined;

function numberOf(value: unknown): number | undefined {
  const number = typeof value === "string" && value !== "" ? Number(value) : value;
  return typeof number === "number" && Number.isSafeInteger(number) ? number : undefined;
}

function placeOf(place: Loose["place"]): StoredLetter["place"] {
  const log = textOf(place?.log);
  const partition = numberOf(place?.partition);
  const offset = textOf(place?.offset);
  if (log === undefined || partition === undefined || !/^\d{1,19}$/.test(offset ?? ""))
    return undefined;
  return { log, partition, offset: BigInt(offset as string) };
}
