import { CountersignError } from "@countersign/model";

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
    return JSON.parse(await readBounded(response)) as unknown;
  } catch (error) {
    if (error instanceof CountersignError) throw error;
    throw unavailable(
      signal.aborted ? `no answer within ${TIMEOUT_MS} ms` : "no usable answer",
      error,
    );
  }
}

async function readBounded(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  // Leaving the loop early cancels the stream, so a body without end costs one chunk over the limit.
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > MAX_BYTES) throw unavailable(`the answer is larger than ${MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function unavailable(what: string, cause?: unknown): CountersignError {
  return new CountersignError(
    "UNAVAILABLE",
    `identity/bearer: the issuer's keys cannot be had: ${what}`,
    { cause },
  );
}
