// What a simulation knows by itself: what callers asked for and were told, and what must therefore be true of disk and
// receiver. Nothing here asks the journal.
import { dirname } from "node:path";
import {
  kindOf,
  type LostEvent,
  type SealedEvent,
  type StartEvent,
  unseal,
  verifyChain,
} from "@countersign/model";
import { decodeFrame, findFrame, type Frame } from "../frames.ts";
import type { SimulatedDisk } from "./simulated-disk.ts";
import type { KeptEvent, SimulatedReceiver } from "./simulated-receiver.ts";

/** The books of one simulation. */
export class SimulationLedger {
  /** Names of the tools whose calls were to be recorded. */
  readonly attempted: Set<string> = new Set();
  /** Hashes that `append` resolved with, by `epoch/seq`. */
  readonly told: Map<string, string> = new Map();
  /** Made unreadable by the simulation itself: these must come out as lost. */
  readonly rotten: Set<string> = new Set();
  readonly problems: string[] = [];
  /** Torn tails that were cut. */
  cuts = 0;
  readonly #disk: SimulatedDisk;
  readonly #receiver: SimulatedReceiver;
  readonly #wasDurable = new Set<string>();

  constructor(disk: SimulatedDisk, receiver: SimulatedReceiver) {
    this.#disk = disk;
    this.#receiver = receiver;
    receiver.arriving = (event) => this.#arrives(event);
  }

  /** An append has resolved. */
  tell({ event, hash, bytes }: SealedEvent): void {
    const { epoch, seq } = (event.data as { chain: { epoch: string; seq: number } }).chain;
    const key = `${epoch}/${seq}`;
    if (this.told.has(key)) this.problems.push(`${key} was given twice`);
    this.told.set(key, hash);
    this.#checkDurable(key, Buffer.from(bytes), "told");
  }

  /** `acknowledged` has resolved with true. */
  acknowledged(key: string): void {
    if (!this.#receiver.kept.has(key)) {
      this.problems.push(`${key}: said to be acknowledged, and the receiver has not kept it`);
    }
  }

  /** Bytes from `from` of a file are about to go. */
  losing(path: string, from: number): void {
    if (!path.endsWith(".wal")) return;
    const bytes = this.#disk.file(path).cached;
    const whole = framesFrom(bytes, 0);
    if (from > 0) {
      this.cuts += 1;
      const after = [...this.#disk.files().keys()].some(
        (other) => dirname(other) === dirname(path) && other.endsWith(".wal") && other > path,
      );
      if (after) this.problems.push(`${path}: cut, and it is not the last segment`);
    }
    for (const { start, key } of whole) {
      if (start < from) continue;
      if (from > 0) this.problems.push(`${key}: a whole record was cut off`);
      if (this.told.has(key) && !this.#receiver.kept.has(key)) {
        this.problems.push(`${key}: removed before the receiver had it`);
      }
    }
  }

  /** After the last life, in which nothing failed, and everything was drained. */
  close(): void {
    const { kept } = this.#receiver;
    const lost = lostIn(kept);
    for (const [key, hash] of this.told) {
      const found = kept.get(key)?.hash;
      if (found === hash) continue;
      if (found === undefined && this.rotten.has(key) && lost.has(key)) continue;
      this.problems.push(`${key}: told durable, and ${found === undefined ? "gone" : "another"}`);
    }
    // A told event and what came before it was durable: only what is after the last of them can have been torn.
    const lastTold = this.#lastTold();
    for (const key of lost) {
      const [epoch = "", seq] = key.split("/");
      if (Number(seq) <= (lastTold.get(epoch) ?? -1) && !this.rotten.has(key)) {
        this.problems.push(`${key}: reported as lost without reason`);
      }
    }
    for (const events of byEpoch(kept).values()) this.#checkEpoch(events, lost);
    this.#checkStarts();
    this.problems.push(...this.#receiver.problems);
  }

  #lastTold(): Map<string, number> {
    const last = new Map<string, number>();
    for (const key of this.told.keys()) {
      const [epoch = "", seq] = key.split("/");
      last.set(epoch, Math.max(Number(seq), last.get(epoch) ?? -1));
    }
    return last;
  }

  #arrives({ epoch, seq, text }: KeptEvent): void {
    this.#checkDurable(`${epoch}/${seq}`, Buffer.from(text), "shipped");
  }

  #checkDurable(key: string, text: Buffer, what: "told" | "shipped"): void {
    if (this.#wasDurable.has(key)) return;
    const holds = (bytes: Buffer): boolean => bytes.includes(text);
    const durable = [...this.#disk.files("durable").values()].some((file) => holds(file.durable));
    // An epoch that ended by a fault may show more than callers were told of: their calls did not run.
    const failed =
      what === "shipped" &&
      [...this.#disk.files().values()].some((file) => file.faulty && holds(file.cached));
    if (durable) this.#wasDurable.add(key);
    else if (!failed) this.problems.push(`${key}: ${what}, and not on the disk`);
  }

  #checkEpoch(events: readonly KeptEvent[], lost: ReadonlySet<string>): void {
    const sorted = events.toSorted((a, b) => a.seq - b.seq);
    const [{ epoch }] = sorted as [KeptEvent];
    let expected = 0;
    for (const { seq, text } of sorted) {
      for (; expected < seq; expected++) {
        if (!lost.has(`${epoch}/${expected}`)) {
          this.problems.push(`${epoch}/${expected}: missing, and nobody says so`);
        }
      }
      expected = seq + 1;
      this.#checkAttempted(text);
    }
    if (expected !== sorted.length) return;
    const chain = verifyChain(sorted.map((event) => unseal(Buffer.from(event.text))));
    if (!chain.ok) this.problems.push(`${epoch}: ${chain.problem} at ${chain.seq}`);
  }

  #checkAttempted(text: string): void {
    const event = JSON.parse(text) as { type: string; data: { call: { name: string } } };
    if (kindOf(event.type) !== "decision") return;
    if (!this.attempted.has(event.data.call.name)) {
      this.problems.push(`${event.data.call.name}: nobody asked for it`);
    }
  }

  #checkStarts(): void {
    const numbers = new Set<number>();
    for (const { text } of this.#receiver.kept.values()) {
      const event = JSON.parse(text) as StartEvent;
      if (kindOf(event.type) !== "start") continue;
      const { epochNumber, previous } = event.data;
      if (numbers.has(epochNumber)) this.problems.push(`two epochs have number ${epochNumber}`);
      numbers.add(epochNumber);
      const named = this.#receiver.kept.get(`${previous?.epoch}/${previous?.seq}`);
      if (named !== undefined && named.hash !== previous?.hash) {
        this.problems.push(`epoch ${epochNumber} names a predecessor that is not`);
      }
    }
  }
}

function byEpoch(kept: ReadonlyMap<string, KeptEvent>): Map<string, KeptEvent[]> {
  return Map.groupBy(kept.values(), ({ epoch }) => epoch);
}

function lostIn(kept: ReadonlyMap<string, KeptEvent>): Set<string> {
  const lost = new Set<string>();
  for (const { text } of kept.values()) {
    const event = JSON.parse(text) as LostEvent;
    if (kindOf(event.type) !== "lost" || event.data.records === undefined) continue;
    const { epoch, fromSeq, toSeq } = event.data.records;
    for (let seq = fromSeq; seq <= toSeq; seq++) lost.add(`${epoch}/${seq}`);
  }
  return lost;
}

/** Whole frames of a segment from `from`, found by their magic and checksum alone. */
export function framesFrom(bytes: Buffer, from: number): (Frame & { readonly key: string })[] {
  const frames = [];
  for (let at = findFrame(bytes, from); at !== undefined; at = findFrame(bytes, at + 1)) {
    const frame = decodeFrame(bytes, at);
    if (typeof frame !== "object") break;
    const event = JSON.parse(Buffer.from(frame.body).toString("utf8")) as {
      data: { chain: { epoch: string; seq: number } };
    };
    frames.push({ ...frame, key: `${event.data.chain.epoch}/${event.data.chain.seq}` });
  }
  return frames;
}
