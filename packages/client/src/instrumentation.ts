/* oxlint-disable no-underscore-dangle -- OpenTelemetry's own name */
import type { Tracer, TracerProvider } from "@opentelemetry/api";
import { InstrumentationBase, type InstrumentationConfig } from "@opentelemetry/instrumentation";
import { TRACER_CLIENT } from "@countersign/model";
import type { ProofOptions } from "./call-proofs.ts";
import { patchTarget, proofsOf } from "./instrument.ts";
import { hookClientLoads } from "./sdk-hook.ts";
import { createClientSpans } from "./spans.ts";

/** Configuration of {@link McpClientInstrumentation}. */
export interface McpClientConfig extends InstrumentationConfig, ProofOptions {
  /** `mcp.resource.uri` on spans. Default off: a URI can carry a path, a name, a password. */
  readonly resourceUri?: boolean;
}

/**
 * For an application that has a `NodeSDK` of its own: put it into `instrumentations`, and start the SDK before the MCP SDK
 * is imported. It finds ESM and CommonJS copies of SDK v1 and v2 by a load hook of its own, without
 * `--experimental-loader`: require-in-the-middle cannot see v1, whose root export names a file that is not shipped.
 */
export class McpClientInstrumentation extends InstrumentationBase<McpClientConfig> {
  #on = false;
  #hooked = false;

  constructor(config: McpClientConfig = {}) {
    // The base class would enable us before our own fields exist.
    super(TRACER_CLIENT, "0.1.0", { ...config, enabled: false });
    if (config.enabled !== false) this.enable();
  }

  protected override init(): void {
    // No module definitions: see above.
  }

  override enable(): void {
    this.#on = true;
    if (this.#hooked) return;
    this.#hooked = true;
    const config = this.getConfig();
    const resourceUri = config.resourceUri === true;
    const spans = createClientSpans({ tracerProvider: this.#provider(), resourceUri });
    const proofs = proofsOf(config);
    hookClientLoads(({ package: name, version, Client }) => {
      if (!this.#on) return;
      if (Client === undefined || !patchTarget(Client.prototype, { spans, proofs })) {
        this._diag.error(`cannot instrument ${name}@${version}: it is built differently`);
      }
    });
  }

  /** Copies of the SDK that are loaded from now on stay as they are. */
  override disable(): void {
    this.#on = false;
  }

  /** Asks for the tracer at each span: the SDK hands us its provider after we were made. */
  #provider(): TracerProvider {
    const tracer = {
      startSpan: (...given: Parameters<Tracer["startSpan"]>) => this.tracer.startSpan(...given),
    } as Tracer;
    return { getTracer: () => tracer };
  }
}
