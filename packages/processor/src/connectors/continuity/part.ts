// One partition of a log: how far it was read, what is remembered of it, what is still to be told.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { open, rename } from "node:fs/promises";
import { join } from "node:path";
import { kindOf, type Logger, type SealedEvent } from "@countersign/model";
import type { Decisions, Origin } from "@countersign/pipeline";
import { createWatch, emptyState, type Watch, type WatchRules, type WatchState } from "./watch.ts";

/** Findings that were told, by id: those that a log gave back are known after a restart, too. */
const MAX_TOLD = 4096;

/** One partition. */
export interface Part {
  readonly log: string;
  readonly partition: number;
  readonly watch: Watch;
  /** Findings that nobody took over yet. */
  readonly outbox: SealedEvent[];
  /** The next position. */
  readonly position: bigint;
  /** How far what is stored reaches. */
  saved: bigint;
  /** The first position that has to be read for its state. */
  readonly wants: bigint;
  /** We read it, and the state is as far as the log was read: what is overdue can be told. */
  readonly live: boolean;
  /** From now on it is. What the clock said before counts no more. */
  goOn(): void;
  /** It is read again, or by somebody else: the state is behind. */
  stand(): void;
  /** The events of a batch that were not looked at before. */
  unseen(batch: Decisions, origin: Origin): readonly SealedEvent[];
  /** Takes note of findings that are in the log already. */
  heard(sealed: SealedEvent): void;
  /** The batch was looked at. */
  reached(last: SealedEvent | undefined, origin: Origin): void;
  /** Puts a finding into the outbox, if it was not told before. */
  tell(finding: SealedEvent): boolean;
  stored(): object;
}

/** Where a partition is, and how it is looked at. */
export interface PartOptions {
  readonly log: string;
  readonly partition: number;
  /** Where it was stored; undefined: nowhere. */
  readonly directory: string | undefined;
  readonly rules: WatchRules;
  readonly logger: Logger;
}

interface Stored {
  readonly version: 1;
  readonly log: string;
  readonly partition: number;
  readonly position: string;
  /** Hash of the event before `position`: what is stored of another log is no use. */
  readonly lastHash: string;
  readonly told: readonly string[];
  readonly state: WatchState;
}

/** A partition with what was stored of it, if that can be used; it is derived, so damage costs only time. */
export function openPart(options: PartOptions): Part {
  return new LogPart(options, readStored(options));
}

class LogPart implements Part {
  readonly log: string;
  readonly partition: number;
  readonly outbox: SealedEvent[] = [];
  saved: bigint;
  readonly #options: PartOptions;
  readonly #told: Set<string>;
  #watch: Watch;
  #position: bigint;
  #lastHash: string;
  #live = false;
  /** No batch came yet. */
  #fresh = true;

  constructor(options: PartOptions, stored: Stored | undefined) {
    this.log = options.log;
    this.partition = options.partition;
    this.#options = options;
    this.#told = new Set(stored?.told);
    this.#position = BigInt(stored?.position ?? 0);
    this.#lastHash = stored?.lastHash ?? "";
    this.saved = this.#position;
    this.#watch = createWatch(options.rules, stored?.state ?? emptyState(true));
  }

  get watch(): Watch {
    return this.#watch;
  }

  get position(): bigint {
    return this.#position;
  }

  /** With its last event, to see that it is the same log. */
  get wants(): bigint {
    return this.#position > 0n && this.#fresh ? this.#position - 1n : this.#position;
  }

  get live(): boolean {
    return this.#live;
  }

  goOn(): void {
    if (!this.#live) this.#watch = createWatch(this.#options.rules, this.#watch.state);
    this.#live = true;
  }

  stand(): void {
    this.#live = false;
  }

  unseen({ events }: Decisions, { first, last }: Origin): readonly SealedEvent[] {
    const wasFresh = this.#fresh;
    this.#fresh = false;
    if (first === this.#position) return events;
    if (!wasFresh && last < this.#position) return [];
    const known = events.findIndex(({ hash }) => hash === this.#lastHash);
    if (known >= 0 && first < this.#position && this.#position <= last + 1n)
      return events.slice(known + 1);
    this.#startOver(first);
    return events;
  }

  /** Read from somewhere else: what was remembered says nothing about it. From the start, everything will be known. */
  #startOver(first: bigint): void {
    if (this.#position > 0n) this.#options.logger.warn("reads the log from another place");
    this.#watch = createWatch(this.#options.rules, emptyState(first === 0n));
    this.#position = first;
    this.#told.clear();
  }

  /** Somebody else may have told what we could not. */
  heard({ event }: SealedEvent): void {
    if (kindOf(event.type) !== "finding") return;
    this.#remember(event.id);
    const waiting = this.outbox.findIndex((finding) => finding.event.id === event.id);
    if (waiting >= 0) this.outbox.splice(waiting, 1);
  }

  reached(last: SealedEvent | undefined, origin: Origin): void {
    if (origin.last < this.#position) return;
    this.#position = origin.last + 1n;
    if (last !== undefined) this.#lastHash = last.hash;
  }

  tell(finding: SealedEvent): boolean {
    if (this.#told.has(finding.event.id)) return false;
    this.#remember(finding.event.id);
    this.outbox.push(finding);
    return true;
  }

  stored(): object {
    const stored: Stored = {
      version: 1,
      log: this.log,
      partition: this.partition,
      position: String(this.#position),
      lastHash: this.#lastHash,
      told: [...this.#told],
      state: this.#watch.state,
    };
    return stored;
  }

  #remember(id: string): void {
    this.#told.add(id);
    const [oldest] = this.#told;
    if (this.#told.size > MAX_TOLD && oldest !== undefined) this.#told.delete(oldest);
  }
}

function fileOf(directory: string, log: string, partition: number): string {
  return join(directory, `${log.replaceAll(/[^A-Za-z0-9.-]/g, "+")}-${partition}.json`);
}

function readStored({ directory, log, partition, logger }: PartOptions): Stored | undefined {
  if (directory === undefined) return undefined;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  let text: string;
  try {
    text = readFileSync(fileOf(directory, log, partition), "utf8");
  } catch {
    return undefined;
  }
  const split = text.indexOf("\n");
  const body = text.slice(split + 1);
  if (split >= 0 && text.slice(0, split) === digest(body)) {
    const stored = JSON.parse(body, revive) as Stored;
    if (stored.version === 1 && stored.log === log && stored.partition === partition) return stored;
  }
  logger.warn("what is stored cannot be used; the log is read again from its start");
  return undefined;
}

/** Stores a partition: aside, then renamed, so that a reader sees the old one or the new one. */
export async function savePart(part: Part, directory: string): Promise<void> {
  const { position } = part;
  const body = JSON.stringify(part.stored(), replace);
  const file = fileOf(directory, part.log, part.partition);
  const aside = await open(`${file}.new`, "w", 0o600);
  try {
    await aside.writeFile(`${digest(body)}\n${body}`);
    await aside.datasync();
  } finally {
    await aside.close();
  }
  await rename(`${file}.new`, file);
  part.saved = position;
}

function digest(body: string): string {
  return createHash("sha256").update(body).digest("hex");
}

function replace(_key: string, value: unknown): unknown {
  if (value instanceof Map) return { "": "map", of: [...value] };
  return value instanceof Set ? { "": "set", of: [...value] } : value;
}

function revive(_key: string, value: unknown): unknown {
  const { "": kind, of } = (value ?? {}) as { ""?: string; of?: readonly unknown[] };
  if (kind === "map") return new Map(of as readonly [unknown, unknown][]);
  return kind === "set" ? new Set(of) : value;
}
