// CEF lines read by a parser that others wrote: liblognorm, with which rsyslog takes messages apart.
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DecisionEvent, SealedEvent } from "@countersign/model";
import { afterAll, describe, expect, test } from "vitest";
import { cefFormat } from "../../packages/processor/src/formats/cef.ts";
import { unformula, visible } from "../../packages/processor/src/formats/text.ts";
import { hostileEvents } from "../../packages/processor/src/testing/hostile-events.ts";
import { KINDS } from "../../packages/processor/src/testing/kinds.ts";
import { parseCef } from "../../packages/processor/src/testing/parse-text.ts";
import { findService } from "./find.ts";

const found = findService("lognormalizer");
const program = found?.kind === "binary" ? found.path : undefined;
const count = process.env["COUNTERSIGN_LONG"] === "1" ? 10_000 : 2000;
const directory = mkdtempSync(join(tmpdir(), "lognormalizer-"));
const rules = join(directory, "cef.rulebase");
writeFileSync(rules, "version=2\nrule=:%f:cef%\n");
afterAll(() => rmSync(directory, { recursive: true }));

interface Read {
  readonly f?: Readonly<Record<string, string>> & {
    readonly Extensions: Readonly<Record<string, string>>;
  };
}

/** Version 2.0.6 swallows the first letter of the first key, unless a space stands before it. */
function forIt(line: string): string {
  return line.replace("|rt=", "| rt=");
}

function read(lines: readonly string[]): Promise<Read[]> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      program as string,
      ["-r", rules],
      { maxBuffer: 1 << 30 },
      (error, stdout) => {
        if (error === null)
          resolve(
            stdout
              .trimEnd()
              .split("\n")
              .map((one) => JSON.parse(one) as Read),
          );
        else reject(error);
      },
    );
    child.stdin?.end(`${lines.map(forIt).join("\n")}\n`);
  });
}

function lineOf(event: SealedEvent): string {
  return Buffer.from(cefFormat.line(event) ?? []).toString("utf8");
}

describe.skipIf(program === undefined)("liblognorm reads", () => {
  test("every kind of event, field by field", async () => {
    const lines = Object.values(KINDS).map(lineOf);
    const reads = await read(lines);
    expect(reads).toHaveLength(lines.length);
    for (const [index, { f }] of reads.entries()) {
      const { header, fields } = parseCef(lines[index] as string);
      expect(f?.Extensions).toEqual(Object.fromEntries(fields));
      expect([f?.["DeviceVendor"], f?.["SignatureID"], f?.["Name"], f?.["Severity"]]).toEqual([
        header[1],
        header[4],
        header[5],
        header[6],
      ]);
    }
  });

  test("hostile events: one line, one event, and what was meant", async () => {
    const events = hostileEvents(count, 7);
    const reads = await read(events.map(lineOf));
    expect(reads).toHaveLength(events.length);
    const keys = Object.keys(reads[0]?.f?.Extensions ?? {});
    for (const [index, { f }] of reads.entries()) {
      expect(Object.keys(f?.Extensions ?? {})).toEqual(keys);
      const { data } = (events[index] as SealedEvent).event as DecisionEvent;
      expect(f?.Extensions["suid"]).toBe(visible(data.human?.subject ?? ""));
      expect(f?.Extensions["cs1"]).toBe(unformula(visible(data.call.name ?? "")));
      expect(f?.Extensions["act"]).toBe("blocked");
    }
  });
});
