import { CountersignError } from "@countersign/model";
import { readBounded } from "./read-bounded.ts";

/** What a bounded fetch allows. */
export interface FetchBounds {
  /** Component id, at the start of error messages. */
  readonly component: string;
  /** Who is asked, in the words of error messages: `the token service`. */
  readonly whom: string;
  readonly maxBytes: number;
}

/**
 * `fetch` that reads at most `maxBytes` of a body and never follows a redirect: who redirects is not the one
 * that was configured. Rejects with `UNAVAILABLE`; the message names the origin that was asked and no content, and there is no
 * cause that could quote any.
 */
export function boundedFetch(fetcher: typeof fetch, bounds: FetchBounds): typeof fetch {
  return async (input, init) => {
    let response: Response;
    try {
      response = await fetcher(input, { ...init, redirect: "error" });
    } catch {
      const late = init?.signal?.aborted === true ? " in time" : "";
      throw unavailable(bounds, `no answer from ${originOf(input)}${late}`);
    }
    const body = await bodyOf(response, bounds);
    const { status, headers } = response;
    // Statuses that have no body refuse even an empty one.
    return new Response(body.byteLength === 0 ? null : body, { status, headers });
  };
}

async function bodyOf(response: Response, bounds: FetchBounds): Promise<Buffer<ArrayBuffer>> {
  const body = await readBounded(response, bounds.maxBytes).catch(() => {
    throw unavailable(bounds, "the answer broke off");
  });
  if (body !== undefined) return body;
  throw unavailable(bounds, `the answer is larger than ${bounds.maxBytes} bytes`);
}

/** Scheme, host and port: a path or a query may hold more than where to look. */
function originOf(input: Parameters<typeof fetch>[0]): string {
  return new URL(input instanceof Request ? input.url : input).origin;
}

function unavailable({ component, whom }: FetchBounds, what: string): CountersignError {
  return new CountersignError("UNAVAILABLE", `${component}: ${whom} cannot be asked: ${what}`);
}
