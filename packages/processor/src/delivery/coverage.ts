import { createMerkleTree, type MerkleTree } from "@countersign/pipeline";
import type { LogEntry } from "./log-source.ts";
import type { RangeReceipt } from "./receipt-store.ts";

/** Walks a partition in order, beside its receipts. */
export interface Coverage {
  /** Whether a receipt names the place of an entry. Each entry once, in order. */
  covers(entry: LogEntry): boolean;
  /** Places after this one have no receipt yet; -1 when there is none at all. */
  readonly last: bigint;
  /** To be called at the end. Counts receipts by what became of them. */
  done(): CoverageResult;
}

/** What the receipts of a partition are worth. */
export interface CoverageResult {
  /** Their count of events and their root are those of the log. */
  readonly right: number;
  /** They say something else than the log. */
  readonly wrong: readonly RangeReceipt[];
  /** They begin before what was read: the log has forgotten it, or it was not asked for. */
  readonly unchecked: number;
}

interface Open {
  readonly receipt: RangeReceipt;
  readonly tree: MerkleTree;
}

/** `receipts` are in the order of their first places, `from` is the first place that is read, `end` the one after the last. */
export function createCoverage(
  receipts: readonly RangeReceipt[],
  { from, end }: { readonly from: bigint; readonly end: bigint },
): Coverage {
  let at = 0;
  let open: Open[] = [];
  let right = 0;
  let unchecked = 0;
  const wrong: RangeReceipt[] = [];
  // A receipt that is not checked covers all the same: what it names was delivered.
  let coveredTo = -1n;
  const last = receipts.reduce((most, receipt) => (receipt.last > most ? receipt.last : most), -1n);
  const begin = (offset: bigint): void => {
    for (let receipt = receipts[at]; receipt !== undefined && receipt.first <= offset;) {
      if (receipt.last > coveredTo) coveredTo = receipt.last;
      if (receipt.first < from || receipt.last >= end) unchecked += 1;
      else open.push({ receipt, tree: createMerkleTree() });
      at += 1;
      receipt = receipts[at];
    }
  };
  const close = (before: bigint): void => {
    if (open.every(({ receipt }) => receipt.last >= before)) return;
    for (const one of open) if (one.receipt.last < before) judge(one);
    open = open.filter(({ receipt }) => receipt.last >= before);
  };
  const judge = ({ receipt, tree }: Open): void => {
    if (tree.size === receipt.events && tree.root() === receipt.root) right += 1;
    else wrong.push(receipt);
  };
  return {
    last,
    covers: ({ offset, event }) => {
      begin(offset);
      close(offset);
      // A range without a gap before it: `coveredTo` never falls back, so a hole shows as an offset beyond it.
      if (event !== undefined)
        for (const { receipt, tree } of open) if (receipt.first <= offset) tree.add(event.bytes);
      return offset <= coveredTo;
    },
    done: () => {
      begin(end - 1n);
      close(end);
      return { right, wrong, unchecked: unchecked + (receipts.length - at) };
    },
  };
}
