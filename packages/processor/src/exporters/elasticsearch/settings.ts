// What can be said about a destination, and what makes no sense together.
import type { ConfigFault, JsonSchema } from "@countersign/pipeline";
import { sizeBytes } from "@countersign/pipeline";
import { checkHttpSink, HTTP_SINK_PROPERTIES, type HttpSinkConfig } from "../http-sink.ts";
import { FORMAT_NAMES, FORMATS, type FormatName } from "../../formats/formats.ts";

/** Validated settings. */
export interface ElasticsearchConfig extends HttpSinkConfig {
  readonly data_stream: string;
  readonly format: FormatName;
  readonly api_key?: string;
  readonly basic?: { readonly username: string; readonly password: string };
  readonly bearer_token?: string;
  readonly max_events: number;
  readonly max_body: string;
  readonly deduplicate: "restart" | "never";
}

const SECRET = {
  type: "string",
  minLength: 1,
  maxLength: 8192,
  pattern: "^[\\x21-\\x7e]+$",
  writeOnly: true,
} as const;

const JSON_FORMATS = FORMAT_NAMES.filter((name) => FORMATS[name].shape === "json");

/** An event of the largest format, with room to spare. */
const MIN_BODY_BYTES = 262_144;
/** What Elasticsearch and OpenSearch take unless told otherwise (`http.max_content_length`). */
const MAX_BODY_BYTES = 104_857_600;

export const ELASTICSEARCH_SETTINGS: JsonSchema = {
  type: "object",
  additionalProperties: false,
  required: ["endpoint", "data_stream"],
  properties: {
    ...HTTP_SINK_PROPERTIES,
    endpoint: {
      ...(HTTP_SINK_PROPERTIES["endpoint"] as object),
      description: "Base address of the cluster, or of a proxy before it, without _bulk.",
      examples: ["https://elastic.example:9200"],
    },
    data_stream: {
      type: "string",
      pattern: "^[a-z0-9][a-z0-9._-]{0,199}$",
      description:
        "The data stream. It must exist, made from the template in deploy/elastic: it is checked before the first event.",
      examples: ["logs-countersign.decisions-acme"],
    },
    format: {
      enum: JSON_FORMATS,
      default: "ecs",
      description: "ecs is what the template is for; native keeps the sealed event's own members.",
    },
    api_key: {
      ...SECRET,
      description: "The `encoded` form of an API key (Elasticsearch), from ${env:…} or ${file:…}.",
    },
    basic: {
      type: "object",
      additionalProperties: false,
      required: ["username", "password"],
      properties: {
        username: {
          type: "string",
          pattern: "^[^:\\u0000-\\u001f]{1,256}$",
          description: "The user.",
        },
        password: {
          type: "string",
          description: "The password, from ${env:…} or ${file:…}.",
          minLength: 1,
          maxLength: 1024,
          pattern: "^[^\\u0000-\\u001f]+$",
          writeOnly: true,
        },
      },
      description: "A user and its password, where there are no API keys (OpenSearch).",
    },
    bearer_token: { ...SECRET, description: "A token of an identity provider, or of a service." },
    max_events: {
      type: "integer",
      minimum: 1,
      maximum: 10_000,
      default: 1000,
      description: "Events in one request.",
    },
    max_body: {
      type: "string",
      format: "size",
      default: "5MiB",
      description: "Size of one request before compression; a 413 halves it: 256KiB to 100MiB.",
    },
    deduplicate: {
      enum: ["restart", "never"],
      default: "restart",
      description:
        "restart: what may have been sent before is looked up first, since a rollover forgets ids; needs the right to read. never: it is not.",
    },
  },
};

/** What the schema cannot see. */
export function checkSettings(config: ElasticsearchConfig): readonly ConfigFault[] {
  const { api_key, basic, bearer_token, max_body } = config;
  const faults: ConfigFault[] = [...checkHttpSink(config)];
  const given = Object.entries({ api_key, basic, bearer_token }).filter(([, one]) => one);
  if (given.length > 1) {
    faults.push({
      path: [given[1]?.[0] ?? "basic"],
      message: `stands beside \`${given[0]?.[0]}\``,
      fix: "keep one of api_key, basic and bearer_token",
    });
  }
  const bytes = sizeBytes(max_body);
  if (bytes < MIN_BODY_BYTES || bytes > MAX_BODY_BYTES) {
    faults.push({
      path: ["max_body"],
      message: "is not between 256KiB and 100MiB",
      fix: "leave it out for 5MiB",
    });
  }
  return faults;
}

/** Headers that say who we are. */
export function authorizationOf(config: ElasticsearchConfig): Readonly<Record<string, string>> {
  const { api_key, basic, bearer_token } = config;
  if (api_key !== undefined) return { authorization: `ApiKey ${api_key}` };
  if (bearer_token !== undefined) return { authorization: `Bearer ${bearer_token}` };
  if (basic === undefined) return {};
  const pair = Buffer.from(`${basic.username}:${basic.password}`, "utf8").toString("base64");
  return { authorization: `Basic ${pair}` };
}
