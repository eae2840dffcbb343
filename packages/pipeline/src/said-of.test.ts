import { CountersignError, silentLogger } from "@countersign/model";
import { expect, test } from "vitest";
import { createRetry } from "./retry.ts";
import { saidOf } from "./said-of.ts";

const CARD = "4539578763621486";

function thrown(): unknown {
  try {
    return JSON.parse(`x${CARD}`);
  } catch (error) {
    return error;
  }
}

test("a failure of others is told by name, code and place; its message may quote what went through", () => {
  expect(String(thrown())).toContain(CARD.slice(-4));
  expect(saidOf(thrown())).toMatch(/^SyntaxError at said-of\.test\.ts:\d+$/);
  const system = Object.assign(new Error(`connect ${CARD}`), { code: "ECONNREFUSED" });
  expect(saidOf(system)).toMatch(/^Error ECONNREFUSED at said-of\.test\.ts:\d+$/);
  expect(
    saidOf(Object.assign(new Error("x"), { code: CARD.repeat(5), name: `${CARD} ` })),
  ).not.toContain(CARD);
  expect(saidOf(`text ${CARD}`)).toBe("not an error");
  expect(saidOf(new CountersignError("UNAVAILABLE", "siem: away"))).toBe("siem: away");
});

test("a retry says no more than that", async () => {
  const said: string[] = [];
  const note = (message: string, fields?: object): void =>
    void said.push(`${message} ${JSON.stringify(fields)}`);
  const retry = createRetry<string>(
    { consume: () => (said.length > 1 ? Promise.resolve() : Promise.reject(thrown())) },
    { id: "sink", initialMs: 1, maxMs: 1, log: { ...silentLogger, warn: note } },
  );
  await retry.consume("batch", new AbortController().signal);
  expect(said.join()).toContain("SyntaxError at");
  expect(said.join()).not.toContain(CARD.slice(-4));
});
