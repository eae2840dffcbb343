// TLS of a server: settings, their check, and certificates that change while it runs.
import { constants, createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { createSecureContext, type SecureContextOptions } from "node:tls";
import { type ConfigFault, DURATION_SCHEMA, type JsonSchema } from "@countersign/pipeline";
import { type Clients, CLIENTS_SCHEMA, readClients } from "./credentials.ts";
import { faultsOf, SettingError } from "./setting-error.ts";
import { readSource, type Source, sourceOf } from "./watched-files.ts";

/** Settings of a server's TLS. */
export interface TlsConfig {
  readonly cert: string;
  readonly key: string;
  readonly client_ca?: string;
  readonly clients?: string;
  readonly min_version: "1.2" | "1.3";
  readonly reload_interval: string;
}

/** Schema of {@link TlsConfig}. */
export const TLS_SCHEMA: JsonSchema = {
  type: "object",
  additionalProperties: false,
  required: ["cert", "key"],
  description: "Serves https with these; absent: http.",
  properties: {
    cert: {
      type: "string",
      minLength: 1,
      description: "The certificate and its chain, PEM: ${file:/path/tls.crt}, or the path.",
    },
    key: {
      type: "string",
      minLength: 1,
      description: "Its private key, PEM, not encrypted: ${file:/path/tls.key}, or the path.",
    },
    client_ca: {
      type: "string",
      minLength: 1,
      description: "Authorities of senders' certificates, PEM. Set: a sender needs one (mTLS).",
    },
    clients: {
      type: "string",
      minLength: 1,
      description: "Whose certificates they are: a JSON file of subject, tenant and emitter.",
      contentMediaType: "application/json",
      contentSchema: CLIENTS_SCHEMA,
    },
    min_version: {
      enum: ["1.2", "1.3"],
      default: "1.2",
      description: "Lowest version of TLS: 1.2.",
    },
    reload_interval: {
      ...DURATION_SCHEMA,
      default: "10s",
      description: "How often the files are looked at; new connections get what they hold: 10s.",
    },
  },
};

const PARTS = ["cert", "key", "client_ca", "clients"] as const;
type Part = (typeof PARTS)[number];

/** The texts of a server's TLS. */
export type TlsTexts = Readonly<Partial<Record<Part, string>>> & {
  readonly cert: string;
  readonly key: string;
};

/** TLS that can be served. */
export interface TlsMaterial {
  /** For `createServer` and `setSecureContext`. */
  readonly context: SecureContextOptions;
  /** Who a client's certificate belongs to; absent: certificates say nothing about tenants. */
  readonly clients?: Clients;
  /** When the first certificate of the chain ends, ms. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** Where each text comes from. `files`: {@link Runtime.files}, `base`: path of the TLS settings, with a dot at its end. */
export function tlsSources(
  config: TlsConfig,
  files: ReadonlyMap<string, string> | undefined,
  base: string,
): ReadonlyMap<Part, Source> {
  return new Map(
    PARTS.flatMap((part): [Part, Source][] => {
      const setting = config[part];
      if (setting === undefined) return [];
      const looksRight = part === "clients" ? isJson : isPem;
      return [[part, sourceOf(setting, looksRight, files?.get(base + part))]];
    }),
  );
}

/** Reads every text. Throws a `SettingError`. */
export function readTlsTexts(sources: ReadonlyMap<Part, Source>, base: string): TlsTexts {
  const texts = [...sources].map(([part, source]) => [part, readSource(source, base + part)]);
  return Object.fromEntries(texts) as TlsTexts;
}

/** Makes TLS of texts, or throws a `SettingError` that says which does not fit. */
export function tlsMaterial(texts: TlsTexts, config: TlsConfig, base: string): TlsMaterial {
  const leaf = certificatesOf(texts.cert, `${base}cert`)[0];
  const key = privateKeyOf(texts.key, `${base}key`);
  if (!leaf.checkPrivateKey(key)) {
    throw new SettingError(
      `${base}key`,
      "does not belong to the certificate",
      "configure the pair that was made together; the server's own certificate comes first in `cert`, its authorities after it",
    );
  }
  if (texts.client_ca !== undefined) certificatesOf(texts.client_ca, `${base}client_ca`);
  const context = contextOf(texts, config);
  try {
    createSecureContext(context);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "error";
    throw new SettingError(`${base}cert`, `is refused by OpenSSL (${code})`, "make a new pair");
  }
  return {
    context,
    ...(texts.clients === undefined
      ? {}
      : { clients: readClients(texts.clients, `${base}clients`) }),
    notBeforeMs: Date.parse(leaf.validFrom),
    notAfterMs: Date.parse(leaf.validTo),
  };
}

/** For a component's `check`. */
export function checkTls(config: TlsConfig, base: string): readonly ConfigFault[] {
  if (config.clients !== undefined && config.client_ca === undefined) {
    const fix = "add `client_ca`: the authorities that may say who a client is";
    return [{ path: `${base}clients`.split("."), message: "needs `client_ca`", fix }];
  }
  let material: TlsMaterial | undefined;
  const faults = faultsOf(() => {
    material = tlsMaterial(readTlsTexts(tlsSources(config, undefined, base), base), config, base);
  });
  return material === undefined ? faults : [...faults, ...expiryFaults(material, `${base}cert`)];
}

function expiryFaults({ notBeforeMs, notAfterMs }: TlsMaterial, setting: string): ConfigFault[] {
  const now = Date.now();
  const state = now > notAfterMs ? "has expired" : now < notBeforeMs ? "is not valid yet" : "";
  if (state === "") return [];
  const message = `${state}; senders will refuse it`;
  return [{ path: setting.split("."), message, fix: "renew it", severity: "warning" }];
}

function contextOf(
  { cert, key, client_ca: ca }: TlsTexts,
  config: TlsConfig,
): SecureContextOptions {
  return {
    cert,
    key,
    minVersion: config.min_version === "1.3" ? "TLSv1.3" : "TLSv1.2",
    // A resumed session skips the check of the client's certificate.
    ...(ca === undefined ? {} : { ca, secureOptions: constants.SSL_OP_NO_TICKET }),
  };
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The certificates of a PEM text, or a `SettingError`. */
export function certificatesOf(
  text: string,
  setting: string,
): [X509Certificate, ...X509Certificate[]] {
  try {
    const [first, ...rest] = (text.match(CERTIFICATE) ?? []).map((one) => new X509Certificate(one));
    if (first !== undefined) return [first, ...rest];
  } catch {
    // Told below: OpenSSL's own words are no help here.
  }
  throw new SettingError(
    setting,
    "holds no PEM certificate",
    "name a file that begins with -----BEGIN CERTIFICATE-----",
  );
}

/** The private key of a PEM text, or a `SettingError`. */
export function privateKeyOf(text: string, setting: string): KeyObject {
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: .*ENCRYPTED/m.test(text)) {
    throw new SettingError(
      setting,
      "is encrypted",
      "decrypt it into a file that only this user may read",
    );
  }
  try {
    return createPrivateKey(text);
  } catch {
    throw new SettingError(
      setting,
      "holds no PEM private key",
      "name a file that begins with -----BEGIN PRIVATE KEY-----",
    );
  }
}

/** Whether a setting is PEM, and not the path of a file that holds some. */
export function isPem(text: string): boolean {
  return text.includes("-----BEGIN ");
}

function isJson(text: string): boolean {
  return text.trimStart().startsWith("{");
}

/** A certificate's subject as `tls.clients` names it. OpenSSL escapes commas in values, so that no value can look like two. */
export function subjectOf(certificate: X509Certificate): string {
  return certificate.subject.replaceAll("\n", ",");
}
