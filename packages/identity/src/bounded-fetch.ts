import { CountersignError } from "@countersign/model";

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
    const body = await readBounded(response, bounds);
    const { status, headers } = response;
    // Statuses that have no body refuse even an empty one.
    return new Response(body.byteLength === 0 ? null : body, { status, headers });
  };
}

async function readBounded(
  response: Response,
  bounds: FetchBounds,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    // Leaving the loop early cancels the stream, so a body without end costs one chunk over the limit.
    for await (const chunk of response.body ?? []) {
      size += chunk.byteLength;
      if (size > bounds.maxBytes) break;
      chunks.push(chunk);
    }
  } catch {
    throw unavailable(bounds, "the answer broke off");
  }
  if (size > bounds.maxBytes) {
    throw unavailable(bounds, `the answer is larger than ${bounds.maxBytes} bytes`);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

/** Scheme, host and port: a path or a query may hold more than where to look. */
function originOf(input: Parameters<typeof fetch>[0]): string {
  return new URL(input instanceof Request ? input.url : input).origin;
}

function unavailable({ component, whom }: FetchBounds, what: string): CountersignError {
  return new CountersignError("UNAVAILABLE", `${component}: ${whom} cannot be asked: ${what}`);
}
