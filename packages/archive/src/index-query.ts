import type { SQLInputValue } from "node:sqlite";
import { CountersignError } from "@countersign/model";
import type { DecisionRow, OutcomeSummary } from "./index-row.ts";
import type { IndexStore } from "./index-store.ts";

/** Largest page. */
export const PAGE_MAX_ROWS = 200;
/** A text shorter than this cannot be looked up (the text index holds groups of three characters). */
export const SEARCH_MIN_CHARACTERS = 3;

/** Which decisions. Members are joined by "and"; each matches exactly, but for the two texts. */
export interface DecisionFilter {
  /** Event time, start included. */
  readonly sinceMs?: number;
  /** Event time, end excluded. */
  readonly untilMs?: number;
  readonly decision?: string;
  readonly reason?: string;
  readonly issuer?: string;
  /** The human's subject. */
  readonly human?: string;
  readonly method?: string;
  /** Tool, prompt or resource name, as recorded. */
  readonly tool?: string;
  readonly server?: string;
  readonly emitter?: string;
  readonly traceId?: string;
  /** Part of `type:id` of any checked resource; at least 3 characters, case ignored. */
  readonly resource?: string;
  /** Part of a resource, tool, human, agent or server; at least 3 characters, case ignored. */
  readonly text?: string;
}

/** One page of decisions, newest first; with a text filter in the order of arrival, else by event time. */
export interface DecisionPage {
  readonly rows: readonly DecisionRow[];
  /** Pass it to get the next page; absent on the last one. */
  readonly next?: string;
}

/** Which page. */
export interface PageRequest {
  /** 1 to 200; default 50. */
  readonly limit?: number;
  /** `next` of the page before. */
  readonly cursor?: string;
  /** Only rows at this log position or later: for following the tail. */
  readonly fromPosition?: number;
}

const COLUMNS = {
  decision: "d.decision = ?",
  reason: "d.reason = ?",
  issuer: "d.issuer = ?",
  human: "d.subject = ?",
  method: "d.method = ?",
  tool: "d.tool = ?",
  server: "d.server = ?",
  emitter: "d.emitter = ?",
  traceId: "d.trace_id = ?",
  sinceMs: "d.time_ms >= ?",
  untilMs: "d.time_ms < ?",
} as const satisfies Partial<Record<keyof DecisionFilter, string>>;

const OUTCOME = `(SELECT summary FROM outcomes o WHERE o.decision_id = d.id AND o.emitter IS d.emitter ORDER BY o.position LIMIT 1)`;

/** Runs one query. All values are bound; only fixed text reaches the SQL. */
export function queryDecisions(
  store: IndexStore,
  filter: DecisionFilter,
  page: PageRequest = {},
): DecisionPage {
  const limit = Math.min(Math.max(page.limit ?? 50, 1), PAGE_MAX_ROWS);
  const match = matchText(filter);
  const where: string[] = [];
  const values: SQLInputValue[] = [];
  const add = (condition: string, ...bound: SQLInputValue[]): void => {
    where.push(condition);
    values.push(...bound);
  };
  if (match !== undefined) add("words MATCH ?", match);
  for (const [name, condition] of Object.entries(COLUMNS)) {
    const value = filter[name as keyof typeof COLUMNS];
    if (value !== undefined) add(condition, value);
  }
  if (page.fromPosition !== undefined) add("d.position >= ?", page.fromPosition);
  if (page.cursor !== undefined) {
    const { timeMs, position } = parseCursor(page.cursor);
    if (match === undefined) add("(d.time_ms, d.position) < (?, ?)", timeMs, position);
    else add("words.rowid < ?", position);
  }
  const rows = store
    .statement(
      `SELECT d.row, d.time_ms, ${OUTCOME} AS outcome
       FROM ${match === undefined ? "decisions d" : "words JOIN decisions d ON d.position = words.rowid"}
       ${where.length === 0 ? "" : `WHERE ${where.join(" AND ")}`}
       ORDER BY ${match === undefined ? "d.time_ms DESC, d.position DESC" : "words.rowid DESC"} LIMIT ?`,
    )
    .all(...values, limit + 1);
  return toPage(rows, limit);
}

function toPage(rows: readonly Record<string, unknown>[], limit: number): DecisionPage {
  const shown = rows.slice(0, limit).map((row) => withOutcome(row["row"], row["outcome"]));
  const last = shown.at(-1);
  if (rows.length <= limit || last === undefined) return { rows: shown };
  return { rows: shown, next: `${String(rows[limit - 1]?.["time_ms"])}.${last.position}` };
}

/** A stored row with the outcome that may have come later. */
export function withOutcome(row: unknown, outcome: unknown): DecisionRow {
  const parsed = JSON.parse(String(row)) as DecisionRow;
  if (typeof outcome !== "string") return parsed;
  return { ...parsed, outcome: JSON.parse(outcome) as OutcomeSummary };
}

/** The row of one decision, by its id. */
export function findDecision(store: IndexStore, id: string): DecisionRow | undefined {
  const found = store
    .statement(
      `SELECT d.row, ${OUTCOME} AS outcome FROM decisions d WHERE d.id = ? ORDER BY d.position LIMIT 1`,
    )
    .get(id);
  return found === undefined ? undefined : withOutcome(found["row"], found["outcome"]);
}

/** A text becomes one quoted phrase of the text index, so no character of it is an operator. */
function matchText(filter: DecisionFilter): string | undefined {
  const phrase = (text: string): string => {
    if ([...text].length < SEARCH_MIN_CHARACTERS) {
      throw new CountersignError(
        "INPUT_INVALID",
        `archive: a search text needs at least ${SEARCH_MIN_CHARACTERS} characters`,
      );
    }
    return `"${text.replaceAll('"', '""')}"`;
  };
  const parts: string[] = [];
  if (filter.resource !== undefined) parts.push(`resource : ${phrase(filter.resource)}`);
  if (filter.text !== undefined) parts.push(phrase(filter.text));
  return parts.length === 0 ? undefined : parts.join(" AND ");
}

function parseCursor(cursor: string): { timeMs: number; position: number } {
  const match = /^(-?\d{1,16})\.(\d{1,16})$/.exec(cursor);
  if (match === null) {
    throw new CountersignError("INPUT_INVALID", "archive: the cursor is not one that a page gave");
  }
  return { timeMs: Number(match[1]), position: Number(match[2]) };
}
