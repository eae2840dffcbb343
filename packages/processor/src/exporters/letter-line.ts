import type { Letter, Receipt } from "@countersign/pipeline";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A letter as a line of JSON. The original is `value` (a string of exactly its bytes) or, if it is no text, `valueBase64`. */
export function letterLine(letter: Letter): Uint8Array {
  const { reason, component, timeMs, detail, hash, size, bytes, count } = letter;
  const { sink, attempts, place } = letter;
  const line = {
    time: new Date(timeMs).toISOString(),
    component,
    reason,
    ...(sink === undefined ? {} : { sink }),
    ...(attempts === undefined ? {} : { attempts }),
    ...(place === undefined ? {} : { place: { ...place, offset: String(place.offset) } }),
    ...(detail === undefined ? {} : { detail }),
    ...(count === undefined ? {} : { count }),
    ...(hash === undefined ? {} : { hash }),
    ...(size === undefined ? {} : { size }),
    ...(bytes === undefined ? {} : originalOf(bytes)),
  };
  return Buffer.from(JSON.stringify(line), "utf8");
}

/** A receipt as a line of JSON. */
export function receiptLine(receipt: Receipt): Uint8Array {
  return Buffer.from(JSON.stringify(receipt), "utf8");
}

function originalOf(bytes: Uint8Array): { value: string } | { valueBase64: string } {
  try {
    return { value: utf8.decode(bytes) };
  } catch {
    return { valueBase64: Buffer.from(bytes).toString("base64") };
  }
}
