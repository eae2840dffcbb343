// What lies among the dead letters, and whether it was sent again since.
import { CountersignError } from "@countersign/model";
import type { Config } from "@countersign/pipeline";
import { type LetterStore, openLetterStore, type StoredLetter } from "./letter-store.ts";

/** Reason of the letter that says of another one that it was sent again; its `detail` is the id of that one. */
export const REDRIVEN = "redriven";

/** Marks that are held while letters are read; beyond it a time range has to be given up on by deleting old letters. */
const MAX_MARKS = 1_000_000;
/** Groups of a list; what comes after is counted as `other`. */
const MAX_GROUPS = 1000;

/** Which letters. Times are those of the letters. */
export interface LetterFilter {
  readonly sink?: string;
  readonly reason?: string;
  readonly fromMs?: number;
  readonly untilMs?: number;
}

/** Letters with the same reason, component and sink. */
export interface LetterGroup {
  readonly reason: string;
  readonly component: string;
  readonly sink?: string;
  /** Letters that were not sent again since. */
  open: number;
  redriven: number;
  /** Items, where letters count several. */
  items: number;
  /** Time of the oldest and newest. */
  first: string;
  last: string;
  /** Id of the newest, for a look at it. */
  newest: string;
}

/** What a list says. */
export interface LetterList {
  readonly letters: number;
  readonly open: number;
  readonly redriven: number;
  /** The largest first. */
  readonly groups: readonly LetterGroup[];
}

/** Ids of letters that were sent again. */
export async function marksIn(
  store: LetterStore,
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  const marks = new Set<string>();
  for await (const { reason, detail } of store.letters(signal)) {
    if (reason !== REDRIVEN || detail === undefined) continue;
    marks.add(detail);
    if (marks.size > MAX_MARKS) {
      throw new CountersignError(
        "UNAVAILABLE",
        `dlq: more than ${MAX_MARKS} letters were sent again; remove old ones from the store first`,
      );
    }
  }
  return marks;
}

/** Letters that match, without the marks. */
export async function* matching(
  store: LetterStore,
  filter: LetterFilter,
  signal: AbortSignal,
): AsyncGenerator<StoredLetter> {
  const { sink, reason, fromMs, untilMs } = filter;
  for await (const letter of store.letters(signal)) {
    if (letter.reason === REDRIVEN) continue;
    if (reason !== undefined && letter.reason !== reason) continue;
    if (sink !== undefined && letter.sink !== sink) continue;
    const timeMs = Date.parse(letter.time);
    if (fromMs !== undefined && !(timeMs >= fromMs)) continue;
    if (untilMs !== undefined && !(timeMs < untilMs)) continue;
    yield letter;
  }
}

/** Counts letters by reason, component and sink. */
export async function listLetters(
  config: Config,
  filter: LetterFilter,
  signal: AbortSignal,
): Promise<LetterList> {
  const store = await openLetterStore(config);
  try {
    const marks = await marksIn(store, signal);
    const groups = new Map<string, LetterGroup>();
    for await (const letter of matching(store, filter, signal))
      add(groupOf(groups, letter), letter, marks.has(letter.id));
    const found = [...groups.values()].toSorted((a, b) => b.open - a.open || b.items - a.items);
    const open = found.reduce((sum, group) => sum + group.open, 0);
    const redriven = found.reduce((sum, group) => sum + group.redriven, 0);
    return { letters: open + redriven, open, redriven, groups: found };
  } finally {
    await store.close();
  }
}

function groupOf(groups: Map<string, LetterGroup>, letter: StoredLetter): LetterGroup {
  const key = JSON.stringify([letter.reason, letter.component, letter.sink]);
  const known = groups.get(key);
  if (known !== undefined) return known;
  const full = groups.size >= MAX_GROUPS;
  const { reason, component, sink, time, id } = letter;
  const made: LetterGroup = {
    reason: full ? "other" : reason,
    component: full ? "other" : component,
    ...(sink === undefined || full ? {} : { sink }),
    open: 0,
    redriven: 0,
    items: 0,
    first: time,
    last: time,
    newest: id,
  };
  const place = full ? "other" : key;
  const there = groups.get(place) ?? made;
  groups.set(place, there);
  return there;
}

function add(group: LetterGroup, letter: StoredLetter, redriven: boolean): void {
  const { time, count = 1 } = letter;
  if (redriven) group.redriven += 1;
  else group.open += 1;
  group.items += count;
  if (time < group.first) group.first = time;
  if (time < group.last) return;
  group.last = time;
  group.newest = letter.id;
}

/** One letter, and whether it was sent again. Rejects INPUT_INVALID when there is none of that id. */
export async function showLetter(
  config: Config,
  id: string,
  signal: AbortSignal,
): Promise<{ readonly letter: StoredLetter; readonly redriven: boolean }> {
  const store = await openLetterStore(config);
  try {
    const marks = await marksIn(store, signal);
    for await (const letter of matching(store, {}, signal))
      if (letter.id === id) return { letter, redriven: marks.has(id) };
    throw new CountersignError("INPUT_INVALID", `dlq: there is no letter ${id}; see dlq list`);
  } finally {
    await store.close();
  }
}
