// Settings of the syslog exporter.
import { isLoopbackHost } from "@countersign/model";
import {
  type ConfigFault,
  DURATION_SCHEMA,
  type Endpoint,
  type JsonSchema,
  parseEndpoint,
} from "@countersign/pipeline";
import { FORMAT_NAMES, type FormatName } from "../../formats/formats.ts";
import { checkClientTls, CLIENT_TLS_SCHEMA, type ClientTlsConfig } from "../../tls-client.ts";

/** Settings, validated, with defaults. */
export interface SyslogConfig {
  readonly endpoint: string;
  readonly transport: "tls" | "tcp";
  readonly tls: ClientTlsConfig;
  readonly format: FormatName;
  readonly confirm: "close" | "drain";
  readonly settle: string;
  readonly connect_timeout: string;
  readonly timeout: string;
  readonly max_in_flight: number;
  readonly max_message: string;
  readonly facility: number;
  readonly hostname: string;
  readonly app_name: string;
  readonly enterprise_number: number;
  readonly bom: boolean;
}

/** Largest message that is ever sent, bytes: what an event can be (32 KiB), with room for a format's names. */
const MOST_MESSAGE_BYTES = 65_536;

/** Schema of {@link SyslogConfig}. */
export const SYSLOG_SCHEMA: JsonSchema = {
  type: "object",
  additionalProperties: false,
  required: ["endpoint", "format"],
  properties: {
    endpoint: {
      type: "string",
      format: "endpoint",
      description: "The receiver, host:port; 6514 is the port of syslog over TLS.",
      examples: ["siem.example:6514"],
    },
    format: {
      enum: FORMAT_NAMES,
      description: "What a message says: a line of this format.",
      examples: ["native"],
    },
    transport: {
      enum: ["tls", "tcp"],
      default: "tls",
      description: "tls (RFC 5425); tcp is in the clear.",
    },
    tls: CLIENT_TLS_SCHEMA,
    confirm: {
      enum: ["close", "drain"],
      default: "close",
      description:
        "When events count as delivered: the receiver read to the end of a connection and closed it, or the bytes left and the connection stood for `settle`.",
    },
    settle: {
      ...DURATION_SCHEMA,
      default: "1s",
      description: "With `confirm: drain`: how long the connection has to stand after the bytes.",
    },
    connect_timeout: {
      ...DURATION_SCHEMA,
      default: "10s",
      description: "Time for a connection, TLS included.",
    },
    timeout: {
      ...DURATION_SCHEMA,
      default: "30s",
      description:
        "Time for the receiver to read 1 MiB, or less of a batch; then it is sent again.",
    },
    max_in_flight: {
      type: "integer",
      minimum: 1,
      maximum: 32,
      default: 4,
      description: "Batches under way at once; with `confirm: close` each has its connection.",
    },
    max_message: {
      type: "string",
      format: "size",
      default: "8096B",
      description:
        "Longest message, 480B to 64KiB; a longer one becomes a dead letter (too_large), it is never cut. Not more than the receiver takes.",
    },
    facility: {
      type: "integer",
      minimum: 0,
      maximum: 23,
      default: 13,
      description: "Facility: 13 is log audit, 16 to 23 are local0 to local7.",
    },
    hostname: {
      type: "string",
      pattern: "^[!-~]{1,255}$",
      default: "-",
      description: "HOSTNAME of the messages; - is none.",
    },
    app_name: {
      type: "string",
      pattern: "^[!-~]{1,48}$",
      default: "countersign",
      description: "APP-NAME of the messages.",
    },
    enterprise_number: {
      type: "integer",
      minimum: 1,
      maximum: 4_294_967_295,
      default: 32_473,
      description:
        "Number behind the @ of our structured data: your own private enterprise number; 32473 is for examples (RFC 5612) and belongs to nobody.",
    },
    bom: {
      type: "boolean",
      default: false,
      description: "A byte order mark before the payload (RFC 5424). rsyslog hands it on.",
    },
  },
};

/** What the schema cannot see. `sizeOf`: bytes of a size that is one. */
export function checkSyslog(
  config: SyslogConfig,
  sizeOf: (text: string) => number,
): readonly ConfigFault[] {
  const faults: ConfigFault[] = [...checkClientTls(config.tls)];
  const { host } = endpointOf(config);
  const { ca, cert, server_name } = config.tls;
  if (config.transport === "tcp" && (ca ?? cert ?? server_name) !== undefined)
    faults.push(fault("tls", "is not used by `transport: tcp`", "remove one of the two"));
  else if (config.transport === "tcp" && !isLoopbackHost(host))
    faults.push({
      ...fault(
        "transport",
        "tcp to another machine: who is on the way reads the events, changes them, and adds some",
        "use `transport: tls`, or a tunnel to this address",
      ),
      severity: "warning",
    });
  const bytes = sizeOf(config.max_message);
  if (bytes < 480 || bytes > MOST_MESSAGE_BYTES)
    faults.push(fault("max_message", "is not between 480B and 64KiB", "write 8KiB, or 64KiB"));
  return faults;
}

/** Where to. */
export function endpointOf({ endpoint }: Pick<SyslogConfig, "endpoint">): Endpoint {
  return parseEndpoint(endpoint) ?? { host: "", port: 0 };
}

function fault(setting: string, message: string, fix: string): ConfigFault {
  return { path: [setting], message, fix };
}
