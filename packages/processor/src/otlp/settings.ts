// Settings of the OTLP receiver.
import { isLoopbackHost } from "@countersign/model";
import {
  type ConfigFault,
  type JsonSchema,
  parseEndpoint,
  type Reference,
} from "@countersign/pipeline";
import { ENDPOINT_SCHEMA } from "../listen.ts";
import { checkTls, TLS_SCHEMA, type TlsConfig } from "../tls.ts";

/** Settings of `protocols.http`. */
export interface HttpConfig {
  readonly endpoint: string;
  readonly tls?: TlsConfig;
  readonly auth?: string;
  readonly max_request_body_size: string;
  readonly max_decompressed_size: string;
  readonly max_concurrent_requests: number;
  readonly max_connections: number;
  readonly header_timeout: string;
  readonly read_timeout: string;
  readonly idle_timeout: string;
}

const duration = (value: string, description: string): object => ({
  type: "string",
  format: "duration",
  default: value,
  description,
});
const size = (value: string, description: string): object => ({
  type: "string",
  format: "size",
  default: value,
  description,
});

/** Schema of the receiver. */
export const RECEIVER_SCHEMA: JsonSchema = {
  type: "object",
  additionalProperties: false,
  required: ["protocols"],
  properties: {
    protocols: {
      type: "object",
      additionalProperties: false,
      required: ["http"],
      description: "OTLP over HTTP; gRPC is not spoken.",
      properties: {
        http: {
          type: "object",
          additionalProperties: false,
          default: {},
          description: "Where it listens, and what one sender may take.",
          properties: {
            endpoint: { ...ENDPOINT_SCHEMA, default: "127.0.0.1:4318" },
            tls: TLS_SCHEMA,
            auth: {
              type: "string",
              description: "Id of a bearer_auth extension: a request needs one of its tokens.",
            },
            max_request_body_size: size("4MiB", "Longest body as it comes over the wire: 4MiB."),
            max_decompressed_size: size("16MiB", "Longest body after decompression: 16MiB."),
            max_concurrent_requests: {
              type: "integer",
              minimum: 1,
              maximum: 1024,
              default: 32,
              description:
                "Requests at once; one more is answered 503. Times max_decompressed_size, it bounds memory.",
            },
            max_connections: {
              type: "integer",
              minimum: 1,
              maximum: 65_535,
              default: 1024,
              description: "Connections at once, idle ones too; one more is closed.",
            },
            header_timeout: duration(
              "5s",
              "Time for a handshake, and for a request's headers: 5s.",
            ),
            read_timeout: duration("15s", "Time for a whole request: 15s."),
            idle_timeout: duration("60s", "How long a connection without a request is kept: 60s."),
          },
        },
      },
    },
  },
};

const HTTP = ["protocols", "http"];
/** Path of the TLS settings. */
export const TLS_PATH = "protocols.http.tls.";

/** What the schema cannot see. */
export function checkReceiver(http: HttpConfig): readonly ConfigFault[] {
  return [...(http.tls === undefined ? [] : checkTls(http.tls, TLS_PATH)), ...checkWhoSends(http)];
}

/** The extension that knows the senders. */
export function receiverReferences({ auth }: HttpConfig): readonly Reference[] {
  if (auth === undefined) return [];
  return [{ path: [...HTTP, "auth"], id: auth, kind: "extension", types: ["bearer_auth"] }];
}

/** Whoever can reach an address that is not this machine's must say who they are. */
function checkWhoSends({ endpoint, tls, auth }: HttpConfig): readonly ConfigFault[] {
  const host = parseEndpoint(endpoint)?.host;
  if (auth !== undefined && tls?.clients !== undefined) {
    const fix = "remove one of the two; `client_ca` may stay beside `auth`";
    const message = "says by tokens who sends, and `tls.clients` says it by certificates";
    return [{ path: [...HTTP, "auth"], message, fix }];
  }
  if (host === undefined || isLoopbackHost(host)) return [];
  if (auth === undefined && tls?.clients === undefined) {
    const message = "is not a loopback address, and senders would not have to say who they are";
    const fix =
      "set `auth` to a bearer_auth extension, or `tls.client_ca` and `tls.clients`, or listen on 127.0.0.1";
    return [{ path: [...HTTP, "endpoint"], message, fix }];
  }
  if (tls !== undefined) return [];
  const message = "has no `tls`: tokens and events cross the network in clear";
  const fix = "set `tls`, unless a proxy before it ends TLS and nothing else can reach it";
  return [{ path: [...HTTP, "endpoint"], message, fix, severity: "warning" }];
}
