// What tests of the journal have in common: a directory of their own, events like a gate's, and a look at the disk.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  draftDecision,
  kindOf,
  type EventDraft,
  type LogFields,
  type Logger,
  type SealedEvent,
  type StartEvent,
  unseal,
  uuidv7,
} from "@countersign/model";
import { scanRecords } from "./scan-records.ts";
import { nodeFs } from "../fs.ts";
import { createJournal } from "../journal.ts";
import type { Journal } from "../api.ts";
import type { EpochInfo, JournalOptions } from "../options.ts";

/** Facts of a server that does not exist. */
export const EPOCH_INFO: EpochInfo = {
  tenant: "acme",
  mode: "enforce",
  durability: "journal",
  gate: "in_process",
  server: { id: "urn:mcp:tickets", name: "tickets", version: "2.3.1" },
  policy: { digest: `sha256:${"0".repeat(64)}`, default: "deny" },
  runtime: { countersign: "0.1.0", node: process.versions.node, os: process.platform },
  coverage: () => ({ sdks: [] }),
};

/** A decision; `name` tells one from another. */
export function decision(name = "read_ticket"): EventDraft {
  return draftDecision({
    id: uuidv7(),
    nameKnown: true,
    tenant: EPOCH_INFO.tenant,
    mode: "enforce",
    decision: "allow",
    reason: "permitted",
    effect: "run",
    call: { method: "tools/call", name, transport: "stdio", gate: "in_process" },
    server: EPOCH_INFO.server,
    policy: { digest: EPOCH_INFO.policy.digest },
    durationUs: 3_120,
    traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-53995c3f42cd8ad8-01",
  });
}

/** A logger that remembers. */
export interface RecordingLogger extends Logger {
  readonly lines: {
    readonly level: string;
    readonly message: string;
    readonly fields: LogFields;
  }[];
}

/** Remembers every line and prints none. */
export function recordingLogger(): RecordingLogger {
  const lines: RecordingLogger["lines"] = [];
  const at =
    (level: string) =>
    (message: string, fields: LogFields = {}): void => {
      lines.push({ level, message, fields });
    };
  return { lines, debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** A directory that goes when the test is over. */
export interface Scratch {
  readonly directory: string;
  readonly log: RecordingLogger;
  /** A journal in the directory, with a quiet clock for what tests do not wait for. */
  journal(options?: Partial<JournalOptions>): Journal;
  /** Every event on the disk, by epoch, in order; torn tails are left out. */
  stored(): Promise<Map<string, SealedEvent[]>>;
  [Symbol.dispose](): void;
}

/** Makes a scratch directory. */
export function scratch(): Scratch {
  const directory = mkdtempSync(join(tmpdir(), "countersign-journal-"));
  const log = recordingLogger();
  const journals: Journal[] = [];
  return {
    directory,
    log,
    journal: (options = {}) => {
      const journal = createJournal({
        directory: join(directory, "journal"),
        epoch: EPOCH_INFO,
        log,
        env: {},
        openAfterMs: 3_600_000,
        reopenAfterMs: 1,
        limits: { reserveBytes: 4_096 },
        ...options,
      });
      journals.push(journal);
      return journal;
    },
    stored: async () => {
      const epochs = new Map<string, SealedEvent[]>();
      for (const { body } of await scanRecords(nodeFs, join(directory, "journal"))) {
        const event = unseal(body);
        const { epoch } = (event.event.data as { chain: { epoch: string } }).chain;
        epochs.set(epoch, [...(epochs.get(epoch) ?? []), event]);
      }
      return epochs;
    },
    [Symbol.dispose]: () => {
      // Of a test that failed: its timers end.
      for (const journal of journals) void journal.stop("shutdown", AbortSignal.abort());
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Polls until `condition` holds. Fails after `deadlineMs`. */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  deadlineMs = 10_000,
): Promise<void> {
  const end = Date.now() + deadlineMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`not within ${deadlineMs} ms: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A deadline that is far away. */
export function soon(ms = 5_000): AbortSignal {
  return AbortSignal.timeout(ms);
}

/** The `start` that an epoch's events begin with. */
export function startOf(events: readonly SealedEvent[] | undefined): StartEvent {
  const event = events?.[0]?.event;
  if (event === undefined || kindOf(event.type) !== "start") throw new Error("no start event");
  return event as StartEvent;
}
