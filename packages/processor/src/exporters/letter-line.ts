import type { Letter } from "@countersign/pipeline";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A letter as a line of JSON. The original is `value` (a string of exactly its bytes) or, if it is no text, `valueBase64`. */
export function letterLine(letter: Letter): Uint8Array {
  const { reason, component, timeMs, detail, hash, size, bytes, count } = letter;
  const line = {
    time: new Date(timeMs).toISOString(),
    component,
    reason,
    ...(detail === undefined ? {} : { detail }),
    ...(count === undefined ? {} : { count }),
    ...(hash === undefined ? {} : { hash }),
    ...(size === undefined ? {} : { size }),
    ...(bytes === undefined ? {} : originalOf(bytes)),
  };
  return Buffer.from(JSON.stringify(line), "utf8");
}

function originalOf(bytes: Uint8Array): { value: string } | { valueBase64: string } {
  try {
    return { value: utf8.decode(bytes) };
  } catch {
    return { valueBase64: Buffer.from(bytes).toString("base64") };
  }
}
