import { Agent as HttpAgent, type IncomingMessage, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { SecureContextOptions } from "node:tls";

/** One request. `parts` are its body. */
export interface PostOptions {
  readonly headers: Readonly<Record<string, string>>;
  readonly parts: readonly Uint8Array[];
  readonly signal: AbortSignal;
  /** POST unless said otherwise. */
  readonly method?: "DELETE" | "GET" | "POST" | "PUT";
  /** Follows the poster's URL: `/_bulk`. Absent: the URL as it is. */
  readonly path?: string;
}

/** The answer: its body is empty when it is longer than an answer can be, or ended early. */
export interface PostAnswer {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly body: Buffer;
  /** False: the body was too long or ended early; of the answer there are only status and headers. */
  readonly isWhole: boolean;
  readonly contentType: string | undefined;
  readonly setCookie: readonly string[];
}

/** Posts bodies to one address, over connections that stay open. Redirects are not followed: they are answers. */
export interface Poster {
  /** Rejects when there is no answer. */
  post(options: PostOptions): Promise<PostAnswer>;
  /** Cuts what is under way; whatever has no answer yet rejects, and so does what comes after. */
  close(): void;
}

/** How a poster connects, and what it reads. */
export interface PosterOptions {
  /** For https; absent: the system's authorities. `servername` is what the certificate has to be for. */
  readonly tls?: SecureContextOptions & { readonly servername?: string };
  /** Longest body of an answer; 64 KiB unless said otherwise. */
  readonly maxAnswerBytes?: number;
}

const MAX_ANSWER_BYTES = 65_536;
/** Connections that wait for a next request; as many as a sender may have. */
const MAX_IDLE = 64;

/** Makes a poster for an http or https URL. `node:http` costs a third of what `fetch` does. */
export function createPoster(url: string, options: PosterOptions = {}): Poster {
  const secure = url.startsWith("https:");
  const settings = { keepAlive: true, maxFreeSockets: MAX_IDLE };
  const agent = secure ? new HttpsAgent({ ...settings, ...options.tls }) : new HttpAgent(settings);
  const open = secure ? httpsRequest : httpRequest;
  const { maxAnswerBytes = MAX_ANSWER_BYTES } = options;
  const targets = new Map<string, URL>();
  const targetOf = (path: string): URL => {
    let target = targets.get(path);
    if (target === undefined) {
      target = new URL(path === "" ? url : url.replace(/\/+$/, "") + path);
      // Paths are constants of exporters; whatever else comes is not worth keeping.
      if (targets.size < 16) targets.set(path, target);
    }
    return target;
  };
  const once = ({ headers, parts, signal, method = "POST", path = "" }: PostOptions) =>
    new Promise<PostAnswer>((resolve, reject) => {
      const length = parts.reduce((sum, part) => sum + part.length, 0);
      const all = { ...headers, "content-length": String(length) };
      const request = open(targetOf(path), { method, agent, headers: all, signal });
      request.on("response", (response) => readAnswer(response, maxAnswerBytes, resolve));
      request.on("error", (error: NodeJS.ErrnoException) => {
        reject(request.reusedSocket && isReset(error) ? new StaleConnection(error) : error);
      });
      for (const part of parts) request.write(part);
      request.end();
    });
  let isClosed = false;
  return {
    async post(request) {
      if (isClosed) throw new Error("the poster is closed");
      // A server may close an idle connection just when it is used again: that says nothing of the request.
      try {
        return await once(request);
      } catch (error) {
        if (!(error instanceof StaleConnection)) throw error;
        // It was us who closed it.
        if (isClosed) throw error.cause;
        return await once(request).catch((again: unknown) => {
          throw again instanceof StaleConnection ? again.cause : again;
        });
      }
    },
    close: () => {
      isClosed = true;
      agent.destroy();
    },
  };
}

class StaleConnection extends Error {
  constructor(cause: Error) {
    super("the server had closed the connection", { cause });
  }
}

function isReset({ code }: NodeJS.ErrnoException): boolean {
  return code === "ECONNRESET" || code === "EPIPE";
}

function readAnswer(
  response: IncomingMessage,
  maxBytes: number,
  done: (answer: PostAnswer) => void,
): void {
  const chunks: Buffer[] = [];
  let size = 0;
  const settle = (body: Buffer, isWhole: boolean): void =>
    done({
      status: response.statusCode ?? 0,
      retryAfter: response.headers["retry-after"],
      body,
      isWhole,
      contentType: response.headers["content-type"],
      setCookie: response.headers["set-cookie"] ?? [],
    });
  response.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size <= maxBytes) chunks.push(chunk);
    else response.destroy();
  });
  response.on("end", () => settle(Buffer.concat(chunks, size), true));
  // The status counts; what is left of its body is no answer.
  response.on("close", () => settle(Buffer.alloc(0), false));
  response.on("error", () => undefined);
}
