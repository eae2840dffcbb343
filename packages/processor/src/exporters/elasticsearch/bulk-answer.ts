// What a bulk answer says of each item.

/** What became of one document. */
export type ItemVerdict =
  | { readonly kind: "stored" }
  /** It was there already. */
  | { readonly kind: "present" }
  /** Never: a constant of the engine's protocol, `[a-z0-9_]`. */
  | { readonly kind: "refused"; readonly reason: string }
  /** Not now. */
  | { readonly kind: "busy" | "failing" }
  /** Not before somebody mended something. */
  | { readonly kind: "forbidden" | "blocked" | "not_there" | "plain_index" };

interface Item {
  readonly _index?: unknown;
  readonly _id?: unknown;
  readonly status?: unknown;
  readonly error?: { readonly type?: unknown };
  readonly failure_store?: unknown;
}

/**
 * An error's type, as both engines make them: of the class's name. Anything else is no reason: whoever answers might send back what it got,
 * a key of ours or a piece of an event.
 */
const TYPE = /^(?=.{1,64}$)(?:[a-z]{1,20}_){1,8}(?:exception|error)$/;
/** Backing indices of a data stream, and of its failure store. */
const BACKING = /^\.(?:ds|fs)-/;

/**
 * A verdict for each of `ids`, in their order; undefined when the answer is not one to them: items missing, others, or without a
 * status. Then nothing is known of any.
 */
export function verdictsOf(
  body: Readonly<Record<string, unknown>>,
  ids: readonly string[],
): readonly ItemVerdict[] | undefined {
  const { errors, items } = body;
  if (typeof errors !== "boolean" || !Array.isArray(items) || items.length !== ids.length)
    return undefined;
  const verdicts: ItemVerdict[] = [];
  for (const [at, entry] of (items as unknown[]).entries()) {
    const item = (entry as { create?: Item | null } | null)?.create;
    if (item?.["_id"] !== ids[at] || typeof item?.status !== "number") return undefined;
    const verdict = verdictOf(item, item.status);
    // `errors: false` beside an error is a contradiction: whoever wrote it is not to be believed.
    if (!errors && item.status >= 300) return undefined;
    verdicts.push(verdict);
  }
  return verdicts;
}

function verdictOf(item: Item, status: number): ItemVerdict {
  const type = typeOf(item);
  if (status >= 200 && status < 300) return ofStored(item);
  // What stands there is what was sent: the id has the event's hash in it. Another conflict comes round.
  if (status === 409)
    return { kind: type === "version_conflict_engine_exception" ? "present" : "failing" };
  if (status === 429) return { kind: "busy" };
  if (status === 404) return { kind: "not_there" };
  if (type === "cluster_block_exception") return { kind: "blocked" };
  if (status === 401 || status === 403) return { kind: "forbidden" };
  if (status >= 400 && status < 500)
    return { kind: "refused", reason: type ?? `refused_${status}` };
  return { kind: "failing" };
}

/** A failure store takes what cannot be indexed, and says 201: no search will ever find it. */
function ofStored(item: Item): ItemVerdict {
  const { _index, failure_store } = item;
  if (failure_store === "used") return { kind: "refused", reason: "failure_store" };
  if (typeof _index !== "string" || !BACKING.test(_index)) return { kind: "plain_index" };
  return { kind: "stored" };
}

function typeOf({ error }: Item): string | undefined {
  const type = error?.type;
  return typeof type === "string" && TYPE.test(type) ? type : undefined;
}
