import { readFileSync } from "node:fs";
import { CountersignError } from "@countersign/model";

/** Largest secret that is read from a file. */
const MAX_SECRET_BYTES = 64 * 1_024;
/**
 * Everything of ours, in any case (names are case-insensitive on Windows): the policy, the state directory with the login in it, the
 * credential helper and what it is asked; also what a later version will read.
 */
const OWN_PREFIX = "COUNTERSIGN_";
/** What opens the processor to whoever sends events. A server that could would write its own decisions. */
const OWN_VARIABLES: readonly string[] = [
  "OTEL_EXPORTER_OTLP_LOGS_HEADERS",
  "OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE",
  "OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY",
];
const SPEC = /^([A-Za-z_][A-Za-z0-9_]*)=(env|file):(.+)$/s;

/** How the environment of the server differs from the guard's. */
export interface ServerEnvironment {
  /** `--secret` values: `NAME=env:VARIABLE` or `NAME=file:PATH`. The server gets it as `NAME`. */
  readonly secrets: readonly string[];
  /** Text of the policy file. What it takes from the environment (`${env:…}`) is the guard's, not the server's. */
  readonly policyText: string;
}

/**
 * The environment of the server: the guard's, without what is the guard's own, with the server's secrets. A variable
 * that a secret comes from is not passed under its own name.
 * @throws CountersignError CONFIG_INVALID; the message names the option, never the value
 */
export function serverEnvironment(
  env: NodeJS.ProcessEnv,
  { secrets, policyText }: ServerEnvironment,
): NodeJS.ProcessEnv {
  const out: NodeJS.ProcessEnv = {};
  const own = new Set(
    [...policyText.matchAll(/\$\{env:([A-Za-z_][A-Za-z0-9_]*)/g)].map(
      (match) => match[1] as string,
    ),
  );
  for (const variable of OWN_VARIABLES) own.add(variable);
  const given = secrets.map((spec) => readSecret(env, spec));
  for (const { variable } of given) if (variable !== undefined) own.add(variable);
  for (const [name, value] of Object.entries(env)) {
    if (!name.toUpperCase().startsWith(OWN_PREFIX) && !own.has(name)) out[name] = value;
  }
  for (const { name, value } of given) out[name] = value;
  return out;
}

interface Secret {
  readonly name: string;
  readonly value: string;
  readonly variable?: string;
}

function readSecret(env: NodeJS.ProcessEnv, spec: string): Secret {
  const match = SPEC.exec(spec);
  if (match === null) {
    // The option may hold the secret itself, by mistake: it is not repeated.
    throw new CountersignError(
      "CONFIG_INVALID",
      "guard: --secret must be NAME=env:VARIABLE or NAME=file:PATH",
    );
  }
  const [, name, kind, from] = match as unknown as [string, string, "env" | "file", string];
  if (kind === "file") return { name, value: checked(name, readFile(name, from)) };
  const value = env[from];
  if (value === undefined) throw invalid(name, `the environment variable ${from} is not set`);
  return { name, value: checked(name, value), variable: from };
}

function readFile(name: string, path: string): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw invalid(name, `the file ${path} cannot be read (${code ?? "unknown error"})`, error);
  }
  if (bytes.length > MAX_SECRET_BYTES)
    throw invalid(name, `the file ${path} is larger than 64 KiB`);
  return bytes.toString("utf8").replace(/\r?\n$/, "");
}

function checked(name: string, value: string): string {
  if (value === "" || value.includes("\0"))
    throw invalid(name, "the value is empty or holds a NUL byte");
  return value;
}

function invalid(name: string, what: string, cause?: unknown): CountersignError {
  return new CountersignError("CONFIG_INVALID", `guard: --secret ${name}: ${what}`, { cause });
}
