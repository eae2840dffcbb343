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

/** One request by its seed. */
export function hostileRequest(seed: number): Buffer {
  const random = createRandom(seed);
  return new Writer(random, random.pick([0, 0.02, 0.1])).message(TRACE_REQUEST, 0);
}

const MAX_DEPTH = 14;

class Writer {
  readonly #random: Random;
  /** How often something is wrong with a field. */
  readonly #odd: number;
  /** Fields that are still to be written, so that a request stays small. */
  #left = 250;

  constructor(random: Random, odd: number) {
    this.#random = random;
    this.#odd = odd;
  }

  message(message: Message, depth: number): Buffer {
    const parts = message.fields.flatMap((field) => this.#times(field, depth));
    if (this.#random.chance(this.#odd)) parts.push(this.#unknown());
    if (this.#random.chance(this.#odd * 2)) parts.sort(() => this.#random.below(3) - 1);
    return Buffer.concat(parts);
  }

  #times(field: Field, depth: number): Buffer[] {
    const random = this.#random;
    const { type } = field;
    if (typeof type !== "string" && depth > MAX_DEPTH) return [];
    let often = random.chance(0.8) ? 1 : 0;
    if (field.choice === true) often = random.chance(0.2) ? 1 : 0;
    else if (field.repeated === true) often = random.below(depth > 6 ? 2 : 4);
    else if (field.name === "traceId" || field.name === "spanId") often = 1;
    if (random.chance(this.#odd)) often += random.pick([1, 1, 2, 140]);
    const fields: Buffer[] = [];
    for (let count = 0; count < often && this.#left > 0; count += 1) {
      this.#left -= 1;
      fields.push(this.#field(field, depth));
    }
    return fields;
  }

  #field(field: Field, depth: number): Buffer {
    const random = this.#random;
    const wire = random.chance(this.#odd / 4) ? random.pick([0, 1, 2, 5]) : wireTypeOf(field);
    const tag = this.#varint(BigInt(field.number * 8 + wire));
    if (wire === WIRE.varint) return Buffer.concat([tag, this.#varint(this.#number())]);
    if (wire === WIRE.fixed64) return Buffer.concat([tag, this.#fixed64()]);
    if (wire === WIRE.fixed32) return Buffer.concat([tag, Buffer.from([1, 2, 3, random.below(9)])]);
    const body = this.#body(field, depth);
    return Buffer.concat([tag, this.#varint(BigInt(body.length)), body]);
  }

  #body({ type, name }: Field, depth: number): Buffer {
    const random = this.#random;
    if (typeof type !== "string") return this.message(type, depth + 1);
    if (type === "hex") {
      const length = random.chance(this.#odd) ? random.below(20) : name === "traceId" ? 16 : 8;
      return Buffer.alloc(length, random.chance(this.#odd) ? 0 : 7);
    }
    if (type === "string" && random.chance(this.#odd / 20)) return Buffer.from("ff61", "hex");
    if (random.chance(0.01)) return Buffer.from(random.pick(LONG_TEXTS));
    return Buffer.from(random.pick(name === "key" ? KEYS : TEXTS));
  }

  #number(): bigint {
    const random = this.#random;
    return random.pick([
      0n,
      1n,
      2n,
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
    const value = this.#random.pick([
      0, 0.5, -0, 4_111_111_111_111_111, 1e300, 0.30000000000000004,
    ]);
    bytes.writeDoubleLE(value);
    // A NaN has 51 bits that nobody reads.
    return this.#random.chance(0.2) ? Buffer.from("010203040506f87f", "hex") : bytes;
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
    if (this.#random.chance(this.#odd / 8)) {
      const more = 1 + this.#random.below(10 - bytes.length);
      for (let count = 0; count < more && bytes.length < 10; count += 1) {
        bytes[bytes.length - 1] = (bytes.at(-1) as number) | 0x80;
        bytes.push(0);
      }
      // Bits beyond the 64th.
      if (bytes.length === 10) bytes[9] = 0x7f;
    }
    return Buffer.from(bytes);
  }

  #unknown(): Buffer {
    return Buffer.from(
      this.#random.pick([
        "9a06046c65616b",
        "f8ff0301",
        "12056c65616b6b",
        "8d0601020304",
        "0b",
        "1f",
      ]),
      "hex",
    );
  }
}
