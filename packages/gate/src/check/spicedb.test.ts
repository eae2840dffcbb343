// The wire that a real SpiceDB does not show: metadata, spans, trailers of an old version, answers it never gives.
// The server is a real gRPC server with SpiceDB's messages; the real SpiceDB is in test/services.
import { v1 } from "@authzed/authzed-node";
import * as grpc from "@grpc/grpc-js";
import { context, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import {
  InMemorySpanExporter,
  SimpleSpanProcessor,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import { afterEach, expect, test } from "vitest";
import type { SpiceDbConfig } from "../policy/policy.ts";
import type { CheckCall, Checker, CheckRequest } from "./checker.ts";
import { createSpiceDbChecker } from "./spicedb.ts";

type Single = v1.CheckPermissionResponse;
type Bulk = v1.CheckBulkPermissionsResponse;

const HAS = v1.CheckPermissionResponse_Permissionship.HAS_PERMISSION;

interface Behaviour {
  readonly single?: (
    request: v1.CheckPermissionRequest,
  ) => Partial<Single> | Partial<grpc.ServiceError>;
  readonly bulk?: (request: v1.CheckBulkPermissionsRequest) => Partial<Bulk>;
  readonly version?: string;
}

const closing: (() => unknown)[] = [];

afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});

interface Served {
  readonly checker: Checker;
  readonly metadata: Record<string, grpc.MetadataValue>[];
  readonly singles: v1.CheckPermissionRequest[];
}

const codec = <T extends object>(type: {
  toBinary(message: T): Uint8Array;
  fromBinary(bytes: Uint8Array): T;
}) => ({
  serialize: (message: T) => Buffer.from(type.toBinary(message)),
  deserialize: (bytes: Buffer) => type.fromBinary(bytes),
});

const method = <Q extends object, R extends object>(
  path: string,
  request: Parameters<typeof codec<Q>>[0],
  response: Parameters<typeof codec<R>>[0],
) => ({
  path,
  requestStream: false as const,
  responseStream: false as const,
  requestSerialize: codec(request).serialize,
  requestDeserialize: codec(request).deserialize,
  responseSerialize: codec(response).serialize,
  responseDeserialize: codec(response).deserialize,
});

async function serve(behaviour: Behaviour, more: Partial<SpiceDbConfig> = {}): Promise<Served> {
  const metadata: Record<string, grpc.MetadataValue>[] = [];
  const singles: v1.CheckPermissionRequest[] = [];
  const server = new grpc.Server();
  server.addService(
    {
      single: method(
        "/authzed.api.v1.PermissionsService/CheckPermission",
        v1.CheckPermissionRequest,
        v1.CheckPermissionResponse,
      ),
      bulk: method(
        "/authzed.api.v1.PermissionsService/CheckBulkPermissions",
        v1.CheckBulkPermissionsRequest,
        v1.CheckBulkPermissionsResponse,
      ),
      schema: method(
        "/authzed.api.v1.SchemaService/ReadSchema",
        v1.ReadSchemaRequest,
        v1.ReadSchemaResponse,
      ),
    },
    {
      single: (
        call: grpc.ServerUnaryCall<v1.CheckPermissionRequest, Single>,
        done: grpc.sendUnaryData<Single>,
      ) => {
        metadata.push(call.metadata.getMap());
        singles.push(call.request);
        const answer = behaviour.single?.(call.request) ?? {};
        if ("code" in answer) done(answer);
        else done(null, v1.CheckPermissionResponse.create(answer as Single));
      },
      bulk: (
        call: grpc.ServerUnaryCall<v1.CheckBulkPermissionsRequest, Bulk>,
        done: grpc.sendUnaryData<Bulk>,
      ) => {
        metadata.push(call.metadata.getMap());
        done(null, v1.CheckBulkPermissionsResponse.create(behaviour.bulk?.(call.request) ?? {}));
      },
      schema: (
        call: grpc.ServerUnaryCall<unknown, v1.ReadSchemaResponse>,
        done: grpc.sendUnaryData<v1.ReadSchemaResponse>,
      ) => {
        const trailers = new grpc.Metadata();
        if (
          behaviour.version !== undefined &&
          call.metadata.get("io.spicedb.requestversion").length > 0
        ) {
          trailers.set("io.spicedb.debug.version", behaviour.version);
        }
        done(null, v1.ReadSchemaResponse.create({ schemaText: "definition user {}" }), trailers);
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  const checker = createSpiceDbChecker({
    endpoint: `127.0.0.1:${port}`,
    token: "t0ken",
    tls: false,
    consistency: "minimize_latency",
    timeoutMs: 2000,
    ...more,
  });
  closing.push(async () => {
    await checker.close();
    server.forceShutdown();
  });
  return { checker, metadata, singles };
}

const question: CheckRequest = {
  permission: "read",
  resource: { type: "ticket", id: "T-1" },
  subject: { type: "user", id: "ada" },
};

function calling(more: Partial<CheckCall> = {}): CheckCall {
  return {
    id: "01a2027b-e3d4-728a-9347-6e9986773eb1",
    signal: new AbortController().signal,
    ...more,
  };
}

test("the decision id, our token and the trace go along as metadata", async () => {
  const { checker, metadata } = await serve({ single: () => ({ permissionship: HAS }) });
  const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-53995c3f42cd8ad8-01";
  expect(await checker.check([question], calling({ traceparent }))).toMatchObject([
    { verdict: "allow" },
  ]);
  expect(metadata[0]).toMatchObject({
    authorization: "Bearer t0ken",
    "x-request-id": "01a2027b-e3d4-728a-9347-6e9986773eb1",
    traceparent,
  });
});

const { UNSPECIFIED, NO_PERMISSION, CONDITIONAL_PERMISSION } =
  v1.CheckPermissionResponse_Permissionship;
const OF_THE_FUTURE = 4 as unknown as typeof HAS;

test.each([
  [UNSPECIFIED, "error", "not_evaluated"],
  [NO_PERMISSION, "deny", undefined],
  [HAS, "allow", undefined],
  [CONDITIONAL_PERMISSION, "conditional", "missing_context"],
  [OF_THE_FUTURE, "error", "not_evaluated"],
] as const)("permissionship %i is %s", async (permissionship, verdict, reason) => {
  const { checker } = await serve({ single: () => ({ permissionship }) });
  const [answer] = await checker.check([question], calling());
  expect(answer).toMatchObject({ verdict });
  expect(answer?.reason).toBe(reason);
});

test("when the answer expires is in it, and so is the token", async () => {
  const { checker } = await serve({
    single: () => ({
      permissionship: HAS,
      checkedAt: { token: "Gh==" },
      optionalExpiresAt: { seconds: "1795000000", nanos: 250_000_000 },
    }),
  });
  expect(await checker.check([question], calling())).toMatchObject([
    { consistencyToken: "Gh==", expiresAt: "2026-11-18T11:06:40.250Z" },
  ]);
});

test("an answer to fewer questions than were asked leaves the rest undecided", async () => {
  const { checker } = await serve({
    bulk: () => ({ pairs: [{ response: { oneofKind: "item", item: { permissionship: HAS } } }] }),
  });
  expect(await checker.check([question, question], calling())).toMatchObject([
    { verdict: "allow" },
    { verdict: "error", reason: "not_evaluated" },
  ]);
});

test.each([
  [grpc.status.PERMISSION_DENIED, "refused"],
  [grpc.status.UNAUTHENTICATED, "refused"],
  [grpc.status.INVALID_ARGUMENT, "invalid_request"],
  [grpc.status.FAILED_PRECONDITION, "invalid_request"],
  [grpc.status.RESOURCE_EXHAUSTED, "unavailable"],
  [grpc.status.INTERNAL, "not_evaluated"],
  [grpc.status.UNKNOWN, "not_evaluated"],
] as const)("gRPC status %i is %s, never a denial", async (code, reason) => {
  const { checker } = await serve({
    single: () => ({ code, details: "ticket:T-1" }),
  });
  expect(await checker.check([question], calling())).toMatchObject([{ verdict: "error", reason }]);
});

test("unavailable is tried once more within the deadline", async () => {
  let calls = 0;
  const { checker } = await serve({
    single: () =>
      (calls += 1) === 1 ? { code: grpc.status.UNAVAILABLE, details: "" } : { permissionship: HAS },
  });
  expect(await checker.check([question], calling())).toMatchObject([{ verdict: "allow" }]);
  expect(calls).toBe(2);
});

test("after close nothing is sent any more", async () => {
  const { checker, singles } = await serve({ single: () => ({ permissionship: HAS }) });
  await checker.check([question], calling());
  await checker.close();
  expect(await checker.check([question], calling())).toMatchObject([
    { verdict: "error", reason: "unavailable" },
  ]);
  expect(singles).toHaveLength(1);
});

test("at_least_as_fresh: first everything, then the newest token seen, and everything again when it is refused", async () => {
  let refuse = false;
  const { checker, singles } = await serve(
    {
      single: ({ consistency }) =>
        refuse && consistency?.requirement.oneofKind === "atLeastAsFresh"
          ? { code: grpc.status.INVALID_ARGUMENT, details: "invalid zedtoken" }
          : { permissionship: HAS, checkedAt: { token: `t${singles.length}` } },
    },
    { consistency: "at_least_as_fresh" },
  );
  await checker.check([question], calling());
  await checker.check([question], calling());
  refuse = true;
  expect(await checker.check([question], calling())).toMatchObject([{ verdict: "allow" }]);
  expect(singles.map(({ consistency }) => consistency?.requirement)).toMatchObject([
    { oneofKind: "fullyConsistent" },
    { atLeastAsFresh: { token: "t1" } },
    { atLeastAsFresh: { token: "t2" } },
    { oneofKind: "fullyConsistent" },
  ]);
});

test.each([
  ["v1.53.9", false, "older than 1.54"],
  ["v1.54.0", true, "SpiceDB 1.54"],
  ["v2.0.0", true, "SpiceDB 2.0"],
  ["(devel)", true, "does not tell its version"],
  [undefined, true, "does not tell its version"],
] as const)("probe: version %s", async (version, ok, detail) => {
  const { checker } = await serve(version === undefined ? {} : { version });
  const result = await checker.probe(AbortSignal.timeout(5000));
  expect(result.ok).toBe(ok);
  expect(result.detail).toContain(detail);
});

test("one CLIENT span for each request sent, below the call's, and its trace goes along", async () => {
  const exporter = new InMemorySpanExporter();
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  trace.setGlobalTracerProvider(provider);
  closing.push(() => trace.disable());
  const parent = provider.getTracer("test").startSpan("authorize");
  const active = trace.setSpan(ROOT_CONTEXT, parent);
  const { checker, metadata } = await serve({
    single: () => ({ code: grpc.status.PERMISSION_DENIED, details: "ticket:T-1 of ada" }),
    bulk: () => ({ pairs: [] }),
  });
  await checker.check([question], calling({ context: active }));
  await checker.check([question, question], calling({ context: active }));
  const [failed, bulk] = exporter.getFinishedSpans();
  expect(failed).toMatchObject({
    name: "check",
    kind: SpanKind.CLIENT,
    status: { code: SpanStatusCode.ERROR },
  });
  expect(failed?.attributes).toMatchObject({
    "rpc.system.name": "grpc",
    "rpc.method": "authzed.api.v1.PermissionsService/CheckPermission",
    "server.address": "127.0.0.1",
    "countersign.check.count": 1,
    "rpc.status_code": "PERMISSION_DENIED",
    "error.type": "PERMISSION_DENIED",
  });
  expect(bulk?.attributes).toMatchObject({
    "rpc.method": "authzed.api.v1.PermissionsService/CheckBulkPermissions",
    "countersign.check.count": 2,
  });
  expect(JSON.stringify([failed?.attributes, failed?.status, failed?.events])).not.toMatch(
    /T-1|ada/,
  );
  const own = failed?.spanContext();
  expect(own?.traceId).toBe(parent.spanContext().traceId);
  expect(metadata[0]?.["traceparent"]).toBe(`00-${own?.traceId}-${own?.spanId}-01`);
  expect(context.active()).toBe(ROOT_CONTEXT);
});
