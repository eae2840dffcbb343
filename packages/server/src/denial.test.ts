import { expect, test } from "vitest";
import { denialOf, unrecordedDenial } from "./denial.ts";

const id = "01a2027c-76af-7897-a597-e7460c33283c";

test.each([
  ["deny", `Access denied. Reference: ${id}`, -31403],
  ["error", `Access could not be decided. Reference: ${id}`, -31503],
  ["allow", `Access could not be decided. Reference: ${id}`, -31503],
] as const)("%s: the text of the contract, as a result and as an error", (decision, text, code) => {
  expect(denialOf("tools/call", { id, recorded: true, decision })).toEqual({
    kind: "result",
    result: {
      content: [{ type: "text", text }],
      isError: true,
      _meta: { "dev.countersign/denial": { decisionId: id } },
    },
  });
  expect(denialOf("resources/read", { id, recorded: true, decision })).toEqual({
    kind: "error",
    error: { code, message: text, data: { decisionId: id } },
  });
});

test("without a record there is no id to refer to", () => {
  const message = "Access could not be recorded, so the call was not run.";
  expect(denialOf("tools/call", { id, recorded: false, decision: "error" })).toEqual({
    kind: "result",
    result: { content: [{ type: "text", text: message }], isError: true },
  });
  expect(unrecordedDenial("prompts/get")).toEqual({
    kind: "error",
    error: { code: -31503, message },
  });
});
