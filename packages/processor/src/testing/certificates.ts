// Certificates of every kind that a test wants: OpenSSL's tool would refuse to make some of them.
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";

/** A certificate and its key, PEM. */
export interface Pair {
  readonly cert: string;
  readonly key: string;
  readonly subject: string;
  readonly privateKey: KeyObject;
}

/** What a certificate says. */
export interface CertificateOptions {
  /** `O=Acme,CN=tickets-1`: values without commas. */
  readonly subject: string;
  /** Absent: signed by itself. */
  readonly issuer?: Pair;
  readonly isAuthority?: boolean;
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
  /** Names of a server: localhost and 127.0.0.1 are in it anyway. */
  readonly usage?: "server" | "client";
}

const HOUR_MS = 3_600_000;
const OIDS = {
  ecdsaWithSha256: "2a8648ce3d040302",
  CN: "550403",
  O: "55040a",
  OU: "55040b",
  basicConstraints: "551d13",
  altName: "551d11",
  extendedKeyUsage: "551d25",
  server: "2b06010505070301",
  client: "2b06010505070302",
} as const;

/** Makes a pair on P-256. */
export function certificate(options: CertificateOptions): Pair {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const now = Date.now();
  const algorithm = sequence(oid("ecdsaWithSha256"));
  const tbs = sequence(
    tagged(0xa0, integer(Buffer.from([2]))),
    integer(Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    algorithm,
    name(options.issuer?.subject ?? options.subject),
    sequence(time(options.notBeforeMs ?? now - HOUR_MS), time(options.notAfterMs ?? now + HOUR_MS)),
    name(options.subject),
    publicKey.export({ type: "spki", format: "der" }),
    tagged(0xa3, extensions(options)),
  );
  const signer = options.issuer?.privateKey ?? privateKey;
  const signature = tagged(0x03, Buffer.from([0]), sign("sha256", tbs, signer));
  const der = sequence(tbs, algorithm, signature);
  const lines = der.toString("base64").replaceAll(/.{64}/g, "$&\n");
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${lines.trimEnd()}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
    subject: options.subject,
    privateKey,
  };
}

function extensions({ isAuthority = false, usage }: CertificateOptions): Buffer {
  const local = sequence(
    tagged(0x82, Buffer.from("localhost")),
    tagged(0x87, Buffer.from([127, 0, 0, 1])),
  );
  return sequence(
    extension(
      "basicConstraints",
      sequence(...(isAuthority ? [tagged(0x01, Buffer.from([0xff]))] : [])),
    ),
    extension("altName", local),
    ...(usage === undefined ? [] : [extension("extendedKeyUsage", sequence(oid(usage)))]),
  );
}

function extension(kind: keyof typeof OIDS, value: Buffer): Buffer {
  return sequence(oid(kind), tagged(0x04, value));
}

function name(text: string): Buffer {
  return sequence(
    ...text.split(",").map((part) => {
      const [kind = "", value = ""] = part.split("=");
      return tagged(0x31, sequence(oid(kind as "CN"), tagged(0x0c, Buffer.from(value))));
    }),
  );
}

function time(ms: number): Buffer {
  const text = new Date(ms).toISOString().replaceAll(/[-:T]|\.\d+/g, "");
  return tagged(0x18, Buffer.from(text));
}

function oid(kind: keyof typeof OIDS): Buffer {
  return tagged(0x06, Buffer.from(OIDS[kind], "hex"));
}

function integer(bytes: Buffer): Buffer {
  return tagged(0x02, bytes);
}

function sequence(...parts: Buffer[]): Buffer {
  return tagged(0x30, ...parts);
}

function tagged(tag: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const length =
    body.length < 128
      ? Buffer.from([body.length])
      : body.length < 256
        ? Buffer.from([0x81, body.length])
        : Buffer.from([0x82, body.length >> 8, body.length & 0xff]);
  return Buffer.concat([Buffer.from([tag]), length, body]);
}
