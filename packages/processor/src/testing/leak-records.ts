// Log records with a secret in one place: every member of an event that is free text (contract, section 3), and everything beside an
// event that a sender can fill.
import {
  ATTR_EVENT_HASH,
  canonicalBytes,
  encodeObjectId,
  sha256Hex,
  type SealedEvent,
  uuidv7,
} from "@countersign/model";
import type { LogRecord } from "@countersign/pipeline";
import { KINDS as EVENTS } from "./kinds.ts";
import { logRecord } from "./logs.ts";
import { encodedText, type Encoding, ENCODINGS, valueOf } from "./planted.ts";
import { createRandom } from "./random.ts";
import { KINDS, secretOf } from "./secrets.ts";

type Json = Record<string, unknown>;

/** What intake has to make of a record. */
export type Fate = "withheld" | "rejected" | "accepted" | "foreign";

/** A record, and the secret in it. */
export interface Planted {
  readonly secret: string;
  readonly record: LogRecord;
  readonly fate: Fate;
  /** For messages of the test: kind, encoding, place. */
  readonly name: string;
}

/** Longest free text of the schema. */
const MAX_TEXT = 256;

let emitters = 0;

/** The fullest decision, at a place of its own in the log. */
function freshEvent(): Json {
  const event = structuredClone(EVENTS["full"]?.event) as unknown as Json & {
    data: Json & { chain: Json };
  };
  emitters += 1;
  event["id"] = uuidv7();
  event.data.chain["epoch"] = emitters.toString(16).padStart(32, "0");
  return event;
}

function put(event: Json, path: readonly (string | number)[], value: unknown): Json {
  let at = event as Record<string | number, unknown>;
  for (const key of path.slice(0, -1)) at = at[key] as Record<string | number, unknown>;
  at[path.at(-1) as string] = value;
  return event;
}

function sealed(event: Json): SealedEvent {
  const bytes = canonicalBytes(event);
  return { bytes, hash: sha256Hex(bytes), event: event as never };
}

const recordOf = (event: Json): LogRecord => logRecord(sealed(event));

const FREE_TEXT: readonly (readonly (string | number)[])[] = [
  ["subject"],
  ["data", "call", "method"],
  ["data", "call", "name"],
  ["data", "agent", "claimed", "name"],
  ["data", "agent", "claimed", "version"],
  ["data", "server", "name"],
  ["data", "server", "version"],
];
const IDS: readonly (readonly (string | number)[])[] = [
  ["data", "checks", 0, "resource", "id"],
  ["data", "checks", 0, "subject", "id"],
];

const text = (record: LogRecord, change: (body: string) => string): LogRecord => ({
  ...record,
  body: { stringValue: change(record.body?.stringValue ?? "") },
});

/** Records that are refused, whatever they hold. */
const REFUSED: Readonly<Record<string, (prose: string) => LogRecord>> = {
  "another hash": (prose) => ({
    ...recordOf(put(freshEvent(), ["subject"], prose)),
    attributes: [{ key: ATTR_EVENT_HASH, value: { stringValue: "ab".repeat(32) } }],
  }),
  "no hash": (prose) => ({
    ...recordOf(put(freshEvent(), ["subject"], prose)),
    attributes: [],
  }),
  "not canonical": (prose) =>
    text(recordOf(put(freshEvent(), ["subject"], prose)), (body) => ` ${body}`),
  "half an event": (prose) =>
    text(recordOf(put(freshEvent(), ["subject"], prose)), (body) => body.slice(0, -20)),
  "no JSON": (prose) => text(recordOf(freshEvent()), () => prose),
  "a name of a member": (prose) => recordOf(put(freshEvent(), ["data", prose], "")),
  "an enum": (prose) => recordOf(put(freshEvent(), ["data", "reason"], { [prose]: prose })),
  "a type": (prose) => recordOf(put(freshEvent(), ["type"], prose)),
  "a pattern": (prose) => recordOf(put(freshEvent(), ["traceparent"], prose)),
  "a source": (prose) => recordOf(put(freshEvent(), ["source"], prose)),
  "another tenant": (prose) => recordOf(put(freshEvent(), ["data", "tenant"], prose)),
};

/** What stands beside an event that is taken. */
function beside(prose: string, plain: string, encoding: Encoding): LogRecord {
  const { attributes = [], ...record } = recordOf(freshEvent());
  const value = valueOf(plain, encoding);
  return {
    ...record,
    severityText: prose,
    attributes: [
      ...attributes,
      { key: "countersign.note", value },
      { key: plain, value: { stringValue: "x" } },
    ],
  };
}

const foreign = (plain: string, encoding: Encoding): LogRecord => ({
  eventName: "app.log",
  severityText: plain,
  body: valueOf(plain, encoding),
  attributes: [{ key: plain, value: valueOf(plain, encoding) }],
});

/** Every kind of secret in every encoding at every place, once a round. */
export function* plantedRecords(rounds: number): Generator<Planted> {
  for (let round = 1; round <= rounds; round += 1) {
    const random = createRandom(round);
    for (const kind of KINDS) {
      for (const encoding of ENCODINGS) {
        const plant = (
          place: string,
          fate: Fate,
          make: (prose: string, plain: string) => LogRecord,
        ): Planted => {
          const secret = secretOf(kind, random);
          const plain = encodedText(secret, encoding);
          const prose = `call ${plain} now`;
          const record = make(prose, plain);
          const name = `${kind}, ${encoding}, ${place}: ${secret}`;
          // What is too long for a member is refused before anybody looks into it.
          const isTooLong = fate === "withheld" && Array.from(prose).length > MAX_TEXT;
          return { secret, record, fate: isTooLong ? "rejected" : fate, name };
        };
        for (const path of FREE_TEXT) {
          yield plant(path.join("."), "withheld", (prose) =>
            recordOf(put(freshEvent(), path, prose)),
          );
        }
        // In an id an e-mail address is legitimate, and what is long has no room when it is escaped.
        const hasRoom = kind !== "email" && kind !== "pem" && kind !== "jwt";
        for (const path of hasRoom ? IDS : []) {
          yield plant(path.join("."), "withheld", (_, plain) =>
            recordOf(put(freshEvent(), path, encodeObjectId(plain))),
          );
        }
        for (const [name, make] of Object.entries(REFUSED)) yield plant(name, "rejected", make);
        yield plant("beside", "accepted", (prose, plain) => beside(prose, plain, encoding));
        yield plant("foreign", "foreign", (_, plain) => foreign(plain, encoding));
      }
    }
  }
}
