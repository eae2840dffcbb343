import type { ResourceSpans, Traces, WireSpans } from "@countersign/pipeline";
import { checkProto } from "./check-proto.ts";
import { decodeProto } from "./decode-proto.ts";
import { encodeProto } from "./encode-proto.ts";
import { TRACE_REQUEST } from "./message.ts";
import { countSpans } from "./count-spans.ts";

/** How much is known of the bytes. `checked`: they are a request, and somebody counted its spans. */
export interface WireTracesOptions {
  readonly checked?: { readonly spans: number };
}

/**
 * Spans as the bytes of one request; objects are made of them when somebody first asks for `resourceSpans`. Throws
 * INPUT_INVALID when the spans cannot be counted.
 */
export function wireTraces(bytes: Buffer, { checked }: WireTracesOptions = {}): Traces {
  return new LazyTraces(bytes, checked?.spans ?? countSpans(bytes), checked !== undefined);
}

/** The bytes of a batch: as they are, or written now. */
export function wireOf(batch: Traces): Buffer {
  const { wire } = batch;
  if (wire === undefined) return encodeProto(batch, TRACE_REQUEST);
  const [only] = wire.parts;
  if (wire.parts.length !== 1 || only === undefined) return Buffer.concat(wire.parts);
  return Buffer.from(only.buffer, only.byteOffset, only.byteLength);
}

class LazyTraces implements Traces {
  readonly #bytes: Buffer;
  #resourceSpans: readonly ResourceSpans[] | undefined;
  readonly wire: WireSpans;

  constructor(bytes: Buffer, spans: number, checked: boolean) {
    this.#bytes = bytes;
    const check = checked ? () => undefined : () => void checkProto(bytes, TRACE_REQUEST);
    this.wire = { parts: [bytes], spans, check };
  }

  get resourceSpans(): readonly ResourceSpans[] {
    this.#resourceSpans ??=
      decodeProto<Partial<Traces>>(this.#bytes, TRACE_REQUEST).value.resourceSpans ?? [];
    return this.#resourceSpans;
  }
}
