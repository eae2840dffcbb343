import { Agent as HttpAgent, type IncomingMessage, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";

/** One request. `parts` are its body. */
export interface PostOptions {
  readonly headers: Readonly<Record<string, string>>;
  readonly parts: readonly Uint8Array[];
  readonly signal: AbortSignal;
}

/** The answer: its body is empty when it is longer than an answer can be, or ended early. */
export interface PostAnswer {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly body: Buffer;
}

/** Posts bodies to one address, over connections that stay open. Redirects are not followed: they are answers. */
export interface Poster {
  /** Rejects when there is no answer. */
  post(options: PostOptions): Promise<PostAnswer>;
  close(): void;
}

const MAX_ANSWER_BYTES = 65_536;
/** Connections that wait for a next request; as many as a sender may have. */
const MAX_IDLE = 64;

/** Makes a poster for an http or https URL. `node:http` costs a third of what `fetch` does. */
export function createPoster(url: string): Poster {
  const target = new URL(url);
  const secure = target.protocol === "https:";
  const settings = { keepAlive: true, maxFreeSockets: MAX_IDLE };
  const agent = secure ? new HttpsAgent(settings) : new HttpAgent(settings);
  const open = secure ? httpsRequest : httpRequest;
  return {
    post: ({ headers, parts, signal }) =>
      new Promise((resolve, reject) => {
        const length = parts.reduce((sum, part) => sum + part.length, 0);
        const all = { ...headers, "content-length": String(length) };
        const request = open(target, { method: "POST", agent, headers: all, signal });
        request.on("response", (response) => readAnswer(response, resolve));
        request.on("error", reject);
        for (const part of parts) request.write(part);
        request.end();
      }),
    close: () => agent.destroy(),
  };
}

function readAnswer(response: IncomingMessage, done: (answer: PostAnswer) => void): void {
  const chunks: Buffer[] = [];
  let size = 0;
  const settle = (body: Buffer): void =>
    done({ status: response.statusCode ?? 0, retryAfter: response.headers["retry-after"], body });
  response.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size <= MAX_ANSWER_BYTES) chunks.push(chunk);
    else response.destroy();
  });
  response.on("end", () => settle(Buffer.concat(chunks, size)));
  // The status counts; its body is only for figures.
  response.on("close", () => settle(Buffer.alloc(0)));
  response.on("error", () => undefined);
}
