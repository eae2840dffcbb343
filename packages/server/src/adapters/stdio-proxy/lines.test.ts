import * as fc from "fast-check";
import { expect, test } from "vitest";
import { createLineReader } from "./lines.ts";
import type { Skimmed } from "./skim.ts";

function cut(
  chunks: readonly Buffer[],
  maxBytes = 1_000,
): { lines: string[]; oversized: Skimmed[] } {
  const lines: string[] = [];
  const oversized: Skimmed[] = [];
  const reader = createLineReader(maxBytes, {
    line: (bytes) => lines.push(bytes.toString("utf8")),
    oversized: (skimmed) => oversized.push(skimmed),
  });
  for (const chunk of chunks) reader.push(chunk);
  reader.end();
  return { lines, oversized };
}

test("lines do not depend on how the bytes arrive, also in the middle of a character", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.string({ unit: "binary" }).map((text) => text.replaceAll("\n", "").toWellFormed()),
      ),
      fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1 }),
      (texts, sizes) => {
        const bytes = Buffer.from(texts.map((text) => `${text}\n`).join(""));
        const chunks: Buffer[] = [];
        for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
          const size = sizes[turn % sizes.length] as number;
          chunks.push(bytes.subarray(at, at + size));
          at += size;
        }
        expect(cut(chunks).lines).toEqual(texts.map((text) => `${text}\n`));
      },
    ),
  );
});

test("the end of the stream ends a line; CRLF stays with its line", () => {
  expect(cut([Buffer.from("a\r\nb"), Buffer.from("c")]).lines).toEqual(["a\r\n", "bc"]);
});

test("a line over the limit is told apart and the next one is whole", () => {
  const long = `{"method":"tools/call","params":{"a":"${"x".repeat(200)}"},"jsonrpc":"2.0","id":7}\n`;
  for (const size of [1, 10, 64, 1_000]) {
    const bytes = Buffer.from(`${long}{"id":8}\n`);
    const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
      bytes.subarray(index * size, (index + 1) * size),
    );
    expect(cut(chunks, 100)).toEqual({
      lines: ['{"id":8}\n'],
      oversized: [{ id: 7, method: "tools/call" }],
    });
  }
});

test("exactly at the limit passes, one byte more does not", () => {
  expect(cut([Buffer.from(`${"x".repeat(99)}\n`)], 100).oversized).toEqual([]);
  expect(cut([Buffer.from(`${"x".repeat(100)}\n`)], 100)).toEqual({ lines: [], oversized: [{}] });
});

test("an endless line without a newline is told at the end of the stream", () => {
  const chunk = Buffer.alloc(1_000, 0x78);
  expect(
    cut([Buffer.from('{"id":"a","x":"'), ...Array.from({ length: 50 }, () => chunk)], 100)
      .oversized,
  ).toEqual([{ id: "a" }]);
});
