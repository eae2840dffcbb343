import { type SealedEvent, unseal } from "@countersign/model";
import * as fc from "fast-check";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { strictMessages } from "../../testing/syslog-receiver.ts";
import { octetCounted, syslogMessage } from "./message.ts";

const OPTIONS = {
  facility: 13,
  hostname: "-",
  appName: "countersign",
  enterpriseNumber: 32_473,
  bom: false,
};

const chain = join(import.meta.dirname, "../../../../model/src/testdata/chain.jsonl");
const events: readonly SealedEvent[] = readFileSync(chain, "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => unseal(Buffer.from(line, "utf8")));
const decisionOf = (decision: string): SealedEvent =>
  events.find(
    ({ event }) => (event.data as { decision?: string }).decision === decision,
  ) as SealedEvent;
const text = (event: SealedEvent, more: object = {}): string =>
  Buffer.from(syslogMessage(event, Buffer.from("{}"), { ...OPTIONS, ...more })).toString();

test("a decision as a message, to the letter", () => {
  const { event, hash } = decisionOf("deny");
  const { chain: place } = event.data as { chain: { emitter: string; epoch: string; seq: number } };
  expect(text(decisionOf("deny"))).toBe(
    `<109>1 ${event.time} - countersign ${place.emitter} decision ` +
      `[countersign@32473 id="${event.id}" hash="${hash}" emitter="${place.emitter}" epoch="${place.epoch}" seq="${place.seq}"] {}`,
  );
  expect(
    text(decisionOf("deny"), { bom: true, hostname: "h", appName: "a", facility: 20 }),
  ).toMatch(/^<165>1 \S+ h a \S+ decision \[.*\] \u{FEFF}\{\}$/u);
});

function variant(sealed: SealedEvent, type: string, data: object): SealedEvent {
  const event = { ...sealed.event, type, data: { ...sealed.event.data, ...data } };
  return { ...sealed, event: event as SealedEvent["event"] };
}

test.each([
  ["decision", { decision: "allow", effect: "run" }, 6],
  ["decision", { decision: "deny", effect: "block" }, 5],
  ["decision", { decision: "deny", effect: "run" }, 4],
  ["decision", { decision: "error", effect: "block" }, 3],
  ["outcome", {}, 6],
  ["finding", {}, 4],
  ["withheld", {}, 4],
  ["lost", {}, 4],
  ["heartbeat", {}, 6],
] as const)("severity of %s %o is %i", (kind, data, severity) => {
  const event = variant(decisionOf("deny"), `dev.countersign.${kind}.v1`, data);
  expect(text(event)).toMatch(
    new RegExp(`^<${104 + severity}>1 \\S+ - countersign \\S+ ${kind} \\[`),
  );
});

test("a kind that is not known here, a time that is none, an event without a chain", () => {
  const odd = variant(decisionOf("deny"), "dev.countersign.novel.v2", { chain: undefined });
  const event = { ...odd, event: { ...odd.event, time: "never ] \n" } };
  expect(text(event)).toMatch(
    /^<110>1 - - countersign - - \[countersign@32473 id="\S+" hash="\S+"\] \{\}$/,
  );
  const year = { ...event, event: { ...event.event, time: "2038-01-19T03:14:08.000Z" } };
  expect(text(year)).toMatch(/^<110>1 2038-01-19T03:14:08\.000Z /);
});

const PIECES = [
  '"',
  "\\",
  "]",
  "[",
  "=",
  "<13>1 ",
  " ",
  "\n",
  "\r",
  "\t",
  "\0",
  "\u0085",
  "\uD800",
  "\u{1F600}",
  "\u{202E}",
];

test("whatever an event says of itself, it is one message, and what is read is what was written", () => {
  const hostile = fc.oneof(
    fc.array(fc.constantFrom(...PIECES), { maxLength: 20 }).map((pieces) => pieces.join("")),
    fc.string({ unit: "grapheme", maxLength: 300 }),
    fc.constantFrom(
      '"] <13>1 - - x - - - forged',
      '\\"]',
      "12 <13>1 - - x - - - ",
      "\u{FEFF}",
      "][",
    ),
  );
  fc.assert(
    fc.property(
      hostile,
      hostile,
      hostile,
      fc.uint8Array({ maxLength: 40 }),
      (id, emitter, time, line) => {
        const base = variant(decisionOf("allow"), "dev.countersign.decision.v1", {
          chain: { emitter, epoch: id, seq: 3, prev: "" },
        });
        const event = { ...base, event: { ...base.event, id, time } };
        const payload = Buffer.from(Buffer.from(line).toString("utf8"));
        const frame = octetCounted(syslogMessage(event, payload, OPTIONS));
        const { messages, violations, rest } = strictMessages(Buffer.concat([frame, frame]));
        expect(violations).toEqual([]);
        expect(rest).toBe(0);
        expect(messages).toHaveLength(2);
        const [message] = messages;
        const shown = id
          .slice(0, 256)
          .toWellFormed()
          .replaceAll(/\p{Cc}/gu, "\u{FFFD}");
        expect(message?.parameters["id"]).toBe(shown);
        expect(message?.parameters["seq"]).toBe("3");
        expect(message?.payload).toBe(payload.toString());
      },
    ),
    { numRuns: 200 },
  );
});
