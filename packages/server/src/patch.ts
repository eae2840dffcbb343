/* oxlint-disable no-underscore-dangle -- the SDK's own names */
import { type ProtocolInstance, patchInbound, setEnforcer } from "./adapters/inbound.ts";
import { closeListen, type FetchHandler, gateFetch, gateWire } from "./adapters/listen.ts";
import { patchOutbound } from "./adapters/outbound.ts";
import { META_CALL_PROOF } from "@countersign/model/names";
import { sdkV1 } from "./adapters/sdk-v1.ts";
import { sdkV2 } from "./adapters/sdk-v2.ts";
import type { Enforcer } from "./enforce.ts";

/** The two generations of the TypeScript SDK, told by the funnel that only the second one has. */
export type Generation = "v1" | "v2";

const V2_FUNNEL = "_requestWithSchemaViaCodec";

/** Which SDK an instance or a prototype belongs to; undefined when it is no `Protocol` at all. */
export function generationOf(target: object): Generation | undefined {
  if (!("_onrequest" in target)) return undefined;
  return V2_FUNNEL in target ? "v2" : "v1";
}

/** Puts the patches on the classes behind `target` (an instance or a prototype). False: this copy is built differently. */
export function patchProtocol(target: object): boolean {
  const generation = generationOf(target);
  if (generation === undefined) return false;
  if (generation === "v1")
    return patchInbound(target, sdkV1) && patchOutbound(target, "request", 0);
  closeListen(target);
  return patchInbound(target, sdkV2) && patchOutbound(target, V2_FUNNEL, 1);
}

/** What a loaded copy of the SDK exports, as far as we patch it. */
export interface SdkExports {
  readonly Protocol?: { readonly prototype: object };
  readonly Server?: { readonly prototype: object };
}

/** Patches the classes of a copy and names the enforcer of all their instances. */
export function patchClasses({ Protocol, Server }: SdkExports, enforcer: Enforcer): boolean {
  if (Protocol === undefined || !patchProtocol(Protocol.prototype)) return false;
  if (Server !== undefined) closeListen(Server.prototype);
  setEnforcer(Protocol.prototype, enforcer);
  return true;
}

/** `createMcpHandler`, with the gate on what it gives. */
export function gatedCreateMcpHandler(
  create: (...given: unknown[]) => FetchHandler,
  enforcer: Enforcer,
) {
  return (...given: unknown[]): FetchHandler => {
    const handler = create(...given);
    gateFetch(handler, enforcer);
    return handler;
  };
}

interface ServeStdioOptions {
  readonly transport?: object;
}

/** `serveStdio`, with the gate on the transport that it reads: its own standard one unless the application gave another. */
export function gatedServeStdio(
  serve: (factory: unknown, options: ServeStdioOptions) => unknown,
  { enforcer, createTransport }: { enforcer: Enforcer; createTransport: () => object },
) {
  return (factory: unknown, options: ServeStdioOptions = {}): unknown => {
    const transport = options.transport ?? createTransport();
    gateWire(transport, enforcer);
    return serve(factory, { ...options, transport });
  };
}

/**
 * Proves a patch: a request that the gate blocks must not reach its handler, and its call proof reaches the gate and nobody
 * else. Runs in microtasks, touches nothing real.
 */
export async function provePatch(Protocol: { readonly prototype: object }): Promise<boolean> {
  let asked = false;
  let ran = false;
  const probe = Object.create(Protocol.prototype) as ProtocolInstance & Record<string, unknown>;
  const answered = new Promise<void>((resolve) => {
    setImmediate(resolve);
    probe._transport = {
      send: async (): Promise<void> => resolve(),
    };
  });
  setEnforcer(probe, {
    open: async ({ proof, meta }) => {
      asked = proof === PROBE_METHOD && meta !== undefined && !(META_CALL_PROOF in meta);
      return { effect: "block", denial: { kind: "error", error: { code: 0, message: "" } } };
    },
  });
  Object.assign(probe, {
    _requestHandlers: new Map(),
    _requestHandlerAbortControllers: new Map(),
    _customSchemaRequestMethods: new Set(),
    buildContext: (base: unknown) => base,
    fallbackRequestHandler: async () => {
      ran = true;
      return {};
    },
  });
  try {
    const params = { _meta: { [META_CALL_PROOF]: PROBE_METHOD } };
    probe._onrequest({ id: 0, method: PROBE_METHOD, params });
    await answered;
  } catch {
    return false;
  }
  return asked && !ran;
}

const PROBE_METHOD = "probe/patched";
