import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { decodeBundle, encodeBundle, encodeHashTile, leafHash } from "./bundle.ts";
import { createEpochBook } from "./epoch-book.ts";
import { entriesPath, hashTilePath, tileIndexPath } from "./tile-path.ts";

test("tile paths follow the tlog-tiles rule", () => {
  expect([0, 7, 999, 1000, 1_234_067, 1_000_000_000].map(tileIndexPath)).toEqual([
    "000",
    "007",
    "999",
    "x001/000",
    "x001/x234/067",
    "x001/x000/x000/000",
  ]);
  expect([entriesPath(273), hashTilePath(0)]).toEqual(["tile/entries/273", "tile/0/000"]);
  for (const bad of [-1, 0.5, Number.NaN, 2 ** 60])
    expect(() => tileIndexPath(bad)).toThrow(RangeError);
});

test("a leaf hash has the RFC 6962 prefix", () => {
  const entry = Buffer.from("entry");
  const plain = createHash("sha256").update("\0entry").digest("hex");
  expect(leafHash(entry).toString("hex")).toBe(plain);
  // RFC 6962 test vector: the leaf hash of nothing.
  expect(leafHash(Buffer.alloc(0)).toString("hex")).toBe(
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
  );
});

const bytes = fc.uint8Array({ minLength: 1, maxLength: 300 });

test("a bundle gives back what went in, and any changed, missing or extra byte is noticed", () => {
  fc.assert(
    fc.property(
      fc.array(bytes, { minLength: 256, maxLength: 256 }),
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      (entries, where, change) => {
        const bundle = encodeBundle(entries);
        const tile = encodeHashTile(entries);
        expect(decodeBundle(bundle, tile)?.map((entry) => Buffer.from(entry))).toEqual(
          entries.map((entry) => Buffer.from(entry)),
        );
        const changed = Buffer.from(bundle);
        const at = where % changed.length;
        changed[at] = (changed[at] ?? 0) ^ change;
        expect(decodeBundle(changed, tile)).toBeUndefined();
        expect(decodeBundle(bundle.subarray(0, at), tile)).toBeUndefined();
        expect(decodeBundle(Buffer.concat([bundle, Buffer.of(0, 0)]), tile)).toBeUndefined();
        expect(decodeBundle(bundle, tile.subarray(32))).toBeUndefined();
      },
    ),
    { numRuns: 30 },
  );
});

test("the epoch book never rules out what is there, and stays small", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(500), { minLength: 1, maxLength: 600 }), (seqs) => {
      const book = createEpochBook();
      const places = new Map<number, number>();
      for (const [position, seq] of seqs.entries()) {
        if (places.has(seq)) continue;
        places.set(seq, position);
        book.add({ epoch: "e", seq, hash: "" }, position);
      }
      const saved = JSON.parse(JSON.stringify(book)) as Record<string, number[]>;
      expect(saved["e"]?.length).toBeLessThanOrEqual(64 * 4);
      for (const kept of [book, createEpochBook(saved)]) {
        for (const [seq, position] of places) {
          const found = kept.candidates({ epoch: "e", seq, hash: "" });
          expect(found.some(({ from, to }) => from <= position && position <= to)).toBe(true);
        }
        expect(kept.candidates({ epoch: "e", seq: 501, hash: "" })).toEqual([]);
        expect(kept.candidates({ epoch: "other", seq: 0, hash: "" })).toEqual([]);
      }
    }),
  );
});
