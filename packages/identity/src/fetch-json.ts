import { CountersignError } from "@countersign/model";
import { readBounded } from "./read-bounded.ts";

const TIMEOUT_MS = 3000;
const MAX_BYTES = 256 * 1024;

/**
 * A JSON document of at most 256 KiB within 3 s, without redirects: an issuer that redirects is not the issuer configured.
 * Rejects with `UNAVAILABLE`; the message names what went wrong and nothing of the content.
 */
export async function readBoundedJson(url: string, fetcher: typeof fetch): Promise<unknown> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  try {
    const response = await fetcher(url, {
      signal,
      redirect: "error",
      headers: { accept: "application/json" },
    });
    if (!response.ok) {
      await response.body?.cancel();
      throw unavailable(`the issuer answered ${response.status}`);
    }
    const body = await readBounded(response, MAX_BYTES);
    if (body === undefined) throw unavailable(`the answer is larger than ${MAX_BYTES} bytes`);
    return JSON.parse(body.toString("utf8")) as unknown;
  } catch (error) {
    if (error instanceof CountersignError) throw error;
    throw unavailable(
      signal.aborted ? `no answer within ${TIMEOUT_MS} ms` : "no usable answer",
      error,
    );
  }
}

function unavailable(what: string, cause?: unknown): CountersignError {
  return new CountersignError(
    "UNAVAILABLE",
    `identity/bearer: the issuer's keys cannot be had: ${what}`,
    { cause },
  );
}
