// Whom the shipper trusts and who it is, as PEM files: read when it is made, and again while it runs, since certificates are renewed.
import { readFileSync } from "node:fs";
import { CountersignError } from "@countersign/model";
import type { ShipTls } from "./ship-options.ts";

/** Texts for a TLS connection. */
export interface TlsTexts {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** The files are looked at no more often than this. */
const AGAIN_MS = 10_000;

/** What is in force now; `nowMs` is any clock that does not run backwards. */
export type TlsFiles = (nowMs: number) => TlsTexts;

/**
 * Reads the files. Later, what cannot be read, or is a certificate whose key has not come yet, changes nothing.
 * @throws CountersignError CONFIG_INVALID: a file cannot be read now, or there is a certificate without a key
 */
export function createTlsFiles(files: ShipTls): TlsFiles {
  if ((files.certFile === undefined) !== (files.keyFile === undefined)) {
    throw new CountersignError(
      "CONFIG_INVALID",
      "journal/ship: a client certificate needs its key, and a key its certificate: set OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY",
    );
  }
  let inForce = readAll(files);
  let readMs: number | undefined;
  return (nowMs) => {
    readMs ??= nowMs;
    if (nowMs - readMs < AGAIN_MS) return inForce;
    readMs = nowMs;
    try {
      inForce = readAll(files);
    } catch {
      // Half renewed: what was in force works until it is over.
    }
    return inForce;
  };
}

function readAll({ caFile, certFile, keyFile }: ShipTls): TlsTexts {
  return {
    ...(caFile === undefined ? {} : { ca: read(caFile) }),
    ...(certFile === undefined ? {} : { cert: read(certFile) }),
    ...(keyFile === undefined ? {} : { key: read(keyFile) }),
  };
}

function read(file: string): string {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unknown error";
    throw invalid(file, `cannot be read (${code})`, error);
  }
  if (!text.includes("-----BEGIN ")) throw invalid(file, "is not PEM");
  return text;
}

function invalid(file: string, what: string, cause?: unknown): CountersignError {
  return new CountersignError("CONFIG_INVALID", `journal/ship: the TLS file ${file} ${what}`, {
    cause,
  });
}
