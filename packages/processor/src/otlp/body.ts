import type { IncomingMessage } from "node:http";
import { createGunzip, type Gunzip } from "node:zlib";
import { FAULTS, RequestFault } from "./http-fault.ts";

/** Bounds of one request's body, in bytes. */
export interface BodyLimits {
  /** As it comes over the wire. */
  readonly maxBytes: number;
  /** After decompression. */
  readonly maxDecompressedBytes: number;
}

/** How a body may be compressed. */
export type ContentEncoding = "identity" | "gzip";

/** The encoding that a request names; undefined for one that is not supported. */
export function contentEncoding(header: string | undefined): ContentEncoding | undefined {
  const name = (header ?? "identity").trim().toLowerCase();
  return name === "gzip" || name === "identity" ? name : undefined;
}

/**
 * Reads a body. Both bounds hold while it streams, so a compressed bomb costs no more than its bound. Rejects a
 * `RequestFault`. The connection stays usable for the answer.
 */
export function readBody(
  request: IncomingMessage,
  encoding: ContentEncoding,
  limits: BodyLimits,
): Promise<Buffer> {
  if (Number(request.headers["content-length"] ?? 0) > limits.maxBytes) {
    return Promise.reject(new RequestFault(FAULTS.tooLarge));
  }
  return new Promise((resolve, reject) => {
    const sink = encoding === "gzip" ? gunzipSink(limits) : plainSink(limits);
    let taken = 0;
    const settle = (run: () => void): void => {
      request.off("data", onData).off("end", onEnd).off("error", onGone).off("close", onGone);
      run();
    };
    const fail = (fault: RequestFault["fault"]): void =>
      settle(() => reject(new RequestFault(fault)));
    const onData = (chunk: Buffer): void => {
      taken += chunk.length;
      if (taken > limits.maxBytes) fail(FAULTS.tooLarge);
      else sink.write(chunk);
    };
    const onEnd = (): void => sink.end();
    const onGone = (): void => {
      // `close` also follows a request that came whole.
      if (!request.complete) fail(FAULTS.incomplete);
    };
    sink.settle((body) => settle(() => resolve(body)), fail);
    request.on("data", onData).on("end", onEnd).on("error", onGone).on("close", onGone);
  });
}

interface Sink {
  write(chunk: Buffer): void;
  end(): void;
  settle(done: (body: Buffer) => void, fail: (fault: RequestFault["fault"]) => void): void;
}

function plainSink(limits: BodyLimits): Sink {
  const chunks: Buffer[] = [];
  let size = 0;
  let done: (body: Buffer) => void;
  let fail: (fault: RequestFault["fault"]) => void;
  return {
    write: (chunk) => {
      size += chunk.length;
      if (size > limits.maxDecompressedBytes) fail(FAULTS.tooLarge);
      else chunks.push(chunk);
    },
    end: () => done(Buffer.concat(chunks, size)),
    settle: (onDone, onFail) => {
      done = onDone;
      fail = onFail;
    },
  };
}

function gunzipSink(limits: BodyLimits): Sink {
  const gunzip: Gunzip = createGunzip();
  const chunks: Buffer[] = [];
  let size = 0;
  return {
    write: (chunk) => void gunzip.write(chunk),
    end: () => void gunzip.end(),
    settle: (done, fail) => {
      gunzip.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size <= limits.maxDecompressedBytes) {
          chunks.push(chunk);
          return;
        }
        gunzip.destroy();
        fail(FAULTS.tooLarge);
      });
      gunzip.on("end", () => done(Buffer.concat(chunks, size)));
      gunzip.on("error", () => fail(FAULTS.corrupt));
    },
  };
}
