/* oxlint-disable no-underscore-dangle -- OpenTelemetry's own name */
import type { Tracer, TracerProvider } from "@opentelemetry/api";
import { InstrumentationBase, type InstrumentationConfig } from "@opentelemetry/instrumentation";
import { CountersignError, TRACER_SERVER } from "@countersign/model";
import type { Gate } from "@countersign/gate";
import { type GatedProcess, createGatedProcess } from "./gated-process.ts";
import { entryOf } from "./instrument.ts";
import type { OptInAttributes } from "./spans.ts";

/** Configuration of {@link McpServerInstrumentation}: one of `policy` and `gate`. */
export interface McpServerConfig extends InstrumentationConfig {
  /** Path of the policy file. */
  readonly policy?: string;
  /** A gate of your own; you stop it. */
  readonly gate?: Gate;
  /** Span attributes of level O. Default none. */
  readonly optIn?: OptInAttributes;
}

/**
 * For an application that has a `NodeSDK` of its own: put it into `instrumentations`, and start the SDK before the MCP SDK
 * is imported. It gates ESM and CommonJS copies of SDK v1 and v2 by a load hook of its own, without
 * `--experimental-loader`: require-in-the-middle cannot see v1, whose root export names a file that is not shipped.
 * A copy that cannot be gated throws where it is imported.
 */
export class McpServerInstrumentation extends InstrumentationBase<McpServerConfig> {
  #process: GatedProcess | undefined;

  constructor(config: McpServerConfig) {
    // The base class would enable us before our own fields exist.
    super(TRACER_SERVER, "0.1.0", { ...config, enabled: false });
    if (config.enabled !== false) this.enable();
  }

  protected override init(): void {
    // No module definitions: see above.
  }

  /** @throws CountersignError CONFIG_INVALID: no policy and no gate, or the policy is wrong. */
  override enable(): void {
    if (this.#process !== undefined) return;
    const { policy, gate, optIn } = this.getConfig();
    const spans = { tracerProvider: this.#provider(), ...(optIn === undefined ? {} : { optIn }) };
    if (gate === undefined && policy === undefined) {
      throw new CountersignError(
        "CONFIG_INVALID",
        "server.instrumentation: it needs a policy file or a gate",
      );
    }
    const { enforcer } = entryOf(
      gate === undefined ? { ...spans, policy: policy as string } : { ...spans, gate },
    );
    this.#process = createGatedProcess(enforcer, (message) => {
      throw new CountersignError("CONFIG_INVALID", `server.instrumentation: ${message}`);
    });
  }

  /** Does nothing: a gate that can be taken away at run time is none. */
  override disable(): void {
    this._diag.warn("a gate cannot be disabled; leave the instrumentation out instead");
  }

  /** Asks for the tracer at each span: the SDK hands us its provider after we were made. */
  #provider(): TracerProvider {
    const tracer = {
      startSpan: (...given: Parameters<Tracer["startSpan"]>) => this.tracer.startSpan(...given),
    } as Tracer;
    return { getTracer: () => tracer };
  }
}
