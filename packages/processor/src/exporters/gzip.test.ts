import { gunzipSync } from "node:zlib";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { compress } from "./gzip.ts";

/** Small, large, and too large for a room that is used again; what compresses well, and what does not at all. */
const part = fc
  .tuple(fc.oneof(fc.nat(40), fc.nat(9000), fc.nat(700_000)), fc.nat(255), fc.boolean())
  .map(([length, seed, plain]) =>
    Buffer.alloc(length).map((_, at) => (plain ? seed : (at * at * 31 + seed * at) >> 5)),
  );

test("bodies that are compressed at the same time stay apart, whatever their parts", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(part, { maxLength: 4 }), { minLength: 1, maxLength: 12 }),
      async (bodies) => {
        const compressed = await Promise.all(bodies.map((parts) => compress(parts)));
        for (const [at, body] of compressed.entries())
          expect(gunzipSync(body).equals(Buffer.concat(bodies[at] ?? []))).toBe(true);
      },
    ),
    { numRuns: 15 },
  );
});
