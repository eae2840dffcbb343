import type { LoginSummary } from "@countersign/identity/login";
import { expect, test } from "vitest";
import { summaryLines } from "./login-lines.ts";

const SUMMARY: LoginSummary = {
  issuer: "https://idp.example",
  subject: "alice",
  clientId: "cli",
  assurance: { process: "token_bound", agent: "call_bound" },
  binding: "id_token_cnf",
  audiences: [],
  renewable: false,
  ended: false,
  loggedInAt: "2026-01-01T00:00:00.000Z",
  key: { place: "file", thumbprint: "x" },
  personalClaims: [],
};

function assurance(summary: LoginSummary): string | undefined {
  return summaryLines(summary).find((line) => line.startsWith("assurance"));
}

test("signed calls are promised where they are possible, and nowhere else", () => {
  expect(assurance(SUMMARY)).toMatch(/token_bound; call_bound through an instrumented agent$/);
  const weaker = { ...SUMMARY, assurance: { process: "token_bound" as const } };
  expect(assurance(weaker)).toMatch(/token_bound; agents cannot sign calls with it$/);
});
