// What generated validators need at run time. ajv's own functions would be a dependency, and they are CommonJS.

/** One problem, as ajv reports it. */
export interface ValidatorError {
  readonly instancePath: string;
  readonly keyword: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly message?: string;
  /** The schema that holds the keyword; only from validators that report everything. */
  readonly parentSchema?: Readonly<Record<string, unknown>>;
}

/** A generated validator. `errors` belongs to the last call. */
export interface Validator {
  (value: unknown): boolean;
  errors?: readonly ValidatorError[] | null;
}

/** Length in code points, as JSON Schema counts it. */
export function ucs2length(text: string): number {
  let length = text.length;
  for (let index = 0; index + 1 < text.length; index += 1) {
    const high = text.charCodeAt(index);
    if (high < 0xd800 || high > 0xdbff) continue;
    const low = text.charCodeAt(index + 1);
    if (low < 0xdc00 || low > 0xdfff) continue;
    length -= 1;
    index += 1;
  }
  return length;
}

/** Equality of two JSON values. */
export function equal(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) {
    return false;
  }
  if (Array.isArray(one) !== Array.isArray(other)) return false;
  const keys = Object.keys(one);
  return (
    keys.length === Object.keys(other).length &&
    keys.every(
      (key) =>
        Object.hasOwn(other, key) &&
        equal((one as Record<string, unknown>)[key], (other as Record<string, unknown>)[key]),
    )
  );
}
