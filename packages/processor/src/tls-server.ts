// The certificates of one running server.
import { createServer, type Server } from "node:https";
import type { RequestListener, ServerOptions } from "node:http";
import { durationMs, type Runtime } from "@countersign/pipeline";
import type { Clients } from "./credentials.ts";
import { SettingError } from "./setting-error.ts";
import {
  readTlsTexts,
  type TlsConfig,
  type TlsMaterial,
  tlsMaterial,
  tlsSources,
  type TlsTexts,
} from "./tls.ts";
import { type WatchedFiles, watchFiles } from "./watched-files.ts";

/** Makes https servers, and renews what they show when the files change. */
export interface ServerTls {
  /** Whose certificates of senders are known; changes with its file. */
  readonly clients: Clients | undefined;
  createServer(options: ServerOptions, listener: RequestListener): Server;
  /** Looks at the files until {@link close}. */
  watch(): void;
  close(): void;
}

/** Reads the files. Throws a `SettingError` (CONFIG_INVALID). `base`: path of the settings, with a dot at its end. */
export function createServerTls(config: TlsConfig, base: string, runtime: Runtime): ServerTls {
  return new ReloadingTls(config, base, runtime);
}

class ReloadingTls implements ServerTls {
  readonly #config: TlsConfig;
  readonly #base: string;
  readonly #runtime: Runtime;
  readonly #texts: TlsTexts;
  #material: TlsMaterial;
  #server: Server | undefined;
  #files: WatchedFiles | undefined;

  constructor(config: TlsConfig, base: string, runtime: Runtime) {
    this.#config = config;
    this.#base = base;
    this.#runtime = runtime;
    const named = `${runtime.id}: ${base}`;
    this.#texts = readTlsTexts(tlsSources(config, runtime.files, base), named);
    this.#material = tlsMaterial(this.#texts, config, named);
    runtime.metrics.gauge(
      "receiver_certificate_not_after_seconds",
      "When the certificate ends, in seconds since 1970.",
      { receiver: runtime.id },
      () => Math.floor(this.#material.notAfterMs / 1000),
    );
  }

  get clients(): Clients | undefined {
    return this.#material.clients;
  }

  createServer(options: ServerOptions, listener: RequestListener): Server {
    const isMutual = this.#config.client_ca !== undefined;
    this.#server = createServer(
      {
        ...options,
        ...this.#material.context,
        // An answer tells a sender why, and its journal that it must stop; a closed connection would be tried for ever.
        ...(isMutual ? { requestCert: true, rejectUnauthorized: false } : {}),
        ...(options.headersTimeout === undefined
          ? {}
          : { handshakeTimeout: options.headersTimeout }),
      },
      listener,
    );
    return this.#server;
  }

  watch(): void {
    const sources = tlsSources(this.#config, this.#runtime.files, this.#base);
    const files = [...sources].flatMap(([part, { file }]) =>
      file === undefined ? [] : [[part, file] as const],
    );
    if (files.length === 0) return;
    this.#files = watchFiles({
      files: Object.fromEntries(files),
      known: this.#texts,
      intervalMs: durationMs(this.#config.reload_interval),
      changed: (texts) => this.#renew({ ...this.#texts, ...texts }),
      unreadable: (part, code) => this.#keep(`${part} cannot be read (${code})`),
    });
  }

  close(): void {
    this.#files?.close();
  }

  #renew(texts: TlsTexts): void {
    try {
      const material = tlsMaterial(texts, this.#config, this.#base);
      this.#server?.setSecureContext(material.context);
      this.#material = material;
      this.#runtime.report({ state: "ok" });
      const notAfter = new Date(material.notAfterMs).toISOString();
      this.#runtime.log.info("certificates were read again", { notAfter });
    } catch (error) {
      if (!(error instanceof SettingError)) throw error;
      this.#keep(error.message);
    }
  }

  /** Certificate and key are two files, and one is written first. */
  #keep(reason: string): void {
    const detail = "the certificates in the files cannot be used; those read before still are";
    this.#runtime.report({ state: "degraded", detail });
    this.#runtime.log.error(detail, { reason });
  }
}
