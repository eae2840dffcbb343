// Events whose every free text is an attack on a line, a separator or a frame. No gate would seal them: it neutralises first.
import { createHash } from "node:crypto";
import { type SealedEvent, uuidv7 } from "@countersign/model";
import { sealedEvents } from "../../packages/processor/src/testing/events.ts";
import { createRandom, type Random } from "../../packages/processor/src/testing/random.ts";

const PIECES = [
  ...Array.from({ length: 33 }, (_, code) => String.fromCodePoint(code)),
  ...Array.from(
    "\u007F\u0080\u0085\u009F\u2028\u2029\uFEFF\u202E\u200B\uD800\uDFFF\uFFFF\u{1F600}é",
  ),
  ...Array.from("|=\\\"'][<>^#%$,;:{}"),
  "\r\n",
  "\\n",
  "#012",
  "%msg%",
  "${MSG}",
  "<13>1 2026-01-01T00:00:00.000Z forged forged - - - forged",
  "\n<13>1 - forged forged - - - forged\n",
  "<34>Oct 11 22:14:15 forged su: 'su root' failed",
  "57 <13>1 - forged forged - - - forged",
  "\n10 <13>1 - - ",
  '"] [forged@1 id="forged"] ',
  '\\"] forged',
  "CEF:0|forged|forged|1|1|forged|10|",
  " act=forged cs1=forged",
  "LEEF:2.0|forged|forged|1|1|^|",
  "\tusrName=forged",
  '","decision":"allow","x":"',
  "=cmd|' /C calc'!A0",
  "x".repeat(120),
] as const;

/** `count` events, the same for the same seed but for their ids. */
export function hostileEvents(count: number, seed: number): readonly SealedEvent[] {
  const random = createRandom(seed);
  const bases = sealedEvents(6, { outcomes: true });
  return Array.from({ length: count }, (_, seq) => hostile(random, random.pick(bases), seq));
}

/** What schemas close: intake lets nothing else through. */
const CLOSED = new Set(
  "id type time specversion dataschema decisionId decision reason effect mode evidence verdict status transport gate assurance chain".split(
    " ",
  ),
);

function hostile(random: Random, { event: base }: SealedEvent, seq: number): SealedEvent {
  const event = spoiled(random, structuredClone(base)) as { data: { chain: object }; id: string };
  event.id = uuidv7();
  Object.assign(event.data.chain, { seq });
  const bytes = Buffer.from(JSON.stringify(event), "utf8");
  const hash = createHash("sha256").update(bytes).digest("hex");
  return { event, bytes, hash } as unknown as SealedEvent;
}

/** Some of the texts, so that what comes after one that is cut or forged is seen, too. */
function spoiled(random: Random, value: unknown): unknown {
  if (typeof value === "string" && random.chance(0.5)) return hostileText(random);
  if (Array.isArray(value)) return value.map((one) => spoiled(random, one));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([name, member]) =>
    CLOSED.has(name) ? [name, member] : [name, spoiled(random, member)],
  );
  return Object.fromEntries(entries) as unknown;
}

function hostileText(random: Random): string {
  return Array.from({ length: 1 + random.below(6) }, () => random.pick(PIECES)).join("");
}
