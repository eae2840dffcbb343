import * as fc from "fast-check";
import { expect, test } from "vitest";
import { createAllowedKeys, KEY_RULE } from "./allowed-keys.ts";

const short = fc.stringMatching(/^[ab]{1,7}$/);

/** As it stands in a message. */
function find(keys: ReturnType<typeof createAllowedKeys>, key: string): number {
  const bytes = Buffer.from(`ab${key}ab`);
  return keys.find(bytes, 2, bytes.length - 2);
}

test("a key has the rule it was given, and no other key has one", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(short, { maxLength: 60 }),
      fc.uniqueArray(short, { maxLength: 20 }),
      fc.array(short, { maxLength: 60 }),
      (pass, pseudonymise, others) => {
        const keys = createAllowedKeys({ pass, pseudonymise });
        for (const key of [...pass, ...pseudonymise, ...others, ""]) {
          const expected = pseudonymise.includes(key)
            ? KEY_RULE.pseudonymise
            : pass.includes(key)
              ? KEY_RULE.pass
              : KEY_RULE.unknown;
          expect(find(keys, key)).toBe(expected);
        }
      },
    ),
  );
});

test("what was learnt passes until another key takes its place, and nothing else passes", () => {
  const wrong: string[] = [];
  fc.assert(
    fc.property(fc.array(short, { maxLength: 40 }), fc.array(short), (learnt, others) => {
      const keys = createAllowedKeys({ pass: ["service.name"], pseudonymise: [] });
      for (const key of learnt) keys.learn(Buffer.from(`x${key}`), 1, key.length + 1);
      const strangers = others.filter((key) => !learnt.includes(key));
      wrong.push(...strangers.filter((key) => find(keys, key) !== KEY_RULE.unknown));
      wrong.push(...learnt.slice(-1).filter((key) => find(keys, key) !== KEY_RULE.pass));
    }),
  );
  expect(wrong).toEqual([]);
});
