// The plain way to scrub, on objects: what the pass over the bytes has to agree with.
import { boundText, redactText } from "@countersign/model";
import type { AnyValue, KeyValue } from "@countersign/pipeline";
import { CLOSED_FORMS } from "../processors/closed-forms.ts";
import type { Pseudonym } from "../processors/pseudonym.ts";
import type { RedactKind } from "../processors/scrub-words.ts";

/** What passes, and how hits are counted. */
export interface ScrubOptions {
  readonly keys: ReadonlySet<string>;
  readonly prefixes: readonly string[];
  readonly pseudonymise: ReadonlySet<string>;
  readonly pseudonym: Pseudonym;
  readonly action: "drop" | "mask";
  readonly count: (kind: RedactKind, amount: number) => void;
}

/** Takes out of texts and attributes what must not pass. */
export interface Scrubber {
  /** undefined when nothing of it may pass. */
  text(text: string | undefined): string | undefined;
  attributes(attributes: readonly KeyValue[] | undefined): ScrubbedAttributes;
  count(kind: RedactKind, amount?: number): void;
}

/** Attributes that may pass, and how many were dropped. */
interface ScrubbedAttributes {
  readonly kept: readonly KeyValue[];
  readonly dropped: number;
}

/** Bounds come before any pattern. */
const MAX_TEXT_BYTES = 4096;
const MAX_ATTRIBUTES = 128;
const MAX_LIST = 128;
const KEY = /^[A-Za-z0-9_.-]{1,128}$/;

/** Makes a scrubber. It fails closed: a value whose scan fails does not pass. */
export function createScrubber(options: ScrubOptions): Scrubber {
  return new AllowlistScrubber(options);
}

class AllowlistScrubber implements Scrubber {
  readonly #options: ScrubOptions;

  constructor(options: ScrubOptions) {
    this.#options = options;
  }

  count(kind: RedactKind, amount = 1): void {
    this.#options.count(kind, amount);
  }

  text(text: string | undefined): string | undefined {
    if (text === undefined || text === "") return text;
    try {
      const redacted = redactText(boundText(text, MAX_TEXT_BYTES), this.#options.action);
      for (const detector of redacted.detectors) this.count(detector);
      return redacted.text;
    } catch {
      this.count("detector_error");
      return undefined;
    }
  }

  attributes(attributes: readonly KeyValue[] = []): ScrubbedAttributes {
    const kept: KeyValue[] = [];
    for (const [index, attribute] of attributes.entries()) {
      if (kept.length === MAX_ATTRIBUTES) {
        this.count("too_many", attributes.length - index);
        break;
      }
      const scrubbed = this.#attribute(attribute);
      if (scrubbed !== undefined) kept.push(scrubbed);
    }
    return { kept, dropped: attributes.length - kept.length };
  }

  #attribute({ key, value }: KeyValue): KeyValue | undefined {
    if (key !== undefined && this.#options.pseudonymise.has(key)) {
      const pseudonymised = this.#pseudonymise(key, value);
      return pseudonymised === undefined ? undefined : { key, value: pseudonymised };
    }
    if (key === undefined || !this.#allows(key)) {
      this.count("unknown_attribute");
      return undefined;
    }
    const text = value?.stringValue;
    if (text !== undefined && CLOSED_FORMS.get(key)?.form.test(text) === true)
      return { key, value: { stringValue: text } };
    const scrubbed = this.#value(value);
    return scrubbed === undefined ? undefined : { key, value: scrubbed };
  }

  #pseudonymise(attribute: string, value: AnyValue | undefined): AnyValue | undefined {
    const { arrayValue, kvlistValue } = value ?? {};
    if (arrayValue !== undefined) {
      return { arrayValue: { values: this.#list(arrayValue.values, attribute) } };
    }
    if (kvlistValue !== undefined) {
      return { kvlistValue: { values: this.#pairs(kvlistValue.values, attribute) } };
    }
    if (value?.bytesValue !== undefined) this.count("bytes");
    const text = value?.stringValue ?? value?.boolValue ?? value?.intValue ?? value?.doubleValue;
    if (text === undefined) return undefined;
    if (text === "") return { stringValue: "" };
    this.count("pseudonym");
    return { stringValue: this.#options.pseudonym(attribute, String(text)) };
  }

  #nested(value: AnyValue | undefined, attribute: string | undefined): AnyValue | undefined {
    return attribute === undefined ? this.#value(value) : this.#pseudonymise(attribute, value);
  }

  /** What is behind an allowed prefix is the sender's text, so it is scanned like any other. */
  #allows(key: string): boolean {
    const { keys, prefixes } = this.#options;
    if (keys.has(key)) return true;
    return (
      prefixes.some((prefix) => key.startsWith(prefix)) && KEY.test(key) && this.text(key) === key
    );
  }

  #value(value: AnyValue | undefined): AnyValue | undefined {
    if (value === undefined) return undefined;
    if (value.stringValue !== undefined) return this.#string(value.stringValue);
    if (value.boolValue !== undefined) return { boolValue: value.boolValue };
    // A card number is a number, too.
    if (value.intValue !== undefined)
      return this.#number({ intValue: value.intValue }, value.intValue);
    if (value.doubleValue !== undefined) {
      return this.#number({ doubleValue: value.doubleValue }, String(value.doubleValue));
    }
    if (value.arrayValue !== undefined)
      return { arrayValue: { values: this.#list(value.arrayValue.values) } };
    if (value.kvlistValue !== undefined)
      return { kvlistValue: { values: this.#pairs(value.kvlistValue.values) } };
    if (value.bytesValue !== undefined) this.count("bytes");
    return undefined;
  }

  #string(text: string): AnyValue | undefined {
    const scrubbed = this.text(text);
    return scrubbed === undefined ? undefined : { stringValue: scrubbed };
  }

  #number(value: AnyValue, text: string): AnyValue | undefined {
    return this.text(text) === text ? value : undefined;
  }

  #list(values: readonly AnyValue[] = [], attribute?: string): readonly AnyValue[] {
    if (values.length > MAX_LIST) this.count("too_many", values.length - MAX_LIST);
    return values.slice(0, MAX_LIST).flatMap((value) => this.#nested(value, attribute) ?? []);
  }

  /** Keys within an allowed value are text like the rest. */
  #pairs(values: readonly KeyValue[] = [], attribute?: string): readonly KeyValue[] {
    if (values.length > MAX_LIST) this.count("too_many", values.length - MAX_LIST);
    return values.slice(0, MAX_LIST).flatMap(({ key, value }) => {
      const safe = this.text(key);
      const scrubbed = safe === key ? this.#nested(value, attribute) : undefined;
      return scrubbed === undefined || key === undefined ? [] : [{ key, value: scrubbed }];
    });
  }
}
