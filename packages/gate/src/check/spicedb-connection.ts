import type { v1 } from "@authzed/authzed-node";
import type { ChannelOptions, Metadata } from "@grpc/grpc-js";
import type { SpiceDbConfig } from "../policy/policy.ts";

/** An open client, and what is needed to build its messages. */
export interface Connection {
  readonly permissions: v1.PermissionsServiceClient;
  readonly schema: v1.SchemaServiceClient;
  readonly v1: typeof v1;
  /** Metadata of one request: our token, and what joins SpiceDB's log and trace with ours. */
  metadata(requestId?: string, traceparent?: string): Metadata;
  close(): void;
}

/**
 * `grpc.use_local_subchannel_pool`: a new client gets a new connection, which is the point of making one after timeouts.
 * The back-off is short because a deadline of half a second is over before grpc-js's default of 1 s would try again.
 */
const CHANNEL: ChannelOptions = {
  "grpc.use_local_subchannel_pool": 1,
  "grpc.initial_reconnect_backoff_ms": 50,
  "grpc.min_reconnect_backoff_ms": 50,
  "grpc.max_reconnect_backoff_ms": 1000,
};

/**
 * Loads the client and makes a channel; nothing is sent. The service clients are used without authzed-node's wrapper: its
 * `ClientSecurity` decides by the spelling of the endpoint whether the token goes along, and throws outside the promise for
 * `127.0.0.1`. Here the token is metadata of every request, over TLS, or in the clear to this machine only (policy load).
 */
export async function connect({ endpoint, token, tls }: SpiceDbConfig): Promise<Connection> {
  const [{ v1: api }, grpc] = await Promise.all([
    import("@authzed/authzed-node"),
    import("@grpc/grpc-js"),
  ]);
  const credentials = tls ? grpc.credentials.createSsl() : grpc.credentials.createInsecure();
  const permissions = new api.PermissionsServiceClient(endpoint, credentials, CHANNEL);
  const schema = new api.SchemaServiceClient(endpoint, credentials, CHANNEL);
  const authorization = `Bearer ${token}`;
  return {
    permissions,
    schema,
    v1: api,
    metadata: (requestId, traceparent) => {
      const metadata = new grpc.Metadata();
      metadata.set("authorization", authorization);
      if (requestId !== undefined) metadata.set("x-request-id", requestId);
      if (traceparent !== undefined) metadata.set("traceparent", traceparent);
      return metadata;
    },
    close: () => {
      permissions.close();
      schema.close();
    },
  };
}
