// Finds planted secrets in what came out, however they were written there, in one pass over the text.

/** An escape of JSON or of ours, what cannot be seen, and what may stand between the characters of a secret. */
const BESIDE =
  /\\+u\{[0-9A-F]+\}|\\+u(?:00[0-7][0-9a-f]|20[0-9a-f]{2}|feff)|\\+[nrt]|[\p{Cc}\u200b-\u200f\\ .-]/gu;
/** Escapes of an object id, byte by byte: `=2E`. */
const ID_ESCAPES = /(?:=[0-9A-F]{2})+/g;
const WINDOW = 8;

/** The text as whoever looks for a secret reads it. */
function dense(text: string): string {
  return text.normalize("NFKC").replaceAll(BESIDE, "");
}

/** Finds secrets that were planted. */
export interface LeakScan {
  plant(secret: string): void;
  /** The secrets, or halves of long ones, that a text has. */
  found(text: string): readonly string[];
}

/** Makes one; every secret has at least eight characters beside what stands between them. */
export function createLeakScan(): LeakScan {
  const needles = new Map<string, { needle: string; secret: string }[]>();
  return {
    plant: (secret) => {
      for (const needle of needlesOf(dense(secret))) {
        const head = needle.slice(0, WINDOW);
        needles.set(head, [...(needles.get(head) ?? []), { needle, secret }]);
      }
    },
    found: (text) => {
      const seen = dense(text);
      const decoded = dense(
        text.replaceAll(ID_ESCAPES, (run) =>
          Buffer.from(run.replaceAll("=", ""), "hex").toString("utf8"),
        ),
      );
      const leaks = new Set<string>();
      for (const one of decoded === seen ? [seen] : [seen, decoded]) {
        for (let at = 0; at + WINDOW <= one.length; at += 1) {
          for (const { needle, secret } of needles.get(one.slice(at, at + WINDOW)) ?? [])
            if (one.startsWith(needle, at)) leaks.add(secret);
        }
      }
      return [...leaks];
    },
  };
}

/** A secret as it is, and of a long one pieces that no other has: it may have been cut, or taken out but for an end. */
function needlesOf(secret: string): readonly string[] {
  if (secret.length < 64) return [secret];
  const middle = Math.floor(secret.length / 2);
  return [secret, secret.slice(middle - 12, middle + 12), secret.slice(-48, -24)];
}
