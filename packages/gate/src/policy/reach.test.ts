import { describe, expect, test } from "vitest";
import { loadPolicy } from "./load.ts";
import { PolicyError } from "./report.ts";

const identity = (members: string): string => `version: 1
server: urn:mcp:tickets
tenant: acme
mode: enforce
identity:
  subject: "user:{human.subject}"
${members}
authorizer: { relationships: [] }
tools:
  read: { permission: read, resource: "ticket:{arguments.id}" }
  refund: { permission: read, resource: "ticket:{arguments.id}", minimum: call_bound }
default: deny
`;
const issuer = (members: string): string =>
  `  issuers: [{ issuer: "https://idp.example", algorithms: [ES256]${members} }]`;

function problems(text: string): string[] {
  try {
    loadPolicy(text, "p.yaml", {});
    return [];
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    return error.problems.map(
      ({ line, column, path, message, fix }) => `${line}:${column} ${path}: ${message} | ${fix}`,
    );
  }
}

describe("who can be known", () => {
  const fix =
    "add clients (for logins) or audience (for bearer tokens) to an issuer of identity.issuers";
  const atRefund = `11:75 tools.refund.minimum: call_bound can be reached by nobody: no token of any issuer is accepted here | ${fix}`;

  test.each(["bearer", "token_bound", "call_bound"])(
    "a minimum of %s without an issuer whose tokens are accepted is found out when the policy is read",
    (minimum) => {
      const problem = `identity.minimum: ${minimum} can be reached by nobody: no token of any issuer is accepted here | ${fix}`;
      expect(problems(identity(`  minimum: ${minimum}`))[0]).toBe(`7:12 ${problem}`);
      const unused = problems(identity(`  minimum: ${minimum}\n${issuer("")}`));
      expect(unused[0]).toBe(`7:12 ${problem}`);
      expect(problems(identity(`  minimum: ${minimum}\n  issuers: []`))[0]).toBe(`7:12 ${problem}`);
    },
  );

  test("so is that of one entry", () => {
    for (const minimum of ["os_user", "asserted", "none"]) {
      expect(problems(identity(`  minimum: ${minimum}`))).toEqual([atRefund]);
    }
  });

  test.each(["clients: [agent]", "audience: https://tickets.example/mcp"])(
    "%s is enough",
    (one) => {
      const policy = identity(`  minimum: call_bound\n${issuer(`, ${one}`)}`);
      expect(problems(policy)).toEqual([]);
    },
  );

  test("a helper needs an issuer whose logins are accepted", () => {
    const helper = "  minimum: os_user\n  process: { exec: [countersign, credential] }";
    expect(problems(identity(helper))).toContain(
      `8:12 identity.process: gives the login of an issuer, but no token of any issuer is accepted here | ${fix}`,
    );
    const full = identity(`${helper}\n${issuer(", clients: [agent]")}`).replace(
      "{human.subject}",
      "{human.issuer}/{human.subject}",
    );
    expect(loadPolicy(full, "p.yaml", {}).policy.identity.process).toEqual({
      exec: ["countersign", "credential"],
    });
  });
});
