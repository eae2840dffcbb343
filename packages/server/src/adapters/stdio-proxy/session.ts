/** Name and version that a peer claims. Recorded as claimed, never believed. */
export interface PeerInfo {
  readonly name?: string;
  readonly version?: string;
}

/** What the messages so far say about the peers, for the record. */
export interface About {
  readonly protocolVersion?: string;
  readonly clientInfo?: PeerInfo;
  readonly serverInfo?: PeerInfo;
}

/** `_meta` keys of MCP 2026-07-28; there every request tells about itself. */
const META_VERSION = "io.modelcontextprotocol/protocolVersion";
const META_CLIENT = "io.modelcontextprotocol/clientInfo";
const META_SERVER = "io.modelcontextprotocol/serverInfo";

const MODERN = "2026-07-28";

/** Methods whose answer tells who the server is. */
const TELLING: ReadonlySet<string> = new Set(["initialize", "server/discover"]);

/**
 * Collects version and names. A request of 2026-07-28 speaks for itself alone; up to 2025-11-25 `initialize` speaks for
 * the connection. A server that never answers `server/discover` simply stays unnamed.
 */
export class Session {
  #protocolVersion: string | undefined;
  /** What the last request that named its own version said. */
  #claimed: string | undefined;
  #clientInfo: PeerInfo | undefined;
  #serverInfo: PeerInfo | undefined;

  /** Call with each request of the client, before it is decided. */
  asked(method: string, params: Readonly<Record<string, unknown>> | undefined): void {
    if (method === "initialize") this.#clientInfo = peer(params?.["clientInfo"]);
  }

  /** Whether {@link answered} wants the result of this method. */
  wants(method: string): boolean {
    return TELLING.has(method);
  }

  /** Call with the results that {@link wants} names. */
  answered(method: string, result: Readonly<Record<string, unknown>>): void {
    if (method === "initialize") this.#protocolVersion = text(result["protocolVersion"]);
    const meta = record(result["_meta"]);
    this.#serverInfo = peer(result["serverInfo"]) ?? peer(meta?.[META_SERVER]) ?? this.#serverInfo;
  }

  /** Whether a request is of 2026-07-28 or later. One that does not say so, or cannot be read, is like those before it. */
  isModern(meta: Readonly<Record<string, unknown>> | undefined): boolean {
    const own = text(meta?.[META_VERSION]);
    if (own !== undefined) this.#claimed = own;
    return (own ?? this.#protocolVersion ?? this.#claimed ?? "") >= MODERN;
  }

  /** About one request. */
  about(meta: Readonly<Record<string, unknown>> | undefined): About {
    const own = text(meta?.[META_VERSION]);
    const protocolVersion = own ?? this.#protocolVersion;
    const clientInfo = own === undefined ? this.#clientInfo : peer(meta?.[META_CLIENT]);
    return {
      ...(protocolVersion === undefined ? {} : { protocolVersion }),
      ...(clientInfo === undefined ? {} : { clientInfo }),
      ...(this.#serverInfo === undefined ? {} : { serverInfo: this.#serverInfo }),
    };
  }
}

function record(value: unknown): Record<string, unknown> | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function peer(value: unknown): PeerInfo | undefined {
  const info = record(value);
  if (info === undefined) return undefined;
  const name = text(info["name"]);
  const version = text(info["version"]);
  return { ...(name === undefined ? {} : { name }), ...(version === undefined ? {} : { version }) };
}
