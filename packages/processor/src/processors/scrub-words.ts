// One text at a time: bounded, then scanned. And the count of what was taken out.
import { boundText, type Detector, redactText } from "@countersign/model";

/** Why something was taken out. */
export type RedactKind =
  | Detector
  | "pseudonym"
  | "unknown_attribute"
  | "unknown_field"
  | "bytes"
  | "too_many"
  | "status_message"
  | "trace_state"
  | "schema_url"
  | "invalid_id"
  | "detector_error";

/** Counts by kind. */
export type RedactCounts = ReadonlyMap<RedactKind, number>;

/** Bounds come before any pattern: bytes of a text, attributes of one owner, items of a list, events and links of a span. */
export const REDACT_BOUNDS = {
  textBytes: 4096,
  attributes: 128,
  list: 128,
  events: 128,
  links: 128,
} as const;

/** Looks at texts, and counts. */
export interface Words {
  /** The text that may pass; undefined when nothing of it may. A scan that fails lets nothing pass. */
  redact(text: string): string | undefined;
  count(kind: RedactKind, amount?: number): void;
  readonly counts: RedactCounts;
}

/** Words of one batch. */
export function createWords(action: "drop" | "mask"): Words {
  return new CountingWords(action);
}

class CountingWords implements Words {
  readonly #action: "drop" | "mask";
  readonly #counts = new Map<RedactKind, number>();

  constructor(action: "drop" | "mask") {
    this.#action = action;
  }

  get counts(): RedactCounts {
    return this.#counts;
  }

  redact(text: string): string | undefined {
    if (text === "") return text;
    try {
      const redacted = redactText(boundText(text, REDACT_BOUNDS.textBytes), this.#action);
      for (const detector of redacted.detectors) this.count(detector);
      return redacted.text;
    } catch {
      this.count("detector_error");
      return undefined;
    }
  }

  count(kind: RedactKind, amount = 1): void {
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + amount);
  }
}
