// One connection to a syslog receiver, and whether what was written on it was read.
import { connect, isIP, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { connect as connectTls, type SecureContext } from "node:tls";

/** Whom to trust, who we are, and whom the certificate has to be for, if not the host. */
export interface ConnectionTls {
  readonly secureContext: SecureContext;
  readonly servername?: string;
}

/** Where to, and how. */
export interface ConnectionOptions {
  readonly host: string;
  readonly port: number;
  /** Absent: plain TCP. */
  readonly tls?: ConnectionTls;
  /** For the connection and the handshake. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** A connection. Whatever ends it rejects what is under way with the cause, and what comes after. */
export interface Connection {
  /** Resolves when the kernel has the bytes. */
  write(bytes: Uint8Array): Promise<void>;
  /** Resolves after this long, if it still stands then. */
  standsFor(ms: number): Promise<void>;
  /**
   * Says that nothing more comes, and resolves when the receiver has read to that end and closed. A receiver that closes with
   * bytes unread resets the connection, and one that closes first has not read the end: both reject.
   */
  finish(): Promise<void>;
  /** How long it took to be connected, handshake included. */
  readonly connectMs: number;
  readonly isOpen: boolean;
  destroy(): void;
}

/** The receiver closed by itself. */
class ClosedEarly extends Error {
  readonly code = "CLOSED_EARLY";
}

/** It did not become a connection in time. */
class ConnectTimeout extends Error {
  readonly code = "ETIMEDOUT";
}

/** Connects. Rejects with the system's or OpenSSL's error. */
export async function openConnection(options: ConnectionOptions): Promise<Connection> {
  const startedMs = performance.now();
  const connection = new WireConnection(options);
  const timer = AbortSignal.timeout(options.timeoutMs);
  const either = AbortSignal.any([options.signal, timer]);
  const cancel = (): void => connection.fail(new ConnectTimeout("no connection in time"));
  either.addEventListener("abort", cancel, { once: true });
  if (either.aborted) cancel();
  try {
    await connection.connected();
    connection.connectMs = performance.now() - startedMs;
    return connection;
  } catch (error) {
    connection.destroy();
    throw error;
  } finally {
    either.removeEventListener("abort", cancel);
  }
}

/**
 * The socket stays in our hands below TLS: a TLS socket is done when it was told goodbye, and so never sees the reset by which the
 * kernel says that the receiver closed without reading everything.
 */
class WireConnection implements Connection {
  connectMs = 0;
  readonly #raw: Socket;
  /** What is written to: the socket, or TLS over it. */
  readonly #stream: Duplex;
  readonly #connectedBy: "connect" | "secureConnect";
  readonly #lost = Promise.withResolvers<never>();
  readonly #ended: Promise<unknown>;
  #isFinished = false;
  #isLost = false;

  constructor({ host, port, tls }: ConnectionOptions) {
    this.#lost.promise.catch(() => undefined);
    this.#raw = connect({ host, port, allowHalfOpen: true, noDelay: true });
    this.#stream = tls === undefined ? this.#raw : this.#secure(tls, host);
    this.#connectedBy = tls === undefined ? "connect" : "secureConnect";
    const ends = new Set([this.#raw, this.#stream]);
    this.#ended = Promise.all([...ends].map((one) => this.#endOf(one)));
    // Nothing is ever answered; what is said all the same is thrown away.
    this.#stream.resume();
  }

  get isOpen(): boolean {
    return !this.#isLost && !this.#isFinished;
  }

  async connected(): Promise<void> {
    await this.#unlessLost(new Promise((resolve) => this.#stream.once(this.#connectedBy, resolve)));
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#unlessLost(new Promise<unknown>((resolve) => this.#stream.write(bytes, resolve)));
  }

  async standsFor(ms: number): Promise<void> {
    await this.#unlessLost(delay(ms));
  }

  async finish(): Promise<void> {
    this.#isFinished = true;
    this.#stream.end();
    await this.#unlessLost(this.#ended);
    // An alert that came with the end is told after it.
    await this.#unlessLost(delay(0));
  }

  fail(cause: unknown): void {
    this.#isLost = true;
    this.#lost.reject(cause);
  }

  destroy(): void {
    this.fail(new ClosedEarly("it was given up"));
    this.#stream.destroy();
    this.#raw.destroy();
  }

  #secure(tls: ConnectionTls, host: string): Duplex {
    const raw = this.#raw;
    const below = new Duplex({
      read: () => void raw.resume(),
      write: (chunk: Uint8Array, _encoding, done) => void raw.write(chunk, done),
      final: (done) => void raw.end(done),
      destroy: (error, done) => {
        raw.resume();
        done(error);
      },
    });
    raw.on("data", (chunk) => {
      if (!below.destroyed && !below.push(chunk)) raw.pause();
    });
    raw.once("end", () => void (below.destroyed || below.push(null)));
    below.on("error", () => undefined);
    // No server name in the handshake for an address (RFC 6066, section 3); its certificate is checked all the same.
    const name = isIP(host) === 0 ? { servername: host } : {};
    return connectTls({ socket: below, host, ...name, ...tls });
  }

  /** When the receiver ended, after we did. */
  #endOf(stream: Duplex): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        if (this.#isFinished) resolve();
        else this.fail(new ClosedEarly("the receiver closed the connection"));
      };
      // For as long as it lives: writes that were under way fail one by one, and an error that nobody hears ends the process.
      stream.on("error", (error) => this.fail(error));
      stream.once("end", end);
      stream.once("close", end);
    });
  }

  /** A loss counts even when what was waited for has come. */
  async #unlessLost(promise: Promise<unknown>): Promise<void> {
    await Promise.race([promise, this.#lost.promise]);
    if (this.#isLost) await this.#lost.promise;
  }
}
