import { type Coverage, createCoverage } from "./coverage.ts";
import type { Enforcer } from "./enforce.ts";
import { gatedCreateMcpHandler, gatedServeStdio, patchClasses, provePatch } from "./patch.ts";
import { type LoadedSdk, hookSdkLoads } from "./sdk-hook.ts";

/** A process in which every copy of the SDK that loads is gated. */
export interface GatedProcess {
  readonly coverage: Coverage;
}

/** Called with a sentence when a copy cannot be gated. It is expected not to return: what follows is not safe. */
export type Refuse = (message: string) => void;

/** Gates every copy of the MCP SDK that is loaded from now on, and proves each patch. `loaded` hears of each. */
export function createGatedProcess(
  enforcer: Enforcer,
  refuse: Refuse,
  loaded?: () => void,
): GatedProcess {
  const coverage = createCoverage();
  hookSdkLoads((sdk) => {
    if (sdk.file === "stdio") gateStdioEntry(sdk, enforcer);
    else gateCopy(sdk, { enforcer, coverage, refuse });
    loaded?.();
  });
  return { coverage };
}

/** Not replaceable means not open: what reaches the SDK's own router then finds no subscriptions to listen to. */
function gateStdioEntry(sdk: LoadedSdk, enforcer: Enforcer): void {
  const { StdioServerTransport } = sdk.exports as { StdioServerTransport?: new () => object };
  if (StdioServerTransport === undefined) return;
  const createTransport = (): object => new StdioServerTransport();
  sdk.replace("serveStdio", (serve: never) =>
    gatedServeStdio(serve, { enforcer, createTransport }),
  );
}

interface Gating {
  readonly enforcer: Enforcer;
  readonly coverage: Coverage;
  readonly refuse: Refuse;
}

function gateCopy(sdk: LoadedSdk, { enforcer, coverage, refuse }: Gating): void {
  const { package: name, version, format } = sdk;
  const cannot = (): void => {
    coverage.add({ package: name, version, format, patched: false });
    refuse(
      `${name}@${version} (${format}) is built differently from what can be gated; this version is not supported`,
    );
  };
  if (!patchClasses(sdk.exports, enforcer)) {
    cannot();
    return;
  }
  coverage.add({ package: name, version, format, patched: true });
  const { Protocol } = sdk.exports as { Protocol: { prototype: object } };
  void provePatch(Protocol).then((proven) => (proven ? undefined : cannot()));
  sdk.replace("createMcpHandler", (create: never) => gatedCreateMcpHandler(create, enforcer));
}
