// TLS towards a destination: whom we trust, and who we are.
import type { SecureContextOptions } from "node:tls";
import type { ConfigFault, JsonSchema } from "@countersign/pipeline";
import { faultsOf, SettingError } from "./setting-error.ts";
import { certificatesOf, isPem, privateKeyOf } from "./tls.ts";
import { readSource, sourceOf } from "./watched-files.ts";

/** Settings of TLS towards a destination. Absent members: the system's authorities, no client certificate. */
export interface ClientTlsConfig {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly server_name?: string;
  readonly min_version: "1.2" | "1.3";
}

const PEM = { type: "string", minLength: 1, maxLength: 1_048_576 } as const;

/** Schema of {@link ClientTlsConfig}. There is no setting that switches the check of the certificate off. */
export const CLIENT_TLS_SCHEMA: JsonSchema = {
  type: "object",
  additionalProperties: false,
  default: {},
  description: "Whom to trust, and who we are. Absent: the system's authorities.",
  properties: {
    ca: {
      ...PEM,
      description:
        "Authorities of the destination's certificate, PEM: ${file:/path/ca.crt}, or the path. In place of the system's.",
    },
    cert: { ...PEM, description: "Our certificate and its chain (mTLS), PEM, or the path." },
    key: {
      ...PEM,
      writeOnly: true,
      description: "Its private key, PEM, not encrypted: ${file:/path/tls.key}, or the path.",
    },
    server_name: {
      type: "string",
      minLength: 1,
      maxLength: 253,
      description: "Name that its certificate has to be for, if not the one in the endpoint.",
    },
    min_version: {
      enum: ["1.2", "1.3"],
      default: "1.2",
      description: "Lowest version of TLS: 1.2.",
    },
  },
  dependentRequired: { cert: ["key"], key: ["cert"] },
};

/** What a connection needs of the settings. */
export type ClientTls = SecureContextOptions & { readonly servername?: string };

/** Reads the settings; throws a `SettingError`. `base`: path of the TLS settings, with a dot at its end. */
export function clientTls(config: ClientTlsConfig, base = "tls."): ClientTls {
  const text = (part: "ca" | "cert" | "key"): string | undefined => {
    const setting = config[part];
    return setting === undefined ? undefined : readSource(sourceOf(setting, isPem), base + part);
  };
  const ca = text("ca");
  const cert = text("cert");
  const key = text("key");
  if (ca !== undefined) certificatesOf(ca, `${base}ca`);
  if (cert !== undefined && key !== undefined) checkPair(cert, key, base);
  const { server_name: servername, min_version } = config;
  return {
    minVersion: min_version === "1.3" ? "TLSv1.3" : "TLSv1.2",
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(servername === undefined ? {} : { servername }),
  };
}

/** For a component's `check`. */
export function checkClientTls(
  config: ClientTlsConfig | undefined,
  base = "tls.",
): readonly ConfigFault[] {
  return config === undefined ? [] : faultsOf(() => clientTls(config, base));
}

function checkPair(cert: string, key: string, base: string): void {
  const [leaf] = certificatesOf(cert, `${base}cert`);
  if (leaf.checkPrivateKey(privateKeyOf(key, `${base}key`))) return;
  throw new SettingError(
    `${base}key`,
    "does not belong to the certificate",
    "configure the pair that was made together; our own certificate comes first in `cert`, its authorities after it",
  );
}
