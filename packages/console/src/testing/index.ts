import type { ArchiveIndex, ArchiveLog } from "@countersign/archive";
import { createChainMaker, openArchiveStand, type ChainMaker } from "@countersign/archive/testing";
import type { SealedEvent } from "@countersign/model";
import { createConsole, type Console, type ConsoleOptions } from "../console.ts";
import type { SpanView, TraceSource } from "../trace-source.ts";

export { exampleEvents, exampleSpans } from "./example.ts";

/** A real archive with a real console before it, on a free port. */
export interface ConsoleStand {
  readonly console: Console;
  readonly log: ArchiveLog;
  readonly index: ArchiveIndex;
  readonly chain: ChainMaker;
  /** `http://127.0.0.1:<port>` */
  readonly base: string;
  readonly token: string;
  /** Spans that the console finds. */
  readonly traces: Map<string, readonly SpanView[]>;
  /** Appends and waits until the index has them. */
  put(events: readonly SealedEvent[]): Promise<void>;
}

/** Starts one. `options` overrides what the console gets. */
export async function startConsoleStand(
  options: Partial<ConsoleOptions> = {},
): Promise<ConsoleStand & AsyncDisposable> {
  const archive = await openArchiveStand();
  const { log, index } = archive;
  const traces = new Map<string, readonly SpanView[]>();
  const source: TraceSource = { trace: async (id) => traces.get(id) ?? [] };
  const made = createConsole({ index, log, traces: source, port: 0, ...options });
  await made.start();
  const url = new URL(made.url);
  return {
    console: made,
    log,
    index,
    traces,
    chain: createChainMaker("tickets-7f3a", Date.now() - 10_000),
    base: url.origin,
    token: url.searchParams.get("token") ?? "",
    put: async (events) => await archive.put(events),
    [Symbol.asyncDispose]: async () => {
      await made.stop(AbortSignal.timeout(1000));
      await archive[Symbol.asyncDispose]();
    },
  };
}
