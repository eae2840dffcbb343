// Whatever a text holds: one line is one event, no field is added, and what is read back is what was meant.
import type { DecisionEvent, SealedEvent } from "@countersign/model";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { ecsProblems } from "../testing/ecs-official.ts";
import { harmlessEvent, hostileEvent } from "../testing/hostile-events.ts";
import { parseCef, parseLeef, type ParsedLine } from "../testing/parse-text.ts";
import { changedEvent, KINDS } from "../testing/kinds.ts";
import { otherLeef } from "../testing/leef-other.ts";
import { FORMATS, type FormatName } from "./formats.ts";
import { unformula, visible } from "./text.ts";

const numRuns = process.env["COUNTERSIGN_LONG"] === "1" ? 20_000 : 300;

// Everything that some reader takes for the end of a line, and all other controls; a tab is LEEF's own.
const LINE_ENDS = /[^\P{Cc}\t]|[\u2028\u2029]/u;

function lineOf(name: FormatName, event: SealedEvent): string {
  return Buffer.from(FORMATS[name].line(event) ?? []).toString("utf8");
}

const TEXT = [
  ["cef", parseCef],
  ["leef", parseLeef],
] as const;

const described = (text = ""): string => unformula(visible(text));

/** Of each key, the text that the event has there. */
function meant({
  data,
}: DecisionEvent): Readonly<Record<string, readonly [cef: string, leef: string, string]>> {
  const { human, agent, call, server, policy } = data;
  return {
    subject: ["suid", "usrName", visible(human?.subject ?? "")],
    person: ["suser", "accountName", described(human?.subject)],
    issuer: ["cs6", "realm", visible(human?.issuer ?? "")],
    tokenId: ["countersignTokenId", "tokenId", visible(human?.binding?.jti ?? "")],
    agentId: ["sourceServiceName", "agentId", visible(agent?.id ?? "")],
    agentName: ["sproc", "agentName", described(agent?.claimed?.name)],
    method: ["requestMethod", "method", visible(call.method)],
    name: ["cs1", "name", described(call.name)],
    rule: ["cs4", "policy", visible(policy.rule ?? "")],
    serverId: ["destinationServiceName", "serverId", visible(server.id)],
    serverName: ["countersignServerName", "serverName", described(server.name)],
    tenant: ["countersignTenant", "tenant", visible(data.tenant)],
  };
}

/** What intake would refuse: a member that is an enum, with what another wrote there. */
function forgedEvent(seq: keyof typeof KINDS, member: string, text: string): SealedEvent {
  const sealed = KINDS[seq] as SealedEvent;
  const event = structuredClone(sealed.event);
  Object.assign(event.data, { [member]: text });
  return { ...sealed, event };
}

test.each([
  ["deny", "reason"],
  ["outcome", "status"],
  ["start_observe", "mode"],
  ["lost_records", "what"],
  ["stop", "reason"],
  ["finding_gap", "finding"],
])("an enum of %s that is none (%s) adds nothing to a header", (kind, member) => {
  const forged = "x|y\\|Evil|1|CEF:0|a\nLEEF:2.0|b\t\u2028=\ud800 act=allowed";
  for (const [name, parse] of TEXT) {
    const line = lineOf(name, forgedEvent(kind, member, forged));
    expect(line).not.toMatch(LINE_ENDS);
    const usual = parse(lineOf(name, KINDS[kind] as SealedEvent));
    const parsed = parse(line);
    expect(parsed.header).toHaveLength(usual.header.length);
    expect(parsed.header[4]).toMatch(/^[a-z]+\.x%7Cy%5C%7C[Ee]vil%7C1[!-~]+$/);
    // What is decided by an enum may be lacking; nothing is added.
    expect([...parsed.fields.keys()].filter((key) => !usual.fields.has(key))).toEqual([]);
  }
});

test.each(TEXT)("%s: read back, it is what was meant", (name, parse) => {
  const keys = [...parse(lineOf(name, harmlessEvent())).fields.keys()];
  fc.assert(
    fc.property(hostileEvent, ({ event }) => {
      const line = lineOf(name, event);
      expect(line).not.toMatch(LINE_ENDS);
      const parsed: ParsedLine = parse(line);
      expect([...parsed.fields.keys()]).toEqual(keys);
      expect(parsed.header).toEqual(parse(lineOf(name, harmlessEvent())).header);
      for (const [cef, leef, text] of Object.values(meant(event.event as DecisionEvent))) {
        expect(parsed.fields.get(name === "cef" ? cef : leef)).toBe(text);
      }
    }),
    { numRuns },
  );
});

/** The event without the two characters that the other parser of LEEF stumbles over. */
function plainer(event: SealedEvent): SealedEvent {
  const text = JSON.stringify(event.event).replaceAll(/[|=]/g, "_");
  return { ...event, event: JSON.parse(text) as SealedEvent["event"] };
}

test("leef: a parser that others wrote reads the same", () => {
  fc.assert(
    fc.property(hostileEvent, ({ event }) => {
      const line = lineOf("leef", plainer(event));
      const { headers, fields } = otherLeef(line);
      const parsed = parseLeef(line);
      expect(fields).toEqual(Object.fromEntries(parsed.fields));
      expect([
        headers["vendor"],
        headers["product"],
        headers["version"],
        headers["eventID"],
      ]).toEqual(parsed.header.slice(1, 5));
    }),
    { numRuns },
  );
});

test("leef: every kind is read by a parser that others wrote", () => {
  for (const event of Object.values(KINDS)) {
    const line = lineOf("leef", plainer(event));
    expect(otherLeef(line).fields).toEqual(Object.fromEntries(parseLeef(line).fields));
  }
});

type Document = Record<string, Record<string, Record<string, unknown>>>;

/** The human and the name of the call. */
const SEEN = {
  ecs: (document: Document) => [
    document["user"]?.["id"],
    document["countersign"]?.["call"]?.["name"],
  ],
  ocsf: (document: Document) => [
    document["actor"]?.["user"]?.["uid"],
    document["unmapped"]?.["tool"],
  ],
};

test.each(["ecs", "ocsf"] as const)("%s: read back, it is what was meant", (name) => {
  const shape = shapeOf(JSON.parse(lineOf(name, harmlessEvent())));
  fc.assert(
    fc.property(hostileEvent, ({ event }) => {
      const line = lineOf(name, event);
      expect(line).not.toMatch(LINE_ENDS);
      const document = JSON.parse(line) as Document;
      expect(shapeOf(document)).toEqual(shape);
      const { human, call } = (event.event as DecisionEvent).data;
      expect(SEEN[name](document)).toEqual([human?.subject, unformula(call.name ?? "")]);
      expect(name === "ecs" ? ecsProblems(document, "countersign") : []).toEqual([]);
    }),
    { numRuns },
  );
});

/** Member names and lengths of lists, without values. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shapeOf);
  if (typeof value !== "object" || value === null) return typeof value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, shapeOf(member)]));
}

test("what is sealed comes through as it was sealed", () => {
  fc.assert(
    fc.property(hostileEvent, ({ event, sealed }) => {
      fc.pre(sealed);
      const { subject = "" } = (event.event as DecisionEvent).data.human ?? {};
      fc.pre(!/[\u2028\u2029]|^ | $/.test(subject));
      expect(parseCef(lineOf("cef", event)).fields.get("suid")).toBe(subject);
      expect(parseLeef(lineOf("leef", event)).fields.get("usrName")).toBe(subject);
    }),
    { numRuns },
  );
});

test("visible and unformula never make two texts one", () => {
  const seen = new Map<string, string>();
  fc.assert(
    fc.property(
      fc.string({ maxLength: 4, unit: fc.constantFrom("=", "'", "a", " ", "\n", "\u2028") }),
      (text) => {
        const shown = unformula(visible(text));
        expect(seen.get(shown) ?? text).toBe(text);
        seen.set(shown, text);
        expect(shown).not.toMatch(/^[=+\-@]/);
      },
    ),
    { numRuns: 2000 },
  );
});

/** A decision that is almost as long as an event may be. */
function large(checks: number, idLength: number, token?: string): SealedEvent {
  return changedEvent(2, (event) => {
    event.data["checks"] = Array.from({ length: checks }, (_none, index) => ({
      permission: "read",
      resource: { type: "ticket", id: `${index}-`.padEnd(idLength, "=2E") },
      subject: { type: "user", id: "alice" },
      verdict: "allow",
      engine: "spicedb",
      durationUs: 1,
      ...(token === undefined ? {} : { consistencyToken: token }),
    }));
  });
}

test.each(TEXT)(
  "%s: a line that is too long loses what is optional, and says so",
  (name, parse) => {
    const line = lineOf(name, large(18, 1020, "t".repeat(510)));
    expect(Buffer.byteLength(line)).toBeLessThanOrEqual(32_768);
    const { fields } = parse(line);
    const leftOut = fields.get(name === "cef" ? "countersignLeftOut" : "leftOut")?.split(",");
    expect(leftOut).toContain("message");
    expect(leftOut).toContain("consistencyToken");
    const checks = JSON.parse(
      fields.get(name === "cef" ? "countersignChecks" : "checks") ?? "",
    ) as unknown[];
    expect(checks).toHaveLength(18);
  },
);

test("cef: a line whose identifiers alone are too long is a dead letter", () => {
  // Every `=` takes two bytes in CEF.
  expect(() => FORMATS.cef.line(large(31, 800))).toThrow(/over 32768 bytes/);
});

test.each(["ocsf", "ecs"] as const)("%s: the largest event has a line within the bound", (name) => {
  const line = lineOf(name, large(32, 700));
  expect(Buffer.byteLength(line)).toBeLessThanOrEqual(131_072);
});
