// The section `clients`: how to reach a cluster, and what its topics must be like.
import { isLoopbackHost } from "@countersign/model";
import {
  type ConfigFault,
  DURATION_SCHEMA,
  durationMs,
  type JsonSchema,
  parseEndpoint,
} from "@countersign/pipeline";

/** Settings of a client, validated, with defaults. */
export interface ClientConfig {
  readonly brokers: readonly string[];
  readonly client_id: string;
  readonly tls: boolean | TlsConfig;
  readonly sasl?: {
    readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512";
    readonly username: string;
    readonly password: string;
  };
  readonly require: TopicRequirements;
  readonly connect_timeout: string;
  readonly request_timeout: string;
  readonly start_timeout: string;
}

/** Own certificates. Absent members: the system's authorities, no client certificate. */
export interface TlsConfig {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** What every topic that is used must be like. */
export interface TopicRequirements {
  readonly min_insync_replicas?: number;
  readonly cleanup_policy: "delete";
  readonly replication?: number;
}

const PEM = { type: "string", minLength: 1, maxLength: 65_536 } as const;

const TLS_SCHEMA: JsonSchema = {
  default: false,
  description: "true (the system's authorities), or PEM texts: ca, and cert with key for mTLS.",
  anyOf: [
    { type: "boolean" },
    {
      type: "object",
      additionalProperties: false,
      properties: {
        ca: { ...PEM, description: "Authorities of the brokers' certificates, PEM: ${file:…}." },
        cert: { ...PEM, description: "Our certificate (mTLS), PEM: ${file:…}." },
        key: { ...PEM, writeOnly: true, description: "Its private key, PEM: ${file:…}." },
      },
      dependentRequired: { cert: ["key"], key: ["cert"] },
    },
  ],
};

const SASL_SCHEMA: JsonSchema = {
  type: "object",
  additionalProperties: false,
  required: ["mechanism", "username", "password"],
  description: "Who we are: mechanism, username, password (from ${env:…} or ${file:…}).",
  properties: {
    mechanism: {
      enum: ["scram-sha-512", "scram-sha-256", "plain"],
      description: "How the password is proven; plain needs TLS.",
    },
    username: { type: "string", minLength: 1, maxLength: 256, description: "The user." },
    password: {
      type: "string",
      minLength: 1,
      maxLength: 1024,
      writeOnly: true,
      description: "The password, from ${env:…} or ${file:…}.",
    },
  },
};

const REQUIRE_SCHEMA: JsonSchema = {
  type: "object",
  additionalProperties: false,
  default: {},
  description: "What every topic must be like. Read at the start; a mismatch refuses to start.",
  properties: {
    min_insync_replicas: {
      type: "integer",
      minimum: 1,
      maximum: 16,
      description: "Least min.insync.replicas: with 2, an acknowledged event survives a broker.",
    },
    cleanup_policy: {
      const: "delete",
      default: "delete",
      description: "Only delete: compaction would forget events.",
    },
    replication: {
      type: "integer",
      minimum: 1,
      maximum: 16,
      description: "Least number of replicas of each partition.",
    },
  },
};

/** Schema of one client. */
export const CLIENT_SCHEMA: JsonSchema = {
  type: "object",
  additionalProperties: false,
  required: ["brokers"],
  properties: {
    brokers: {
      type: "array",
      minItems: 1,
      maxItems: 32,
      uniqueItems: true,
      items: { type: "string", format: "endpoint" },
      examples: [["kafka-1.example:9093", "kafka-2.example:9093"]],
      description: "Some brokers of the cluster, host:port; the others are learned from them.",
    },
    client_id: {
      type: "string",
      pattern: "^[A-Za-z0-9._-]{1,128}$",
      default: "countersign",
      description: "Name of this service in the brokers' logs and quotas.",
    },
    tls: TLS_SCHEMA,
    sasl: SASL_SCHEMA,
    require: REQUIRE_SCHEMA,
    connect_timeout: {
      ...DURATION_SCHEMA,
      default: "5s",
      description: "Time for a connection to a broker.",
    },
    request_timeout: {
      ...DURATION_SCHEMA,
      default: "10s",
      description: "Time for a broker's answer.",
    },
    start_timeout: {
      ...DURATION_SCHEMA,
      default: "30s",
      description: "How long a start waits for the cluster to answer.",
    },
  },
};

/** A password may not travel in the clear, but on this machine. */
export function checkClient(config: ClientConfig): readonly ConfigFault[] {
  const { sasl, tls, brokers } = config;
  if (sasl?.mechanism !== "plain" || tls !== false) return [];
  if (brokers.every((broker) => isLoopbackHost(parseEndpoint(broker)?.host ?? ""))) return [];
  return [
    {
      path: ["sasl", "mechanism"],
      message: "plain without TLS sends the password in the clear",
      fix: "set `tls: true`, or use scram-sha-512",
    },
  ];
}

/** How to reach a cluster. */
export interface Connection {
  /** Id of the client, for messages. */
  readonly id: string;
  readonly brokers: readonly string[];
  readonly clientId: string;
  readonly tls: boolean | TlsConfig;
  readonly sasl: ClientConfig["sasl"];
  readonly connectTimeoutMs: number;
  readonly requestTimeoutMs: number;
}

/** The part of the settings that a connection needs. */
export function connectionOf(id: string, config: ClientConfig): Connection {
  return {
    id,
    brokers: config.brokers,
    clientId: config.client_id,
    tls: config.tls,
    sasl: config.sasl,
    connectTimeoutMs: durationMs(config.connect_timeout),
    requestTimeoutMs: durationMs(config.request_timeout),
  };
}

/** A topic as every broker of its cluster has it: two clients with a broker in common mean the same one. */
export function topicStreams(
  { client, topic }: { readonly client: string; readonly topic: string },
  settingsOf: (client: string) => unknown,
): readonly string[] {
  const { brokers } = settingsOf(client) as ClientConfig;
  return brokers.map((broker) => `kafka ${broker.toLowerCase()}/${topic}`);
}
