import type { ResourceSpans, SentBy, Traces, WireSpans } from "@countersign/pipeline";
import { checkProto } from "./check-proto.ts";
import { decodeProto } from "./decode-proto.ts";
import { encodeProto } from "./encode-proto.ts";
import { TRACE_REQUEST } from "./message.ts";
import { countSpans } from "./count-spans.ts";

/** How much is known of the bytes. `checked`: they are a request, and somebody counted its spans. */
export interface WireTracesOptions {
  readonly checked?: { readonly spans: number };
  readonly sentBy?: SentBy;
}

/**
 * Spans as the bytes of one request; objects are made of them when somebody first asks for `resourceSpans`. Throws
 * INPUT_INVALID when the spans cannot be counted.
 */
export function wireTraces(bytes: Buffer, options: WireTracesOptions = {}): Traces {
  return new LazyTraces(bytes, options.checked?.spans ?? countSpans(bytes), options);
}

/** The bytes of a batch: as they are, or written now. */
export function partsOf(batch: Traces): readonly Uint8Array[] {
  return batch.wire?.parts ?? [encodeProto(batch, TRACE_REQUEST)];
}

/** {@link partsOf} in one piece. */
export function wireOf(batch: Traces): Buffer {
  const parts = partsOf(batch);
  const [only] = parts;
  if (parts.length !== 1 || only === undefined) return Buffer.concat(parts);
  return Buffer.from(only.buffer, only.byteOffset, only.byteLength);
}

class LazyTraces implements Traces {
  readonly #bytes: Buffer;
  #resourceSpans: readonly ResourceSpans[] | undefined;
  readonly wire: WireSpans;
  readonly sentBy?: SentBy;

  constructor(bytes: Buffer, spans: number, { checked, sentBy }: WireTracesOptions) {
    this.#bytes = bytes;
    if (sentBy !== undefined) this.sentBy = sentBy;
    const check =
      checked !== undefined ? () => undefined : () => void checkProto(bytes, TRACE_REQUEST);
    this.wire = { parts: [bytes], spans, check };
  }

  get resourceSpans(): readonly ResourceSpans[] {
    this.#resourceSpans ??=
      decodeProto<Partial<Traces>>(this.#bytes, TRACE_REQUEST).value.resourceSpans ?? [];
    return this.#resourceSpans;
  }
}
