// What happens to a feed, in the log, in metrics, and in the health of its receiver.
import { errorCode } from "@countersign/model";
import { type Runtime, saidOf } from "@countersign/pipeline";
import type { FeedEvent } from "./feed-options.ts";

type Of<Kind extends FeedEvent["kind"]> = Extract<FeedEvent, { kind: Kind }>;

/** Records that are read again between two lines in the log. */
const PROGRESS_RECORDS = 100_000;

/** The notes of one receiver. */
export class FeedNotes {
  readonly #runtime: Runtime;
  /** Records that were read again, by partition. */
  readonly #reread = new Map<number, number>();

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  note(event: FeedEvent): void {
    switch (event.kind) {
      case "joined":
        this.#joined(event);
        return;
      case "lost":
        this.#lost(event);
        return;
      case "rereads":
        this.#rereads(event);
        return;
      case "has_reread":
        this.#hasReread(event);
        return;
      case "unplaced":
        this.#unplaced(event);
        return;
      case "skipped":
        this.#skipped(event);
        return;
      case "uncommitted":
        this.#runtime.log.warn("a position could not be stored; the next one covers it", {
          partition: event.partition,
          reason: event.fault.type,
        });
        return;
      case "handed_back":
      case "halted":
        this.#refused(event);
        return;
      default:
        event satisfies never;
    }
  }

  /** Records of a partition were handed on again, up to the offset `last`. */
  reread(partition: number, records: number, last: bigint): void {
    const { log, metrics, id } = this.#runtime;
    const help = "Records that were read again, for a state that is rebuilt.";
    metrics.counter("receiver_reread_records", help, { receiver: id }).add(records);
    const before = this.#reread.get(partition) ?? 0;
    const now = before + records;
    this.#reread.set(partition, now);
    if (Math.floor(now / PROGRESS_RECORDS) > Math.floor(before / PROGRESS_RECORDS))
      log.info("reads again", { partition, records: now, offset: String(last) });
  }

  #joined({ partitions }: Of<"joined">): void {
    const { log, metrics, id } = this.#runtime;
    metrics.counter("receiver_rebalances", "Assignments of partitions.", { receiver: id }).add();
    log.info("reads partitions", { partitions: partitions.join(",") || "none" });
    this.#runtime.report({ state: "ok" });
  }

  #lost({ fault }: Of<"lost">): void {
    const needsSomebody = fault.kind === "forbidden" || fault.kind === "missing";
    this.#runtime.report(
      needsSomebody
        ? { state: "failed", detail: "the user may not read the topic, or it is not there" }
        : { state: "degraded", detail: "the group was lost and is joined again" },
    );
    this.#runtime.log.warn("lost the group, joins again", { reason: fault.type });
  }

  #rereads({ partition, from, until, left }: Of<"rereads">): void {
    const { log } = this.#runtime;
    this.#reread.set(partition, 0);
    const range = { partition, from: String(from), until: String(until) };
    log.info("reads again what a state lacks, before what is new", range);
    if (left === 0n) return;
    const why = "older records are expired, or more than max_reread: the state lacks them";
    log.warn(why, { partition, records: String(left) });
  }

  #hasReread({ partition }: Of<"has_reread">): void {
    const records = this.#reread.get(partition) ?? 0;
    this.#runtime.log.info("has read again", { partition, records });
  }

  #unplaced({ fault }: Of<"unplaced">): void {
    const detail = "the cluster does not say how far the group is; it is asked again";
    this.#runtime.report({ state: "degraded", detail });
    this.#runtime.log.warn("cannot learn how far the group is; asks again", { reason: fault.type });
  }

  #skipped({ partition, offsets }: Of<"skipped">): void {
    const { log, metrics, id } = this.#runtime;
    const help = "Offsets that had nothing to read: expired, or foreign marks.";
    metrics.counter("receiver_skipped_offsets", help, { receiver: id }).add(Number(offsets));
    const what = "offsets are missing: did records expire before they were read?";
    log.error(what, { partition, offsets: Number(offsets) });
  }

  #refused(event: Of<"handed_back" | "halted">): void {
    const { log } = this.#runtime;
    const halted = event.kind === "halted";
    if (!halted && errorCode(event.error) === "CANCELLED") return;
    this.#runtime.report({
      state: halted ? "failed" : "degraded",
      detail: halted
        ? "a partition stands still after a fault of ours"
        : "the pipeline does not take a partition; it is tried again",
    });
    const { partition, error } = event;
    log.warn(halted ? "a partition stands still" : "a partition pauses", {
      partition,
      code: errorCode(error) ?? "unknown",
      reason: saidOf(error),
    });
  }
}
