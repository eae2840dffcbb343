import { closeSync, openSync, rmSync } from "node:fs";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { EVENT_TYPE_PREFIX } from "@countersign/model";
import type { DecisionEvent, OutcomeEvent } from "@countersign/model";
import { keyOf } from "./event-key.ts";
import { decisionRow, outcomeSummary, searchText } from "./index-row.ts";
import type { PositionedEvent } from "./log.ts";

/** Bump when the tables change: an index of another version is thrown away and made again. */
const VERSION = 2;

const TABLES = `
CREATE TABLE meta (version INTEGER NOT NULL, position INTEGER NOT NULL, last_hash TEXT NOT NULL);
CREATE TABLE events (position INTEGER PRIMARY KEY, epoch TEXT, seq INTEGER, kind TEXT NOT NULL, hash TEXT NOT NULL);
CREATE INDEX events_place ON events (epoch, seq);
CREATE INDEX events_findings ON events (position) WHERE kind = 'finding';
CREATE TABLE decisions (
  position INTEGER PRIMARY KEY, id TEXT NOT NULL, time_ms INTEGER NOT NULL, decision TEXT NOT NULL, reason TEXT NOT NULL,
  issuer TEXT, subject TEXT, method TEXT NOT NULL, tool TEXT, server TEXT NOT NULL, emitter TEXT, trace_id TEXT, row TEXT NOT NULL,
  resources TEXT NOT NULL, words TEXT NOT NULL);
CREATE INDEX decisions_id ON decisions (id);
CREATE INDEX decisions_time ON decisions (time_ms, position);
CREATE INDEX decisions_decision ON decisions (decision, time_ms, position);
CREATE INDEX decisions_reason ON decisions (reason, time_ms, position);
CREATE INDEX decisions_subject ON decisions (subject, time_ms, position);
CREATE INDEX decisions_tool ON decisions (tool, time_ms, position);
CREATE INDEX decisions_server ON decisions (server, time_ms, position);
CREATE INDEX decisions_emitter ON decisions (emitter, time_ms, position);
CREATE INDEX decisions_trace ON decisions (trace_id, time_ms, position);
CREATE TABLE outcomes (position INTEGER PRIMARY KEY, decision_id TEXT NOT NULL, emitter TEXT, summary TEXT NOT NULL);
CREATE INDEX outcomes_decision ON outcomes (decision_id, emitter);
CREATE TABLE minutes (minute INTEGER NOT NULL, decision TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (minute, decision)) WITHOUT ROWID;
INSERT INTO meta VALUES (${VERSION}, 0, '');
`;

/** The index's tables and how events get into them. */
export interface IndexStore {
  readonly database: DatabaseSync;
  /** The next position to index. */
  readonly position: number;
  /** Hash of the event before `position`; empty at 0. */
  readonly lastHash: string;
  /** Indexes events that follow each other from `position`, in one transaction together with the new position. */
  add(events: readonly PositionedEvent[]): void;
  /** A prepared statement, kept for the next use of the same text. */
  statement(sql: string): StatementSync;
  close(): void;
}

/** Opens the index, or makes it anew when it is missing, damaged or of another version. It is derived: nothing is lost. */
export async function openStore(file: string): Promise<IndexStore> {
  const { DatabaseSync } = await import("node:sqlite");
  const open = (): DatabaseSync => {
    // SQLite makes files by the umask and gives its side files the mode of this one.
    closeSync(openSync(file, "a", 0o600));
    const database = new DatabaseSync(file);
    // A crash may cost the last transactions, never half of one; the log brings them back.
    database.exec(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 2000;",
    );
    return database;
  };
  try {
    const database = open();
    if (versionOf(database) === VERSION) return new Store(database);
    database.close();
  } catch {
    // Not a database any more, or not ours.
  }
  removeIndex(file);
  const database = open();
  database.exec(`BEGIN IMMEDIATE; ${TABLES} COMMIT;`);
  return new Store(database);
}

/** Deletes the index with its side files. */
export function removeIndex(file: string): void {
  for (const suffix of ["", "-wal", "-shm", "-journal"])
    rmSync(`${file}${suffix}`, { force: true });
}

function versionOf(database: DatabaseSync): number | undefined {
  try {
    return database.prepare("SELECT version FROM meta").get()?.["version"] as number | undefined;
  } catch {
    return undefined;
  }
}

class Store implements IndexStore {
  readonly database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #position: number;
  #lastHash: string;

  constructor(database: DatabaseSync) {
    this.database = database;
    const meta = database.prepare("SELECT position, last_hash FROM meta").get();
    this.#position = Number(meta?.["position"]);
    this.#lastHash = String(meta?.["last_hash"]);
  }

  get position(): number {
    return this.#position;
  }

  get lastHash(): string {
    return this.#lastHash;
  }

  statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  add(events: readonly PositionedEvent[]): void {
    const last = events.at(-1);
    if (last === undefined) return;
    const next = Number(last.position) + 1;
    this.database.exec("BEGIN IMMEDIATE");
    try {
      for (const event of events) this.#insert(event);
      this.statement("UPDATE meta SET position = ?, last_hash = ?").run(next, last.event.hash);
      this.database.exec("COMMIT");
    } catch (error) {
      this.#rollBack();
      throw error;
    }
    this.#position = next;
    this.#lastHash = last.event.hash;
  }

  close(): void {
    this.#statements.clear();
    this.database.close();
  }

  #rollBack(): void {
    try {
      this.database.exec("ROLLBACK");
    } catch {
      // SQLite rolls back by itself when the disk fails; then there is nothing left to undo.
    }
  }

  #insert({ position, event: sealed }: PositionedEvent): void {
    const at = Number(position);
    const key = keyOf(sealed);
    const { event } = sealed;
    const kind = event.type.slice(EVENT_TYPE_PREFIX.length).replace(/\.v\d+$/, "");
    this.statement("INSERT INTO events VALUES (?, ?, ?, ?, ?)").run(
      at,
      key?.epoch ?? null,
      key?.seq ?? null,
      kind,
      key?.hash ?? sealed.hash,
    );
    if (kind === "decision") this.#insertDecision(event as DecisionEvent, at);
    if (kind === "outcome") this.#insertOutcome(event as OutcomeEvent, at);
  }

  #insertDecision(event: DecisionEvent, position: number): void {
    const { data } = event;
    const timeMs = Date.parse(event.time);
    const row = decisionRow(event, position);
    const { resources, words } = searchText(event);
    this.statement(`INSERT INTO decisions VALUES (${"?, ".repeat(14)}?)`).run(
      position,
      event.id,
      timeMs,
      data.decision,
      data.reason,
      data.human?.issuer ?? null,
      data.human?.subject ?? null,
      data.call.method,
      data.call.name ?? null,
      data.server.id,
      data.chain?.emitter ?? null,
      row.traceId ?? null,
      JSON.stringify(row),
      resources,
      words,
    );
    this.statement(
      "INSERT INTO minutes VALUES (?, ?, 1) ON CONFLICT (minute, decision) DO UPDATE SET count = count + 1",
    ).run(Math.floor(timeMs / 60_000), data.decision);
  }

  #insertOutcome(event: OutcomeEvent, position: number): void {
    this.statement("INSERT INTO outcomes VALUES (?, ?, ?, ?)").run(
      position,
      event.data.decisionId,
      event.data.chain.emitter,
      JSON.stringify(outcomeSummary(event)),
    );
  }
}
