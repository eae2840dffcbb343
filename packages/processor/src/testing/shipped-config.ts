// The configurations that the repository ships, made to run in a directory of a test: its own files, its own ports.
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { certificate } from "./certificates.ts";

const folder = join(import.meta.dirname, "..", "..", "..", "..", "config");

/** The variables that they name, for who does not start anything. */
export const SHIPPED_ENV: Readonly<Record<string, string>> = {
  KAFKA_PASSWORD: "secret",
  SPLUNK_HEC_ENDPOINT: "https://splunk.example:8088",
  SPLUNK_HEC_TOKEN: "secret",
  ELASTIC_ENDPOINT: "https://elastic.example:9200",
  ELASTIC_API_KEY: "secret",
};

/** Secrets that the configurations name, as files. */
export interface Secrets {
  readonly directory: string;
  /** Authority of the receiver's certificate, PEM. */
  readonly ca: string;
  /** A token that may send every emitter's events of tenant `acme`. */
  readonly token: string;
}

/** Writes them below a directory. */
export function writeSecrets(below: string): Secrets {
  const directory = join(below, "secrets");
  mkdirSync(directory, { recursive: true });
  const { cert, key } = certificate({ subject: "CN=localhost", isAuthority: true });
  const token = randomBytes(32).toString("base64url");
  const sha256 = createHash("sha256").update(token).digest("hex");
  const files = {
    "tls.crt": cert,
    "tls.key": key,
    "emitters.json": JSON.stringify({ tokens: [{ sha256, tenant: "acme", emitter: "*" }] }),
    "pseudonym.key": randomBytes(32).toString("base64"),
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  return { directory, ca: cert, token };
}

/** A shipped configuration with its state and its secrets below `directory`, on ports that the system chooses. */
export function shippedConfig(file: string, directory: string, secrets: Secrets): string {
  return readFileSync(join(folder, file), "utf8")
    .replaceAll("/var/lib/countersign", directory)
    .replaceAll("./.countersign", directory)
    .replaceAll(/\/run\/secrets|\/etc\/countersign/g, secrets.directory)
    .replaceAll(/(127\.0\.0\.1|0\.0\.0\.0):(4318|13133|8888|4180)/g, "127.0.0.1:0");
}

/** Posts JSON over TLS as a sender with a token; resolves with the status. */
export function postSecurely(
  url: string,
  body: object,
  { ca, token }: { readonly ca: string; readonly token?: string },
): Promise<number> {
  const headers = {
    "content-type": "application/json",
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
  };
  return new Promise((resolve, reject) => {
    const sent = request(url, { method: "POST", headers, ca, agent: false }, (answer) => {
      answer.resume();
      answer.once("end", () => resolve(answer.statusCode ?? 0));
    });
    sent.once("error", reject);
    sent.end(JSON.stringify(body));
  });
}
