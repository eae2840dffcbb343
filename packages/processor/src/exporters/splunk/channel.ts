import { randomUUID } from "node:crypto";

/**
 * A channel of HEC: numbers of acknowledgements count within it, at one indexer. A load balancer keeps us at that indexer by cookies, so
 * they belong to the channel.
 */
export interface Channel {
  /** A GUID, as HEC wants it. */
  readonly id: string;
  /** Highest number that came back; -1: none yet. */
  highest: number;
  /** Headers of every request of the channel. */
  headers(): Readonly<Record<string, string>>;
  /** Takes the cookies of an answer. */
  learn(setCookie: readonly string[]): void;
}

const MAX_COOKIES = 16;
const MAX_COOKIE_CHARS = 4096;
/** RFC 6265, section 4.1.1: a token, and what may stand in a value. */
const COOKIE =
  /^([\w!#$%&'*+.^`|~-]+)=("?[\u0021\u0023-\u002b\u002d-\u003a\u003c-\u005b\u005d-\u007e]*"?)/;

/** A new channel. Nothing was sent in it. */
export function createChannel(): Channel {
  const id = randomUUID();
  const cookies = new Map<string, string>();
  return {
    id,
    highest: -1,
    headers: () => ({
      "x-splunk-request-channel": id,
      ...(cookies.size === 0
        ? {}
        : { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join("; ") }),
    }),
    learn(setCookie) {
      for (const text of setCookie) {
        const [, name, value = ""] = COOKIE.exec(text.slice(0, MAX_COOKIE_CHARS)) ?? [];
        if (name === undefined) continue;
        if (/;\s*max-age=(?:0|-)/i.test(text)) cookies.delete(name);
        else if (cookies.has(name) || cookies.size < MAX_COOKIES) cookies.set(name, value);
      }
    },
  };
}
