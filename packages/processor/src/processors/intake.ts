import {
  CountersignError,
  type CountersignEvent,
  detect,
  EMITTER_SOURCE_PREFIX,
  findLeak,
  isWhollyKnown,
  kindOf,
  leakInUnknown,
  NAME_ATTRIBUTE,
  type SealedEvent,
  type UnknownMember,
  unknownMembers,
  unseal,
  validateOpen,
  withheldEvent,
} from "@countersign/model";
import type {
  Component,
  Consumer,
  Decisions,
  EventCarrier,
  Letter,
  Logs,
  ProcessorSpec,
  Runtime,
  SentBy,
} from "@countersign/pipeline";
import { mayBe } from "../credentials.ts";

interface Config {
  readonly tenants?: readonly string[];
}

/** Log records in, sealed events out. */
export const intakeProcessor: ProcessorSpec = {
  kind: "processor",
  type: "intake",
  stability: "beta",
  summary:
    "Checks sealed events (hash, canonical form, schema, tenant, leaks) and makes them of log records.",
  signals: ["decisions"],
  takes: "logs",
  passes: "decisions",
  gives: "decisions",
  config: {
    type: "object",
    additionalProperties: false,
    properties: {
      tenants: {
        type: "array",
        minItems: 1,
        maxItems: 1024,
        uniqueItems: true,
        items: { type: "string", minLength: 1, maxLength: 64 },
        description:
          "Tenants whose events are taken; those of others are dead-lettered. Absent: all.",
      },
    },
  },
  create: (config: Config, runtime, next) => new Intake(config, runtime, next),
};

/** Why a record will never be accepted. Closed; the words stand in dead letters. */
type Rejection =
  | "body_missing"
  | "hash_missing"
  | "not_sealed"
  | "hash_mismatch"
  | "schema_invalid"
  | "not_from_emitter"
  | "source_mismatch"
  | "tenant_unknown"
  | "tenant_mismatch"
  | "emitter_mismatch";

interface Sorted {
  readonly sentBy: SentBy | undefined;
  readonly events: SealedEvent[];
  readonly dead: Letter[];
  readonly quarantined: Letter[];
  foreign: number;
  newer: number;
}

/** An event that may go on, unless it holds a leak. */
interface Checked {
  readonly event: SealedEvent;
  /** Of a newer emitter: nothing here knows what they mean. */
  readonly unknown: readonly UnknownMember[];
}

/** Events that go on in one piece; the archive's own bound is far above. */
const BATCH_EVENTS = 512;

class Intake implements Component, Consumer<Logs | Decisions> {
  readonly #runtime: Runtime;
  readonly #tenants: ReadonlySet<string> | undefined;
  readonly #next: Consumer<Decisions>;

  constructor(config: Config, runtime: Runtime, next: Consumer<Decisions>) {
    this.#runtime = runtime;
    this.#tenants = config.tenants === undefined ? undefined : new Set(config.tenants);
    this.#next = next;
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  /**
   * Events first, letters after: when a letter cannot be written the whole request is sent again, and the events that are
   * there already are dropped as duplicates. The other way round, letters would repeat.
   */
  async consume(batch: Logs | Decisions, signal: AbortSignal): Promise<void> {
    if ("events" in batch) return await this.#passOn(batch, signal);
    const sorted = this.#sort(batch);
    const { events, dead, quarantined, foreign } = sorted;
    if (foreign > 0 && events.length + dead.length + quarantined.length === 0) {
      throw new CountersignError(
        "INPUT_INVALID",
        `${this.#runtime.id}: no log record in the request is a sealed event; this endpoint keeps decisions, send other logs elsewhere`,
      );
    }
    for (let at = 0; at < events.length; at += BATCH_EVENTS) {
      await this.#next.consume({ events: events.slice(at, at + BATCH_EVENTS) }, signal);
    }
    if (foreign > 0) dead.push(this.#foreignLetter(foreign));
    await this.#runtime.service.quarantine.deposit(quarantined, signal);
    await this.#runtime.service.deadLetters.deposit(dead, signal);
    this.#count(sorted);
  }

  /** Events that a connector made: checked when they were made, but for whose they are. */
  async #passOn(batch: Decisions, signal: AbortSignal): Promise<void> {
    const events: SealedEvent[] = [];
    const dead: Letter[] = [];
    for (const one of batch.events) {
      const reason = this.#tenantFault(one.event);
      if (reason === undefined) events.push(one);
      else dead.push({ ...this.#letter(reason), ...original(one.bytes, one.hash) });
    }
    if (events.length > 0) await this.#next.consume({ ...batch, events }, signal);
    await this.#runtime.service.deadLetters.deposit(dead, signal);
  }

  #sort(batch: Logs): Sorted {
    const { records, sentBy } = batch;
    const sorted: Sorted = { sentBy, events: [], dead: [], quarantined: [], foreign: 0, newer: 0 };
    for (const record of records) {
      if (isOurs(record)) this.#admit(record, sorted);
      else sorted.foreign += 1;
    }
    return sorted;
  }

  #admit(record: EventCarrier, sorted: Sorted): void {
    const { body: bytes } = record;
    if (bytes === undefined) {
      sorted.dead.push(this.#letter("body_missing"));
      return;
    }
    const checked = this.#check(record.hash, bytes, sorted.sentBy);
    if ("reason" in checked) {
      this.#reject(bytes, checked, sorted);
      return;
    }
    if (checked.unknown.length > 0) sorted.newer += 1;
    const leak = findLeak(checked.event.event) ?? leakInUnknown(checked.unknown);
    if (leak === undefined) {
      sorted.events.push(checked.event);
      return;
    }
    const detail = `${leak.detector} in ${leak.member}`;
    sorted.quarantined.push({
      ...this.#letter("leak", detail),
      ...original(bytes, checked.event.hash),
    });
    sorted.events.push(withheldEvent(checked.event, leak.detector, leak.member));
  }

  #check(
    hash: string | undefined,
    bytes: Uint8Array,
    sentBy: SentBy | undefined,
  ): Checked | { reason: Rejection; detail?: string; hash?: string } {
    if (hash === undefined) return { reason: "hash_missing" };
    let event: SealedEvent;
    try {
      event = unseal(bytes);
    } catch (error) {
      if (!(error instanceof CountersignError)) throw error;
      return { reason: "not_sealed", detail: error.message };
    }
    if (event.hash !== hash) return { reason: "hash_mismatch", hash: event.hash };
    const isKnown = isWhollyKnown(event.event);
    const [problem] = isKnown ? [] : validateOpen(event.event);
    if (problem !== undefined) {
      return { reason: "schema_invalid", detail: `${problem.path} ${problem.message}`, hash };
    }
    const reason =
      originFault(event.event) ??
      this.#tenantFault(event.event) ??
      (sentBy === undefined ? undefined : senderFault(event.event, sentBy));
    if (reason !== undefined) return { reason, hash };
    return { event, unknown: isKnown ? [] : unknownMembers(event.event) };
  }

  #tenantFault(event: CountersignEvent): Rejection | undefined {
    return this.#tenants?.has(event.data.tenant) === false ? "tenant_unknown" : undefined;
  }

  /**
   * Where the free text is in bytes that were not understood, nobody knows: if any detector fires on the whole, the original
   * goes to quarantine, and the dead letter names only its hash.
   */
  #reject(
    bytes: Uint8Array,
    why: { reason: Rejection; detail?: string; hash?: string },
    sorted: Sorted,
  ): void {
    const letter = this.#letter(why.reason, why.detail);
    const kept = original(bytes, why.hash);
    if (detect(Buffer.from(bytes).toString("utf8")) === undefined) {
      sorted.dead.push({ ...letter, ...kept });
      return;
    }
    const { bytes: _secret, ...rest } = kept;
    sorted.quarantined.push({ ...letter, ...kept });
    sorted.dead.push({ ...letter, ...rest });
  }

  #letter(reason: string, detail?: string): Letter {
    const component = this.#runtime.id;
    const base: Letter = { reason, component, timeMs: Date.now() };
    return detail === undefined ? base : { ...base, detail };
  }

  /** Records of others are counted, and written nowhere: they may hold anything. */
  #foreignLetter(count: number): Letter {
    return { ...this.#letter("not_countersign"), count };
  }

  #count({ events, dead, quarantined, foreign, newer }: Sorted): void {
    const add = (result: string, amount: number): void => {
      const labels = { processor: this.#runtime.id, result };
      if (amount > 0)
        this.#runtime.metrics
          .counter("processor_intake_items", "Log records by what became of them.", labels)
          .add(amount);
    };
    const leaks = quarantined.filter(({ reason }) => reason === "leak").length;
    add("accepted", events.length - leaks);
    add("withheld", leaks);
    add("rejected", dead.filter(({ count }) => count === undefined).length);
    add("foreign", foreign);
    if (newer === 0) return;
    const help = "Log records with members that this version does not know: upgrade it.";
    const { id, metrics } = this.#runtime;
    metrics.counter("processor_intake_newer_items", help, { processor: id }).add(newer);
  }
}

/** A record says that it is ours by its name or its hash; whether it is, is checked then. */
function isOurs({ name, hash }: EventCarrier): boolean {
  return hash !== undefined || name?.startsWith(NAME_ATTRIBUTE) === true;
}

function original(
  bytes: Uint8Array,
  hash: string | undefined,
): Pick<Letter, "bytes" | "size" | "hash"> {
  return { bytes, size: bytes.length, ...(hash === undefined ? {} : { hash }) };
}

/** Only emitters send. A `withheld` event from outside could take the place of a decision that somebody wants gone. */
function originFault(event: CountersignEvent): Rejection | undefined {
  const chain = "chain" in event.data ? event.data.chain : undefined;
  if (kindOf(event.type) === "withheld" || chain === undefined) return "not_from_emitter";
  return event.source === EMITTER_SOURCE_PREFIX + chain.emitter ? undefined : "source_mismatch";
}

/** A credential sends for one tenant, and for the emitters of its pattern. */
function senderFault({ data }: CountersignEvent, sentBy: SentBy): Rejection | undefined {
  if (data.tenant !== sentBy.tenant) return "tenant_mismatch";
  const chain = "chain" in data ? data.chain : undefined;
  return chain === undefined || mayBe(chain.emitter, sentBy.emitter)
    ? undefined
    : "emitter_mismatch";
}
