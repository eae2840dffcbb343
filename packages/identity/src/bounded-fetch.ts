import { CountersignError } from "@countersign/model";

/** What a bounded fetch allows. */
export interface FetchBounds {
  /** Component id, at the start of error messages. */
  readonly component: string;
  readonly maxBytes: number;
}

/**
 * `fetch` that reads at most `maxBytes` of a body and never follows a redirect: a token service that redirects is not the one
 * that was configured. Rejects with `UNAVAILABLE`; the message names no content, and there is no cause that could quote it.
 */
export function boundedFetch(fetcher: typeof fetch, bounds: FetchBounds): typeof fetch {
  return async (input, init) => {
    let response: Response;
    try {
      response = await fetcher(input, { ...init, redirect: "error" });
    } catch {
      throw unavailable(bounds, init?.signal?.aborted === true ? "no answer in time" : "no answer");
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

function unavailable({ component }: FetchBounds, what: string): CountersignError {
  return new CountersignError(
    "UNAVAILABLE",
    `${component}: the token service cannot be asked: ${what}`,
  );
}
