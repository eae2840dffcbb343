import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SpanKind, context, propagation, trace } from "@opentelemetry/api";
import { NodeSDK } from "@opentelemetry/sdk-node";
import { BatchSpanProcessor } from "@opentelemetry/sdk-trace";

/** What is put around the one tool. `plain` is the SDK alone; everything else is counted as what it costs beyond it. */
export const TARGETS = [
  "plain",
  "otel-span",
  "spicedb-bare",
  "countersign",
  "countersign-spicedb",
] as const;
export type TargetName = (typeof TARGETS)[number];

export type Handler = (args: never, extra: never) => unknown;

export interface Target {
  wrapHandler?(handler: Handler): Handler;
  wrapServer?(server: object): void;
  close?(): Promise<void>;
}

export async function loadTarget(name: TargetName): Promise<Target> {
  switch (name) {
    case "plain":
      return {};
    case "otel-span":
      return otelSpan();
    case "spicedb-bare":
      return spicedbBare();
    case "countersign":
      return countersign(RELATIONSHIPS);
    case "countersign-spicedb":
      return countersign(spicedbAuthorizer());
  }
}

/** Spans are made, batched, and dropped at the last step before the network: the same for every target. */
function startTracing(): NodeSDK {
  const dropping = {
    export: (_spans: unknown, done: (result: { code: number }) => void) => done({ code: 0 }),
    shutdown: async () => {},
    forceFlush: async () => {},
  };
  const sdk = new NodeSDK({
    autoDetectResources: false,
    serviceName: "bench",
    spanProcessors: [new BatchSpanProcessor({ exporter: dropping } as never)],
  });
  sdk.start();
  return sdk;
}

/** The peer everybody knows: one hand-written SERVER span per call, by the MCP conventions. */
function otelSpan(): Target {
  const sdk = startTracing();
  const tracer = trace.getTracer("bench");
  const attributes = {
    "mcp.method.name": "tools/call",
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "echo",
    "network.transport": "pipe",
  };
  return {
    wrapHandler: (handler) =>
      (async (args: never, extra: Record<string, Record<string, unknown>>) => {
        const meta = (extra["mcpReq"] ?? extra)["_meta"] ?? {};
        const parent = propagation.extract(context.active(), meta);
        const span = tracer.startSpan(
          "tools/call echo",
          { kind: SpanKind.SERVER, attributes },
          parent,
        );
        try {
          return await context.with(trace.setSpan(parent, span), () =>
            handler(args, extra as never),
          );
        } finally {
          span.end();
        }
      }) as Handler,
    close: () => sdk.shutdown(),
  };
}

/** A check wired by hand with the same client library: what SpiceDB costs before we do anything. */
async function spicedbBare(): Promise<Target> {
  const { v1 } = await import("@authzed/authzed-node");
  const client = v1.NewClient(
    process.env["BENCH_SPICEDB_TOKEN"] as string,
    process.env["BENCH_SPICEDB_ENDPOINT"] as string,
    v1.ClientSecurity.INSECURE_PLAINTEXT_CREDENTIALS,
  );
  const object = (objectType: string, objectId: string) =>
    v1.ObjectReference.create({ objectType, objectId });
  return {
    wrapHandler: (handler) =>
      (async (args: never, extra: never) => {
        const answer = await client.promises.checkPermission(
          v1.CheckPermissionRequest.create({
            resource: object("tool", "echo"),
            permission: "use",
            subject: v1.SubjectReference.create({ object: object("user", "bench") }),
          }),
        );
        if (answer.permissionship !== v1.CheckPermissionResponse_Permissionship.HAS_PERMISSION)
          throw new Error("denied");
        return handler(args, extra);
      }) as Handler,
    close: async () => client.close(),
  };
}

const RELATIONSHIPS = `authorizer: { relationships: ["tool:echo#use@user:bench"] }`;

function spicedbAuthorizer(): string {
  const endpoint = process.env["BENCH_SPICEDB_ENDPOINT"] as string;
  return `authorizer:\n  spicedb: { endpoint: "${endpoint}", token: "\${env:BENCH_SPICEDB_TOKEN}", tls: false, consistency: minimize_latency, timeout: 5s }`;
}

/** The whole product: identity, policy, check, two sealed events on disk, spans. Shipping is off; it runs later anyway. */
async function countersign(authorizer: string): Promise<Target> {
  const sdk = startTracing();
  const { instrumentServer } = await import("@countersign/server");
  const directory = mkdtempSync(join(process.env["BENCH_DIR"] as string, "state-"));
  const policy = join(directory, "policy.yaml");
  writeFileSync(policy, policyText(authorizer));
  process.env["COUNTERSIGN_STATE_DIR"] = directory;
  process.env["COUNTERSIGN_ASSERTED_HUMAN"] = "bench";
  const stops: (() => Promise<void>)[] = [];
  return {
    wrapServer: (server) => {
      const instrumented = instrumentServer(server, { policy });
      stops.push(async () => {
        const gate = await instrumented.gate;
        await gate.stop("shutdown", AbortSignal.timeout(5_000));
      });
    },
    close: async () => {
      await Promise.all(stops.map((stop) => stop()));
      await sdk.shutdown();
    },
  };
}

export function policyText(authorizer: string = RELATIONSHIPS): string {
  return `version: 1
server: urn:mcp:bench
tenant: bench
mode: enforce
durability: journal
identity:
  minimum: asserted
  subject: "user:{human.subject}"
${authorizer}
tools:
  echo: { permission: use, resource: "tool:echo" }
lists: filter
default: deny
`;
}
