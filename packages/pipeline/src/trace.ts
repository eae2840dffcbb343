import { errorCode } from "@countersign/model";
import type { Consumer } from "./consumer.ts";

/** A piece of the service's own work. Constants, ids and figures only: never what a batch holds. */
export interface Work {
  readonly name: string;
  readonly kind: "server" | "client" | "internal";
  readonly attributes: Attributes;
}

type Attributes = Readonly<Record<string, string | number>>;

/** Runs work inside a span of the service's own traces. What it rejects with passes through. */
export type Trace = <Result>(
  work: Work,
  run: (set: (attributes: Attributes) => void) => Promise<Result>,
) => Promise<Result>;

/** `error.type` of a failure: one of the closed codes, or `_OTHER` (OpenTelemetry's general conventions). */
export function errorTypeOf(error: unknown): string {
  return errorCode(error) ?? "_OTHER";
}

/** A span for every batch that an exporter gets. */
export function tracedExporter<Batch>(
  next: Consumer<Batch>,
  exporter: string,
  trace: Trace | undefined,
): Consumer<Batch> {
  if (trace === undefined) return next;
  const work: Work = {
    name: `export ${exporter}`,
    kind: "client",
    attributes: { "otelcol.component.id": exporter, "otelcol.component.kind": "exporter" },
  };
  return { consume: (batch, signal) => trace(work, () => next.consume(batch, signal)) };
}
