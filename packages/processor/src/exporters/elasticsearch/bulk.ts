// Documents into a data stream, as many a request as it takes.
import { errorCode } from "@countersign/model";
import type { PostAnswer } from "../../otlp/post.ts";
import { awayBy, busyBy, haltedBy, jsonOf, notOurs } from "../http-failure.ts";
import type { Outcome } from "../outcome.ts";
import { type ItemVerdict, verdictsOf } from "./bulk-answer.ts";
import { type Destination, failureOfStatus, MAKE_IT } from "./destination.ts";
import type { Document } from "./documents.ts";

/** What a request may hold. */
export interface BulkLimits {
  readonly maxEvents: number;
  /** Before compression. */
  readonly maxBytes: number;
}

/** What was found out on the way, beside what `outcome` has. */
export interface BulkReport {
  /** Documents that were there already. */
  readonly duplicates: number;
  /** Documents of which the destination itself said that it has not got them, and will not for now. */
  readonly absent: readonly Document[];
  /** Documents that it will never take. */
  readonly refused: ReadonlyMap<Document, string>;
  /** The data stream is not what it was when it was looked at. */
  readonly streamIsWrong: boolean;
}

/** Sends documents. */
export interface Bulk {
  /** What fails is in `outcome`. Rejects CANCELLED when `signal` aborts. */
  send(documents: readonly Document[], outcome: Outcome, signal: AbortSignal): Promise<BulkReport>;
}

const NEWLINE = Buffer.from("\n", "utf8");
/** Whole answers are long, and all but this is known. */
const FILTER =
  "filter_path=errors,items.*._index,items.*._id,items.*.status,items.*.error.type,items.*.failure_store";

export function createBulk(to: Destination, limits: BulkLimits): Bulk {
  return new StreamBulk(to, limits);
}

interface Tally {
  duplicates: number;
  absent: Document[];
  refused: Map<Document, string>;
  streamIsWrong: boolean;
}

class StreamBulk implements Bulk {
  readonly #to: Destination;
  readonly #limits: BulkLimits;
  readonly #path: string;

  constructor(to: Destination, limits: BulkLimits) {
    this.#to = to;
    this.#limits = limits;
    this.#path = `/${to.stream}/_bulk?${FILTER}`;
  }

  async send(
    documents: readonly Document[],
    outcome: Outcome,
    signal: AbortSignal,
  ): Promise<BulkReport> {
    const tally: Tally = { duplicates: 0, absent: [], refused: new Map(), streamIsWrong: false };
    const waiting = this.#pieces(documents);
    for (let piece = waiting.shift(); piece !== undefined; piece = waiting.shift()) {
      try {
        const answer = await this.#post(piece, signal);
        if (answer.status === 413) waiting.unshift(...this.#smaller(piece, tally));
        else this.#settle(piece, this.#read(piece, answer), outcome, tally);
      } catch (error) {
        if (errorCode(error) === "CANCELLED") throw error;
        // The next piece would fare no better.
        outcome.fail(
          [piece, ...waiting].flatMap((some) => some.map(({ index }) => index)),
          error,
        );
        break;
      }
    }
    for (const [{ index }, reason] of tally.refused) outcome.refuse(index, reason);
    return tally;
  }

  #pieces(documents: readonly Document[]): Document[][] {
    const pieces: Document[][] = [];
    let bytes = Number.POSITIVE_INFINITY;
    for (const document of documents) {
      const more = document.line.length + document.id.length + ACTION_BYTES;
      const piece = pieces.at(-1);
      if (
        piece === undefined ||
        piece.length >= this.#limits.maxEvents ||
        bytes + more > this.#limits.maxBytes
      ) {
        pieces.push([document]);
        bytes = more;
      } else {
        piece.push(document);
        bytes += more;
      }
    }
    return pieces;
  }

  /** A body that is too long for the destination, in halves; one event alone will never get through. */
  #smaller(piece: readonly Document[], tally: Tally): Document[][] {
    const [only] = piece;
    if (piece.length === 1 && only !== undefined) {
      tally.refused.set(only, "too_large");
      return [];
    }
    const middle = piece.length >> 1;
    return [piece.slice(0, middle), piece.slice(middle)];
  }

  async #post(piece: readonly Document[], signal: AbortSignal): Promise<PostAnswer> {
    const parts: Uint8Array[] = [];
    for (const { id, line } of piece) {
      parts.push(Buffer.from(`{"create":{"_id":${JSON.stringify(id)}}}\n`, "utf8"), line, NEWLINE);
    }
    return await this.#to.sink.send({
      path: this.#path,
      headers: {
        ...this.#to.headers,
        "content-type": "application/x-ndjson",
        accept: "application/json",
      },
      parts,
      signal,
    });
  }

  /** 200 only means: read every item. An answer that does not fit the request says nothing of it. */
  #read(piece: readonly Document[], answer: PostAnswer): readonly ItemVerdict[] {
    const { health } = this.#to;
    if (answer.status !== 200) throw failureOfStatus(answer, this.#to);
    const body = jsonOf(answer);
    if (body === undefined) throw notOurs(answer, health, "Elasticsearch or OpenSearch");
    const verdicts = verdictsOf(
      body,
      piece.map(({ id }) => id),
    );
    if (verdicts === undefined)
      throw awayBy(
        health,
        "the answer is not about the events that were sent; the outcome is unknown",
      );
    return verdicts;
  }

  #settle(
    piece: readonly Document[],
    verdicts: readonly ItemVerdict[],
    outcome: Outcome,
    tally: Tally,
  ): void {
    const { health, stream } = this.#to;
    const waiting = new Map<string, number[]>();
    for (const [at, verdict] of verdicts.entries()) {
      const document = piece[at] as Document;
      if (verdict.kind === "stored") continue;
      if (verdict.kind === "present") tally.duplicates += 1;
      else if (verdict.kind === "refused") tally.refused.set(document, verdict.reason);
      else {
        waiting.set(verdict.kind, [...(waiting.get(verdict.kind) ?? []), document.index]);
        tally.absent.push(document);
      }
    }
    if (waiting.size === 0) return health.well();
    // The worst first: it says what is wrong, and stays said.
    const fail = (kind: ItemVerdict["kind"], error: () => unknown): void => {
      const indexes = waiting.get(kind);
      if (indexes !== undefined) outcome.fail(indexes, error());
    };
    tally.streamIsWrong = waiting.has("not_there") || waiting.has("plain_index");
    fail("plain_index", () => haltedBy(health, `${stream} is no data stream; ${MAKE_IT}`));
    fail("not_there", () => haltedBy(health, `there is no data stream of this name; ${MAKE_IT}`));
    fail("forbidden", () =>
      haltedBy(health, "the user may not write to it (403); grant create_doc (OpenSearch: write)"),
    );
    fail("blocked", () =>
      haltedBy(
        health,
        "the data stream is blocked for writing; is the disk full, or is it read-only?",
      ),
    );
    fail("busy", () => busyBy(health, "the endpoint asks for less (429)"));
    fail("failing", () => awayBy(health, "the endpoint could not store some events (5xx)"));
  }
}

const ACTION_BYTES = `{"create":{"_id":""}}\n\n`.length;
