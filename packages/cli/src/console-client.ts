import type { DecisionSummary } from "./decision-line.ts";
import { CliError, EXIT } from "./exit.ts";

/** A decision and where the archive holds it. */
export interface ArchivedDecision extends DecisionSummary {
  readonly position: number;
  readonly emitter?: string;
  readonly server: string;
}

/** Reads a processor's console. */
export interface ConsoleClient {
  /** The newest decisions, oldest first, and how long the log is. */
  latest(
    limit: number,
  ): Promise<{ readonly rows: readonly ArchivedDecision[]; readonly indexed: number }>;
  /** How many events the archive's log holds. */
  size(): Promise<number>;
  /** Gives every decision from a log position on, in order, until aborted. Rejects UNAVAILABLE when the stream ends. */
  follow(
    from: number,
    take: (rows: readonly ArchivedDecision[]) => void,
    signal: AbortSignal,
  ): Promise<void>;
}

const PAGE = 200;
const MAX_PAGES = 50;
const MAX_FRAME_BYTES = 4 * 1024 * 1024;
const TIMEOUT_MS = 10_000;

/**
 * @param address What the service printed: `http://127.0.0.1:4180/?token=…`.
 * @throws CliError `EXIT.usage` when it is no http(s) address.
 */
export function openConsoleClient(address: string): ConsoleClient {
  if (!URL.canParse(address) || !/^https?:$/.test(new URL(address).protocol)) {
    throw new CliError(EXIT.usage, "the console's address must be an http or https URL");
  }
  const url = new URL(address);
  const token = url.searchParams.get("token");
  return new HttpConsoleClient(url.origin, token ?? undefined);
}

class HttpConsoleClient implements ConsoleClient {
  readonly #origin: string;
  readonly #headers: Record<string, string>;

  constructor(origin: string, token: string | undefined) {
    this.#origin = origin;
    this.#headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  }

  async latest(limit: number): Promise<{ rows: readonly ArchivedDecision[]; indexed: number }> {
    const page = await this.#page(Math.min(limit, PAGE));
    return { rows: page.rows.toReversed(), indexed: page.indexed };
  }

  async size(): Promise<number> {
    return (await this.#page(1)).size;
  }

  async follow(
    from: number,
    take: (rows: readonly ArchivedDecision[]) => void,
    signal: AbortSignal,
  ): Promise<void> {
    let next = from;
    const response = await this.#get(`/api/stream?from=${from}`, signal);
    for await (const { id, event, data } of frames(response, signal)) {
      if (event === "decisions") take(byPosition(JSON.parse(data) as ArchivedDecision[]));
      if (event === "reload") take(await this.#since(next));
      if (id !== undefined) next = id;
    }
    if (!signal.aborted) throw new CliError(EXIT.unavailable, "the console ended the stream");
  }

  /** More came than one frame holds: read it as pages, newest first. */
  async #since(position: number): Promise<readonly ArchivedDecision[]> {
    const rows: ArchivedDecision[] = [];
    let cursor: string | undefined;
    for (let count = 0; count < MAX_PAGES; count++) {
      const page = await this.#page(PAGE, cursor);
      rows.push(...page.rows.filter((row) => row.position >= position));
      cursor = page.next;
      if (cursor === undefined || page.rows.every((row) => row.position < position)) break;
    }
    return byPosition(rows);
  }

  async #page(limit: number, cursor?: string): Promise<DecisionPage> {
    const query = cursor === undefined ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    const response = await this.#get(
      `/api/decisions?limit=${limit}${query}`,
      AbortSignal.timeout(TIMEOUT_MS),
    );
    return (await response.json()) as DecisionPage;
  }

  async #get(path: string, signal: AbortSignal): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(`${this.#origin}${path}`, { headers: this.#headers, signal });
    } catch (cause) {
      if (signal.aborted && signal.reason === undefined) throw cause;
      throw new CliError(
        EXIT.unavailable,
        `no console answers at ${this.#origin}: is the processor running, and is this the address that it printed?`,
        { cause },
      );
    }
    if (response.ok) return response;
    await response.body?.cancel();
    if (response.status === 401 || response.status === 403) {
      throw new CliError(
        EXIT.unavailable,
        `the console at ${this.#origin} wants its token: give the address that the service printed`,
      );
    }
    throw new CliError(
      EXIT.unavailable,
      `the console at ${this.#origin} answered ${response.status}`,
    );
  }
}

interface DecisionPage {
  readonly rows: readonly ArchivedDecision[];
  readonly next?: string;
  readonly indexed: number;
  readonly size: number;
}

interface Frame {
  readonly id?: number;
  readonly event: string;
  readonly data: string;
}

/** Server-sent events, one at a time. */
async function* frames(response: Response, signal: AbortSignal): AsyncGenerator<Frame> {
  const decoder = new TextDecoder();
  let buffer = "";
  try {
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      buffer += decoder.decode(chunk, { stream: true });
      if (buffer.length > MAX_FRAME_BYTES)
        throw new CliError(EXIT.unavailable, "the console sent too long a frame");
      const complete = buffer.split("\n\n");
      buffer = complete.pop() ?? "";
      for (const text of complete) yield parseFrame(text);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

function parseFrame(text: string): Frame {
  const fields = new Map<string, string>();
  for (const line of text.split("\n")) {
    const colon = line.indexOf(": ");
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 2));
  }
  const id = Number(fields.get("id"));
  return {
    event: fields.get("event") ?? "",
    data: fields.get("data") ?? "",
    ...(fields.has("id") && Number.isSafeInteger(id) ? { id } : {}),
  };
}

function byPosition(rows: readonly ArchivedDecision[]): readonly ArchivedDecision[] {
  return rows.toSorted((left, right) => left.position - right.position);
}
