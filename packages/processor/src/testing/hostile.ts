// Trace requests as nobody writes them: fields out of order, twice, of the wrong type, unknown, in more bytes than they need.
import { type Field, type Message, TRACE_REQUEST, wireTypeOf } from "../otlp/message.ts";
import { WIRE } from "../otlp/wire.ts";
import { createRandom, type Random } from "./random.ts";

/** Keys that pass, that pass by their prefix, that become pseudonyms, and others. */
export const HOSTILE_RULES = {
  pass: ["error.type", "mcp.method.name", "ключ"],
  prefixes: ["otel.", "service."],
  pseudonymise: ["user.id"],
} as const;

const KEYS = [
  ...HOSTILE_RULES.pass,
  ...HOSTILE_RULES.pseudonymise,
  "otel.a",
  "otel.alice@example.com",
  "otel.4111111111111111",
  "otel. space",
  `service.${"n".repeat(130)}`,
  "service.name",
  "unlisted",
  "error.typ",
  "error.typee",
  "",
];

const TEXTS = [
  "",
  "tools/call read_ticket",
  "alice@example.com",
  "pay 4111 1111 1111 1111 now",
  "4111\u200b1111\u200b1111\u200b1111",
  "４１１１１１１１１１１１１１１１",
  "a@b.cd a@b.cd",
  "10.1.2.3",
  "é",
  "back\\slash",
  "https://opentelemetry.io/schemas/1.45.0",
  "https://evil.example/",
  "eyJhbGciOiJIUzI1NiJ9.e30.x",
  "ghp_a1B2c3D4e5a1B2c3D4e5a1B2c3D4e5a1B2c3",
  "123-45-6789",
];

/** Over the bound: plain, with a hit at the end, beyond ASCII. */
const LONG_TEXTS = ["x".repeat(5000), `${"y".repeat(4090)}a@bc.de`, "é".repeat(2100)];

/** What may be wrong with a request. Most have one or two of these, so that what is not refused is seen, too. */
const FAULTS = [
  "order",
  "twice",
  "many",
  "loose",
  "unknown",
  "wire_type",
  "ids",
  "numbers",
  "text",
  "long",
] as const;
type Fault = (typeof FAULTS)[number];

/** One request by its seed. */
export function hostileRequest(seed: number): Buffer {
  const random = createRandom(seed);
  const faults = new Set<Fault>(Array.from({ length: random.below(3) }, () => random.pick(FAULTS)));
  return new Writer(random, faults).message(TRACE_REQUEST, 0);
}

const MAX_DEPTH = 14;
/** How often a fault shows. */
const OFTEN = 0.1;
const RARELY = 0.02;

class Writer {
  readonly #random: Random;
  readonly #faults: ReadonlySet<Fault>;
  /** Fields that are still to be written, so that a request stays small. */
  #left: number;

  constructor(random: Random, faults: ReadonlySet<Fault>) {
    this.#random = random;
    this.#faults = faults;
    this.#left = faults.has("many") ? 700 : 250;
  }

  message(message: Message, depth: number): Buffer {
    const fields = message.fields[0]?.choice === true ? this.#choices(message) : message.fields;
    const parts = fields.flatMap((field) => this.#times(field, depth));
    if (this.#shows("unknown")) parts.push(this.#unknown());
    if (this.#shows("order")) parts.sort(() => this.#random.below(3) - 1);
    return Buffer.concat(parts);
  }

  #shows(fault: Fault, probability = OFTEN): boolean {
    return this.#faults.has(fault) && this.#random.chance(probability);
  }

  /** Text mostly, sometimes none, sometimes two. */
  #choices({ fields }: Message): readonly Field[] {
    const random = this.#random;
    if (random.chance(RARELY)) return [];
    const one = random.chance(0.5) ? random.pick(fields.slice(0, 1)) : random.pick(fields);
    return this.#shows("twice") ? [one, random.pick(fields)] : [one];
  }

  #times(field: Field, depth: number): Buffer[] {
    const random = this.#random;
    const { type, name, choice, repeated } = field;
    if (typeof type !== "string" && depth > MAX_DEPTH) return [];
    let often = random.chance(0.8) ? 1 : 0;
    if (choice === true || ["traceId", "spanId"].includes(name)) often = 1;
    else if (name === "key" || name === "value") often = random.chance(0.98) ? 1 : 0;
    else if (repeated === true) often = random.below(depth > 6 ? 3 : 5);
    if (this.#shows("twice")) often += 1;
    if (repeated === true && this.#shows("many")) often += 140;
    const fields: Buffer[] = [];
    for (let count = 0; count < often && this.#left > 0; count += 1) {
      this.#left -= 1;
      fields.push(this.#field(field, depth));
    }
    return fields;
  }

  #field(field: Field, depth: number): Buffer {
    const random = this.#random;
    const wire = this.#shows("wire_type", RARELY) ? random.pick([0, 1, 2, 5]) : wireTypeOf(field);
    const tag = this.#varint(BigInt(field.number * 8 + wire));
    if (wire === WIRE.varint) return Buffer.concat([tag, this.#varint(this.#number(field))]);
    if (wire === WIRE.fixed64) return Buffer.concat([tag, this.#fixed64()]);
    if (wire === WIRE.fixed32) return Buffer.concat([tag, Buffer.from([1, 2, 3, random.below(9)])]);
    const body = this.#body(field, depth);
    return Buffer.concat([tag, this.#varint(BigInt(body.length)), body]);
  }

  #body({ type, name }: Field, depth: number): Buffer {
    const random = this.#random;
    if (typeof type !== "string") return this.message(type, depth + 1);
    if (type === "hex") {
      const length = this.#shows("ids") ? random.below(20) : name === "traceId" ? 16 : 8;
      return Buffer.alloc(length, this.#shows("ids") ? 0 : 7);
    }
    if (type === "string" && this.#shows("text", RARELY)) return Buffer.from("ff61", "hex");
    if (this.#shows("long")) return Buffer.from(random.pick(LONG_TEXTS));
    if (name === "key" && random.chance(0.6)) return Buffer.from(random.pick(HOSTILE_RULES.pass));
    return Buffer.from(random.pick(name === "key" ? KEYS : TEXTS));
  }

  #number({ type }: Field): bigint {
    const random = this.#random;
    if (!this.#shows("numbers", 0.5)) return BigInt(random.below(type === "bool" ? 2 : 5));
    return random.pick([
      3n,
      200n,
      8443n,
      4_111_111_111_111_111n,
      4_222_222_222_222n,
      -1n,
      -4_111_111_111_111_111n,
      1n << 31n,
      (1n << 32n) + 5n,
      BigInt(random.below(2 ** 31)),
    ]);
  }

  #fixed64(): Buffer {
    const bytes = Buffer.alloc(8);
    const random = this.#random;
    bytes.writeDoubleLE(random.pick([0, 0.5, -0, 4_111_111_111_111_111, 1e300, 0.1 + 0.2, 12.25]));
    // A NaN has 51 bits that nobody reads.
    return this.#shows("numbers") ? Buffer.from("010203040506f87f", "hex") : bytes;
  }

  /** In as few bytes as it needs, mostly. */
  #varint(value: bigint): Buffer {
    const bytes: number[] = [];
    let rest = BigInt.asUintN(64, value);
    while (rest >= 0x80n) {
      bytes.push(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    bytes.push(Number(rest));
    if (bytes.length < 10 && this.#shows("loose", RARELY)) this.#loosen(bytes);
    return Buffer.from(bytes);
  }

  /** Zeros at the end, and in the tenth byte bits beyond the 64th. */
  #loosen(bytes: number[]): void {
    const more = 1 + this.#random.below(10 - bytes.length);
    for (let count = 0; count < more; count += 1) {
      bytes[bytes.length - 1] = (bytes.at(-1) as number) | 0x80;
      bytes.push(0);
    }
    if (bytes.length === 10) bytes[9] = 0x7e;
  }

  #unknown(): Buffer {
    return Buffer.from(
      this.#random.pick([
        "9a06046c65616b",
        "f8ff0301",
        "92030568656c6c6f",
        "8d0601020304",
        "c903ffffffffffffffff",
        ...(this.#random.chance(RARELY) ? ["0b", "1f"] : []),
      ]),
      "hex",
    );
  }
}
