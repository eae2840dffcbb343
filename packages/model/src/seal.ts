// From a draft to bytes that nobody changes any more, and back (contract, section 1).
import { BOUNDS } from "./bounds.ts";
import { canonicalBytes, isCanonicalEvent, sha256Hex } from "./canonical.ts";
import type { EventDraft } from "./draft.ts";
import { CountersignError, errorCode } from "./error.ts";
import type { Chain, CountersignEvent, WithheldEvent } from "./event.ts";
import { CONNECTOR_SOURCE_PREFIX, dataSchema, EMITTER_SOURCE_PREFIX, eventType } from "./names.ts";
import { byteLength } from "./neutralise.ts";
import { isPlainCanonical } from "./plain-canonical.ts";
import { uuidv8From } from "./uuid.ts";
import { validateClosed } from "./validate.ts";

/** An event and its bytes. The bytes rule: `event` is a view of them, for reading only. */
export interface SealedEvent {
  readonly bytes: Uint8Array;
  /** SHA-256 of `bytes`, lower-case hex. */
  readonly hash: string;
  readonly event: CountersignEvent;
}

/** An event that was just sealed, as text. `bytes` is a getter, made of it when somebody asks: a spread copy has none. */
export interface SealedText extends SealedEvent {
  /** RFC 8785 text: `bytes`, before UTF-8. */
  readonly text: string;
}

/** Whoever seals writes the text to its place at once; of most events nobody ever wants a buffer of their own. */
class JustSealed implements SealedText {
  readonly text: string;
  readonly hash: string;
  readonly event: CountersignEvent;
  #bytes: Uint8Array | undefined;

  constructor(text: string, event: CountersignEvent) {
    this.text = text;
    this.hash = sha256Hex(text);
    this.event = event;
  }

  get bytes(): Uint8Array {
    this.#bytes ??= Buffer.from(this.text, "utf8");
    return this.#bytes;
  }
}

/** `chain.prev` of the event with `seq` 0: 64 zeros. */
export const GENESIS: string = "0".repeat(64);

/** An event that was read. What was parsed of it can go while its bytes wait for somebody, and is made of them again. */
class Unsealed implements SealedEvent {
  readonly bytes: Uint8Array;
  readonly hash: string;
  #event: CountersignEvent | undefined;

  constructor(bytes: Uint8Array, hash: string, event: CountersignEvent) {
    this.bytes = bytes;
    this.hash = hash;
    this.#event = event;
  }

  get event(): CountersignEvent {
    this.#event ??= JSON.parse(decode(this.bytes)) as CountersignEvent;
    return this.#event;
  }

  static letGo(sealed: SealedEvent): void {
    if (#event in sealed) sealed.#event = undefined;
  }
}

/**
 * Says that nobody needs what was parsed of these events for now. An object of an event takes five times the room of its bytes, and
 * what lives through an answer of brokers costs the garbage collector most. Whoever asks for `event` gets it all the same.
 */
export function letGoOfParsed(events: readonly SealedEvent[]): void {
  for (const sealed of events) Unsealed.letGo(sealed);
}

interface Slots {
  source: string;
  time: string;
  data: { chain: Chain | undefined };
}

/**
 * Fills the slots of a draft, checks it against the closed schema, and makes its bytes. One seal per draft.
 * @param time from `eventTime`; the journal sees to it that it never runs backwards.
 * @throws BUG when the event is not valid, over 32,768 bytes, or was sealed before. Names the path, never the value.
 */
export function seal(draft: EventDraft, chain: Chain, time: string): SealedText {
  const slots = draft.event as unknown as Slots;
  if (slots.time !== "") throw new CountersignError("BUG", "seal: the draft was sealed before");
  slots.data.chain = {
    emitter: chain.emitter,
    epoch: chain.epoch,
    prev: chain.prev,
    seq: chain.seq,
  };
  slots.source = EMITTER_SOURCE_PREFIX + chain.emitter;
  slots.time = time;
  const [problem] = validateClosed(draft.event);
  if (problem !== undefined) {
    throw new CountersignError("BUG", `seal: ${draft.kind}${problem.path} ${problem.message}`);
  }
  // The builders set members in the order of RFC 8785; a property test holds them to it.
  const text = JSON.stringify(draft.event);
  // A UTF-16 unit is at most 3 bytes of UTF-8, so most texts need no count.
  if (text.length * 3 > BOUNDS.eventBytes && byteLength(text) > BOUNDS.eventBytes) {
    throw new CountersignError("BUG", `seal: ${draft.kind} is over ${BOUNDS.eventBytes} bytes`);
  }
  return new JustSealed(text, draft.event);
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function invalid(what: string, cause?: unknown): CountersignError {
  return new CountersignError("INPUT_INVALID", `unseal: ${what}`, { cause });
}

/**
 * Reads sealed bytes: UTF-8, JSON, the values that events may hold, and the one canonical form. The schema is another
 * question (`validateOpen`), and so is the chain (`verifyChain`). `event` is a getter: a spread copy has none.
 * @throws INPUT_INVALID
 */
export function unseal(bytes: Uint8Array): SealedEvent {
  if (bytes.length > BOUNDS.eventBytes) throw invalid(`over ${BOUNDS.eventBytes} bytes`);
  const text = decode(bytes);
  let event: unknown;
  try {
    event = JSON.parse(text);
  } catch {
    // The parser's message quotes the text.
    throw invalid("not JSON");
  }
  if (typeof event !== "object" || event === null || Array.isArray(event)) {
    throw invalid("not a JSON object");
  }
  if (!isPlainCanonical(bytes) && !isCanonical(event, text))
    throw invalid("not in canonical form (RFC 8785)");
  return new Unsealed(bytes, sha256Hex(bytes), event as CountersignEvent);
}

function decode(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw invalid("not UTF-8");
  }
}

function isCanonical(event: object, text: string): boolean {
  try {
    return isCanonicalEvent(event, text);
  } catch (error) {
    if (errorCode(error) === undefined) throw error;
    throw invalid((error as Error).message.replace(/^canonical: /, ""));
  }
}

/** What a component is called that withholds, when it has no other id. */
const INTAKE = "intake";

/**
 * Stands for an event that must not go on (contract, section 7). The same event gives the same bytes, so a repeat is
 * dropped as a duplicate: the id is a UUIDv8 of what is withheld, the time that of the original.
 * @param member path of the member, never its value
 */
export function withheldEvent(
  of: SealedEvent,
  detector: string,
  member: string,
  component: string = INTAKE,
): SealedEvent {
  const { tenant, chain } = of.event.data as { tenant: string; chain?: Chain };
  if (chain === undefined) throw invalid("only an event with a chain is withheld");
  const source = CONNECTOR_SOURCE_PREFIX + component;
  const event: WithheldEvent = {
    data: {
      detector,
      member,
      of: { emitter: chain.emitter, epoch: chain.epoch, hash: of.hash, seq: chain.seq },
      tenant,
    },
    datacontenttype: "application/json",
    dataschema: dataSchema("withheld") as WithheldEvent["dataschema"],
    id: uuidv8From(`${source}\n${of.hash}\n${member}`),
    source,
    specversion: "1.0",
    time: of.event.time,
    type: eventType("withheld") as WithheldEvent["type"],
  };
  const bytes = canonicalBytes(event);
  return { bytes, hash: sha256Hex(bytes), event };
}
