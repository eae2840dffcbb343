/** One span as the console shows it. Every string in it may have been chosen by an attacker. */
export interface SpanView {
  /** 16 hex digits. */
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: "internal" | "server" | "client" | "producer" | "consumer";
  /** `service.name` of the resource. */
  readonly service?: string;
  /** Start, in microseconds since 1970. */
  readonly startUs: number;
  readonly durationUs: number;
  readonly status: "unset" | "ok" | "error";
  /** Attributes that were left after redaction. */
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
}

/** Where the console finds the spans of a call. The processor's `memory` exporter is one. */
export interface TraceSource {
  /** The spans of a trace in any order; none when it was not sampled, or is no longer held. At most 1,000 are shown. */
  trace(traceId: string): Promise<readonly SpanView[]>;
}
