import type { SQLInputValue } from "node:sqlite";
import { CountersignError } from "@countersign/model";
import type { DecisionRow, OutcomeSummary } from "./index-row.ts";
import type { IndexStore } from "./index-store.ts";

/** Largest page. */
export const PAGE_MAX_ROWS = 200;
/** Rows that one query with a text filter looks through: some 20 ms of the caller's thread. */
export const SEARCH_MAX_ROWS = 20_000;

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
  /** Part of `type:id` of any checked resource; case ignored. */
  readonly resource?: string;
  /** Part of a resource, tool, human, agent or server; case ignored. */
  readonly text?: string;
}

/**
 * One page of decisions, newest first by event time. With a text filter a page may be short, or empty, and still have a
 * `next`: it looked through 20,000 rows and there are more.
 */
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
  const exact = exactConditions(filter, page);
  const text = textConditions(filter);
  const window = text.where.length === 0 ? limit + 1 : SEARCH_MAX_ROWS;
  const newestFirst = "ORDER BY d.time_ms DESC, d.position DESC";
  const inWindow = `SELECT d.* FROM decisions d ${whereOf(exact)} ${newestFirst} LIMIT ${window}`;
  const rows = store
    .statement(
      `SELECT d.row, d.time_ms, d.position, ${OUTCOME} AS outcome FROM (${inWindow}) d ${whereOf(text)} ${newestFirst} LIMIT ?`,
    )
    .all(...exact.values, ...text.values, limit + 1);
  const shown = rows.slice(0, limit).map((row) => withOutcome(row["row"], row["outcome"]));
  const last =
    rows.length > limit
      ? rows[limit - 1]
      : store.statement(`${inWindow} OFFSET ${window - 1}`).get(...exact.values);
  if (last === undefined) return { rows: shown };
  return { rows: shown, next: `${String(last["time_ms"])}.${String(last["position"])}` };
}

interface Conditions {
  readonly where: string[];
  readonly values: SQLInputValue[];
}

function whereOf({ where }: Conditions): string {
  return where.length === 0 ? "" : `WHERE ${where.join(" AND ")}`;
}

/** What the tables' own indexes answer. */
function exactConditions(filter: DecisionFilter, page: PageRequest): Conditions {
  const where: string[] = [];
  const values: SQLInputValue[] = [];
  for (const [name, condition] of Object.entries(COLUMNS)) {
    const value = filter[name as keyof typeof COLUMNS];
    if (value === undefined) continue;
    where.push(condition);
    values.push(value);
  }
  if (page.fromPosition !== undefined) {
    where.push("d.position >= ?");
    values.push(page.fromPosition);
  }
  if (page.cursor !== undefined) {
    const { timeMs, position } = parseCursor(page.cursor);
    where.push("(d.time_ms, d.position) < (?, ?)");
    values.push(timeMs, position);
  }
  return { where, values };
}

/** What has to be looked for row by row. */
function textConditions({ resource, text }: DecisionFilter): Conditions {
  const where: string[] = [];
  const values: SQLInputValue[] = [];
  if (resource !== undefined) {
    where.push("instr(d.resources, ?) > 0");
    values.push(resource.toLowerCase());
  }
  if (text !== undefined) {
    where.push("(instr(d.resources, ?) > 0 OR instr(d.words, ?) > 0)");
    values.push(text.toLowerCase(), text.toLowerCase());
  }
  return { where, values };
}

/** A stored row with the outcome that may have come later. */
function withOutcome(row: unknown, outcome: unknown): DecisionRow {
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

function parseCursor(cursor: string): { timeMs: number; position: number } {
  const match = /^(-?\d{1,16})\.(\d{1,16})$/.exec(cursor);
  if (match === null) {
    throw new CountersignError("INPUT_INVALID", "archive: the cursor is not one that a page gave");
  }
  return { timeMs: Number(match[1]), position: Number(match[2]) };
}
