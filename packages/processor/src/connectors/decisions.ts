import {
  ATTR_DECISION,
  ATTR_TENANT,
  CONNECTOR_SOURCE_PREFIX,
  CountersignError,
  type SealedEvent,
} from "@countersign/model";
import {
  type Component,
  type ConnectorSpec,
  type Consumer,
  type Decisions,
  fanout,
  type Letter,
  type PipelineInputs,
  type Resource,
  type Runtime,
  type Span,
  type Traces,
} from "@countersign/pipeline";
import { decisionMark, SpanRefusal } from "./decisions/span-attributes.ts";
import { spanEvent } from "./decisions/span-event.ts";

interface Config {
  readonly source?: string;
  readonly tenant?: string;
  readonly transport: "stdio" | "http";
}

/** Decisions that other languages report on spans. */
export const decisionsConnector: ConnectorSpec = {
  kind: "connector",
  type: "decisions",
  stability: "beta",
  summary:
    "Makes events (evidence: span) of the decision spans of other languages; stands before `redact`.",
  signals: ["traces", "decisions"],
  from: "traces",
  to: "decisions",
  gives: "decisions",
  config: {
    type: "object",
    additionalProperties: false,
    properties: {
      source: {
        type: "string",
        pattern: "^urn:countersign:connector:[a-z0-9][a-z0-9._-]{0,62}$",
        description:
          "`source` of the events, part of their ids: every replica the same. Default: of the component's id.",
      },
      tenant: {
        type: "string",
        minLength: 1,
        maxLength: 64,
        description:
          "Tenant of spans that name none. Absent: the credential's, or they are refused.",
      },
      transport: {
        enum: ["stdio", "http"],
        default: "http",
        description: "Transport of calls whose span has no `network.transport`.",
      },
    },
  },
  create: (config: Config, runtime, next) => new DecisionSpans(config, runtime, next),
};

const BATCH_EVENTS = 512;
const MAX_DETAIL = 256;
const ATTR_SERVICE_NAME = "service.name";

interface Sorted {
  readonly events: SealedEvent[];
  readonly dead: Letter[];
  sealed: number;
}

class DecisionSpans implements Component, Consumer<Traces> {
  readonly #config: Config;
  readonly #runtime: Runtime;
  readonly #source: string;
  readonly #next: Consumer<Decisions>;

  constructor(config: Config, runtime: Runtime, next: PipelineInputs) {
    this.#config = config;
    this.#runtime = runtime;
    this.#source =
      config.source ?? CONNECTOR_SOURCE_PREFIX + runtime.id.replaceAll("/", ".").slice(0, 63);
    this.#next = fanout(next.decisions.map(({ consumer }) => consumer));
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  /** Events first, letters after, as at intake: what comes again is known by its id, a letter is not. */
  async consume(batch: Traces, signal: AbortSignal): Promise<void> {
    if (!mayHoldDecisions(batch)) return;
    const sorted = this.#sort(batch);
    const { events, dead } = sorted;
    for (let at = 0; at < events.length; at += BATCH_EVENTS) {
      await this.#next.consume({ events: events.slice(at, at + BATCH_EVENTS) }, signal);
    }
    await this.#runtime.service.deadLetters.deposit(dead, signal);
    this.#count("accepted", events.length);
    this.#count("rejected", dead.length);
    this.#count("sealed", sorted.sealed);
  }

  #sort(batch: Traces): Sorted {
    const sorted: Sorted = { events: [], dead: [], sealed: 0 };
    for (const { resource, scopeSpans } of batch.resourceSpans) {
      for (const { spans } of scopeSpans ?? []) {
        for (const span of spans ?? []) this.#admit(span, { resource, batch }, sorted);
      }
    }
    return sorted;
  }

  /** A span without the mark is none of ours; one whose event comes sealed must not become a second call. */
  #admit(
    span: Span,
    of: { readonly resource: Resource | undefined; readonly batch: Traces },
    sorted: Sorted,
  ): void {
    const mark = decisionMark(span.attributes);
    if (mark === "sealed") sorted.sealed += 1;
    if (mark !== "foreign") return;
    try {
      const tenant = this.#tenantOf(span, of);
      const service = attribute(of.resource, ATTR_SERVICE_NAME);
      const { transport } = this.#config;
      sorted.events.push(spanEvent(span, { source: this.#source, tenant, service, transport }));
    } catch (error) {
      if (!(error instanceof SpanRefusal)) throw error;
      sorted.dead.push(this.#letter(span, error));
    }
  }

  #tenantOf(
    span: Span,
    { resource, batch }: { readonly resource: Resource | undefined; readonly batch: Traces },
  ): string {
    const said = attribute(span, ATTR_TENANT) ?? attribute(resource, ATTR_TENANT);
    const known = batch.sentBy?.tenant;
    if (known !== undefined && said !== undefined && said !== known)
      throw new SpanRefusal("tenant_mismatch", ATTR_TENANT);
    const tenant = known ?? said ?? this.#config.tenant;
    if (tenant === undefined) throw new SpanRefusal("attribute_missing", ATTR_TENANT);
    return tenant;
  }

  /** A span may hold anything, so its letter has only where to find it, and what was wrong with it. */
  #letter({ traceId = "", spanId = "" }: Span, { reason, attribute: about }: SpanRefusal): Letter {
    const ids = HEX.test(traceId) && HEX.test(spanId) ? `trace ${traceId} span ${spanId}` : "";
    const detail = [about, ids].filter((text) => text !== undefined && text !== "").join("; ");
    return {
      reason: `span_${reason}`,
      component: this.#runtime.id,
      timeMs: Date.now(),
      ...(detail === "" ? {} : { detail: detail.slice(0, MAX_DETAIL) }),
    };
  }

  #count(result: string, amount: number): void {
    if (amount === 0) return;
    const labels = { connector: this.#runtime.id, result };
    const help = "Decision spans by what became of them.";
    this.#runtime.metrics.counter("connector_decision_spans", help, labels).add(amount);
  }
}

const HEX = /^[0-9a-f]{1,32}$/;
const MARK = Buffer.from(ATTR_DECISION);

/** Most batches hold none: a look at the bytes saves reading them. They are checked all the same, since nobody else may do it. */
function mayHoldDecisions({ wire }: Traces): boolean {
  if (wire === undefined) return true;
  if (
    wire.parts.some((part) => Buffer.from(part.buffer, part.byteOffset, part.length).includes(MARK))
  )
    return true;
  try {
    wire.check();
  } catch (error) {
    throw error instanceof CountersignError
      ? error
      : new CountersignError("INPUT_INVALID", "decisions: the bytes are no spans", {
          cause: error,
        });
  }
  return false;
}

function attribute(owner: Pick<Span, "attributes"> | undefined, key: string): string | undefined {
  const text = owner?.attributes?.find((one) => one.key === key)?.value?.stringValue;
  return text === "" ? undefined : text;
}
