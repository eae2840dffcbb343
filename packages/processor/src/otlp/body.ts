import type { IncomingMessage } from "node:http";
import { canDecompress, type Compression, decompress } from "./decompress.ts";
import { FAULTS, RequestFault } from "./http-fault.ts";

/** Bounds of one request's body, in bytes. */
export interface BodyLimits {
  /** As it comes over the wire. */
  readonly maxBytes: number;
  /** After decompression. */
  readonly maxDecompressedBytes: number;
}

/** How a body may be compressed. */
export type ContentEncoding = "identity" | Compression;

/** The encoding that a request names; undefined for one that is not supported. */
export function contentEncoding(header: string | undefined): ContentEncoding | undefined {
  const name = (header ?? "identity").trim().toLowerCase();
  return name === "identity" || canDecompress(name) ? name : undefined;
}

/**
 * Reads a body. What is sent is bounded while it streams, what it decompresses to while it is decompressed, so a bomb costs no
 * more than its bound. Rejects a `RequestFault`. The connection stays usable for the answer.
 */
export async function readBody(
  request: IncomingMessage,
  encoding: ContentEncoding,
  limits: BodyLimits,
): Promise<Buffer> {
  const sent = await readSent(request, Math.min(limits.maxBytes, plainLimit(encoding, limits)));
  return encoding === "identity"
    ? sent
    : await decompress(sent, encoding, limits.maxDecompressedBytes);
}

function plainLimit(encoding: ContentEncoding, limits: BodyLimits): number {
  return encoding === "identity" ? limits.maxDecompressedBytes : limits.maxBytes;
}

function readSent(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  if (Number(request.headers["content-length"] ?? 0) > maxBytes) {
    return Promise.reject(new RequestFault(FAULTS.tooLarge));
  }
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const settle = (run: () => void): void => {
      request.off("data", onData).off("end", onEnd).off("error", onGone).off("close", onGone);
      run();
    };
    const fail = (fault: RequestFault["fault"]): void =>
      settle(() => reject(new RequestFault(fault)));
    const onData = (chunk: Buffer): void => {
      size += chunk.length;
      if (size > maxBytes) fail(FAULTS.tooLarge);
      else chunks.push(chunk);
    };
    const onEnd = (): void => settle(() => resolve(Buffer.concat(chunks, size)));
    const onGone = (): void => {
      // `close` also follows a request that came whole.
      if (!request.complete) fail(FAULTS.incomplete);
    };
    request.on("data", onData).on("end", onEnd).on("error", onGone).on("close", onGone);
  });
}
