import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { generatedFiles } from "../../scripts/validators.ts";
import { loadPolicy } from "./load.ts";
import { PolicyError } from "./report.ts";

const text = readFileSync(join(import.meta.dirname, "testdata", "policy.yaml"), "utf8");
const env = { SPICEDB_TOKEN: "t0ken" };
const NOW = Date.parse("2026-11-22T12:00:00Z");

/** Every problem of a policy, as `line:column path: message`. */
function problems(policy: string, given: NodeJS.ProcessEnv = env): readonly string[] {
  try {
    loadPolicy(policy, "policy.yaml", given, NOW);
    return [];
  } catch (error) {
    if (!(error instanceof PolicyError) || error.code !== "CONFIG_INVALID") throw error;
    return error.problems.map(
      ({ line, column, path, message, fix }) =>
        `${line}:${column} ${path}: ${message}${fix === undefined ? "" : ` | ${fix}`}`,
    );
  }
}

/** The contract's policy with one text replaced. */
function edited(from: string, to: string): string {
  expect(text).toContain(from);
  return text.replace(from, to);
}

describe("the contract's policy", () => {
  test("has the digest that its events name", () => {
    const { policy } = loadPolicy(text, "policy.yaml", env);
    expect(policy.digest).toBe(
      "sha256:c9f7c38e45cb59e55c9ff1a03144739748c3ec49cd421c2a02a31e9591136888",
    );
  });

  test("whatever the environment holds", () => {
    const digests = ["a", "b"].map(
      (token) => loadPolicy(text, "policy.yaml", { SPICEDB_TOKEN: token }).policy.digest,
    );
    expect(new Set(digests).size).toBe(1);
  });

  test("and whatever its layout is", () => {
    const { policy } = loadPolicy(
      text.replaceAll(/ +#.*$/gm, "").replaceAll("\n\n", "\n"),
      "p.yaml",
      env,
    );
    expect(policy.digest).toBe(
      "sha256:c9f7c38e45cb59e55c9ff1a03144739748c3ec49cd421c2a02a31e9591136888",
    );
  });

  test("means what it says", () => {
    const { policy } = loadPolicy(text, "policy.yaml", env);
    expect(policy).toMatchObject({
      server: "urn:mcp:tickets",
      tenant: "acme",
      mode: "enforce",
      durability: "journal",
      lists: "filter",
      pathRoot: "/srv/tickets",
      identity: { minimum: "bearer" },
      authorizer: {
        kind: "spicedb",
        spicedb: {
          endpoint: "localhost:50051",
          token: "t0ken",
          tls: false,
          consistency: "minimize_latency",
          timeoutMs: 500,
        },
      },
    });
    expect(policy.tools.find("move_ticket")?.checks.map(({ permission }) => permission)).toEqual([
      "edit",
      "add_ticket",
    ]);
    expect(policy.tools.find("refund")?.minimum).toBe("call_bound");
    expect(policy.tools.find("other")).toBeUndefined();
    expect(policy.prompts.find("anything")?.name).toBe("prompts.*");
    expect(policy.resources.find("ticket://T-1")?.rule.name).toBe("resources.ticket://{id}");
  });
});

test("the committed validator is the one that the schema gives", () => {
  for (const [name, generated] of Object.entries(generatedFiles())) {
    expect(readFileSync(join(import.meta.dirname, name), "utf8")).toBe(generated);
  }
});

describe("the environment", () => {
  test("a default, and an empty variable counts as unset", () => {
    const policy = edited("${env:SPICEDB_TOKEN}", "${env:NOPE:-fallback}");
    const tokenOf = (given: NodeJS.ProcessEnv): unknown => {
      const { authorizer } = loadPolicy(policy, "p.yaml", given).policy;
      return authorizer.kind === "spicedb" ? authorizer.spicedb.token : undefined;
    };
    expect([tokenOf({}), tokenOf({ NOPE: "" }), tokenOf({ NOPE: "set" })]).toEqual([
      "fallback",
      "fallback",
      "set",
    ]);
  });

  test("an unset variable is a problem at its place, and tells what to do", () => {
    expect(problems(text, {})).toEqual([
      "24:12 authorizer.spicedb.token: needs the environment variable SPICEDB_TOKEN, which is not set | set SPICEDB_TOKEN, or write ${env:SPICEDB_TOKEN:-default}",
    ]);
  });

  test("what looks like a replacement and is none", () => {
    expect(problems(edited("${env:SPICEDB_TOKEN}", '"${SPICEDB_TOKEN}"'))[0]).toContain(
      "authorizer.spicedb.token: has a ${…} that is none",
    );
  });

  test("values of secrets are in no message", () => {
    const found = problems(edited("endpoint: localhost:50051", "endpoint: ${env:SECRET}"), {
      SPICEDB_TOKEN: "s3cr3t-t0ken",
      SECRET: "s3cr3t-host",
    });
    expect(found.join()).toContain("is not host:port");
    expect(found.join()).not.toContain("s3cr3t");
  });
});

describe("problems", () => {
  test.each<readonly [string, string, string]>([
    ["version: 1", "version: 2", "version: must be 1"],
    ["tenant: acme\n", "", '"tenant" is missing'],
    ["mode: enforce", "mode: watch", "mode: must be one of: enforce, observe"],
    ["mode: enforce", "mode: enforce\ntols: {}", 'unknown member "tols"'],
    ["default: deny", "default: allow", 'default: must be "deny"'],
    ["  minimum: bearer", "  minimum: strong", "identity.minimum: must be one of"],
    [
      "algorithms: [ES256, EdDSA]",
      "algorithms: [HS256]",
      "identity.issuers[0].algorithms[0]: must be one of",
    ],
    [
      "algorithms: [ES256, EdDSA]",
      "algorithms: [none]",
      "identity.issuers[0].algorithms[0]: must be one of",
    ],
    ["  # process: { exec: [countersign, credential] }", "  process: {}", '"exec" is missing'],
    [
      "  # process: { exec: [countersign, credential] }",
      "  process: { exec: countersign credential }",
      "identity.process.exec: must be a list | Program and arguments",
    ],
    [
      "  # process: { exec: [countersign, credential] }",
      "  process: { exec: [] }",
      "identity.process.exec: ",
    ],
    [
      "  # process: { exec: [countersign, credential] }",
      `  process: { exec: [${"a, ".repeat(17)}] }`,
      "identity.process.exec: ",
    ],
    [
      "  # process: { exec: [countersign, credential] }",
      '  process: { exec: [""] }',
      "identity.process.exec[0]: ",
    ],
    [
      "  # process: { exec: [countersign, credential] }",
      "  process: { exec: [a], env: {} }",
      'unknown member "env"',
    ],
    [
      "timeout: 500ms",
      "timeout: soon",
      "authorizer.spicedb.timeout: does not have the right form | Write 500ms",
    ],
    ["timeout: 500ms", "timeout: 1h", "authorizer.spicedb.timeout: is not between 10ms and 5s"],
    [
      "permission: read,",
      "permission: READ,",
      "tools.read_ticket.permission: does not have the right form",
    ],
    [
      "https://idp.example\n",
      "http://idp.example\n",
      "identity.issuers[0].issuer: is not an https URL",
    ],
    [
      "user:{human.subject}",
      "user:everybody",
      "identity.subject: does not contain {human.subject}",
    ],
    ["user:{human.subject}", "user:{human.name}", "identity.subject: asks for {human.name}"],
    [
      "user:{human.subject}",
      "{human.issuer}:{human.subject}",
      "identity.subject: has a placeholder in the type",
    ],
    [
      "user:{human.subject}",
      "user:{arguments.user}",
      "identity.subject: asks for {arguments}; known here: human",
    ],
    [
      '"ticket:{arguments.id}" }\n  close_many',
      '"{arguments.type}:x" }\n  close_many',
      "tools.read_ticket.resource: has a placeholder in the type",
    ],
    [
      "endpoint: localhost:50051",
      "endpoint: spicedb.example:50051",
      "authorizer.spicedb.tls: is false, but the endpoint is not on this machine",
    ],
    [
      "endpoint: localhost:50051",
      "endpoint: http://localhost",
      "authorizer.spicedb.endpoint: is not host:port",
    ],
    [
      "endpoint: localhost:50051",
      "endpoint: localhost:99999",
      "authorizer.spicedb.endpoint: is not host:port",
    ],
    [
      "  spicedb:\n",
      "  relationships: []\n  spicedb:\n",
      "authorizer: names more than one authorizer",
    ],
    [
      "  spicedb:\n",
      "  authzen: {}\n  spicedb:\n",
      "authorizer.authzen: is not allowed here | This version has no AuthZEN checker",
    ],
    [
      "minimum: call_bound  ",
      "minimum: asserted  ",
      "tools.refund.minimum: asserted is laxer than identity.minimum, which is bearer",
    ],
    [
      "paths: { root: /srv/tickets }",
      "paths: { root: srv }",
      "paths.root: is not an absolute path",
    ],
    [
      "paths: { root: /srv/tickets }",
      "",
      "tools.write_file.resource: uses |path, but the policy has no paths.root",
    ],
    ["lists: filter", "lists: hide", "lists: must be one of: filter, open"],
    [
      '  "ticket://{id}":',
      '  "ticket://{x}-{y}": { permission: read, resource: "ticket:{x}" }\n  "ticket://{id}":',
      "has two variables in one path segment",
    ],
    [
      '  "ticket://{id}":',
      '  "ticket://{x}": { permission: read, resource: "ticket:{x}" }\n  "ticket://{id}":',
      'resources["ticket://{id}"]: ties with ticket://{x}',
    ],
    ['"ticket:{id}" }', '"ticket:{arguments.id}" }', "asks for {arguments}; known here: uri, id"],
    [
      '{ amount: "{arguments.amount|number}" }',
      '{ amount: "{arguments.amount|raw}" }',
      "tools.refund.context.amount: has an unknown filter |raw",
    ],
    ["mode: enforce ", "mode: observe ", "mode: observe runs every call, so it needs an end"],
    ["mode: enforce ", "mode: observe\nuntil: 2026-11-21 ", "until: is past"],
    ["mode: enforce ", "mode: observe\nuntil: 2027-02-22 ", "until: is more than 90 days ahead"],
    ["mode: enforce ", "mode: observe\nuntil: 2026-02-30 ", "until: is no date of the calendar"],
    ["mode: enforce ", "mode: observe\nuntil: tomorrow ", "until: does not have the right form"],
    ["mode: enforce ", "mode: enforce\nuntil: 2026-12-31 ", "until: belongs to mode: observe"],
    ["mode: enforce ", "mode: enforce\nheartbeat: 10ms ", "heartbeat: is not between 1s and 1h"],
  ])("%j as %j", (from, to, expected) => {
    expect(problems(edited(from, to)).join("\n")).toContain(expected);
  });

  test.each(["2026-11-22", "2026-12-31", "2027-02-20"])("observe until %s is fine", (day) => {
    expect(problems(edited("mode: enforce ", `mode: observe\nuntil: ${day} `))).toEqual([]);
  });

  test.each(["os_user", "asserted", "none"])(
    "minimum: %s beside an issuer needs {human.issuer} in the subject: a uid is no subject of the issuer",
    (minimum) => {
      const believing = edited("minimum: bearer ", `minimum: ${minimum} `);
      expect(problems(believing).join()).toContain(
        `identity.subject: does not contain {human.issuer}, but minimum: ${minimum} believes accounts`,
      );
      const named = believing.replace(
        "user:{human.subject}",
        "user:{human.issuer}/{human.subject}",
      );
      expect(problems(named)).toEqual([]);
    },
  );

  test.each(["os_user", "asserted", "none"])("minimum: %s alone does not", (minimum) => {
    const alone = `version: 1
server: urn:mcp:tickets
tenant: acme
mode: enforce
identity: { minimum: ${minimum}, subject: "user:{human.subject}" }
authorizer: { relationships: [] }
default: deny
`;
    expect(problems(alone)).toEqual([]);
  });

  test("several issuers need {human.issuer} in the subject, and each issuer once", () => {
    const second =
      "  issuers:\n    - { issuer: https://other.example, audience: x, algorithms: [ES256] }\n";
    expect(problems(edited("  issuers:\n", second)).join()).toContain(
      "does not contain {human.issuer}",
    );
    const both = edited("  issuers:\n", second).replace(
      "user:{human.subject}",
      "user:{human.issuer}/{human.subject}",
    );
    expect(problems(both)).toEqual([]);
    expect(problems(both.replace("https://other.example", "https://idp.example")).join()).toContain(
      "is listed twice",
    );
  });

  test("relationships are exact tuples, and evaluate no conditions", () => {
    expect(problems(withRelationship("ticket:1#read@user:ada"))).toEqual([]);
    expect(problems(withRelationship("ticket:1#read@user:a@b")).join()).toContain(
      "is not type:id#permission@type:id",
    );
    expect(problems(withRelationship("ticket:1#read@user:*")).join()).toContain(
      "authorizer.relationships[0]: is not",
    );
    expect(
      problems(withRelationship("ticket:1#read@user:ada", ", context: { a: 1 }")).join(),
    ).toContain("evaluates no caveats");
  });

  test("all at once, each at its place, in the order of the file", () => {
    const policy = text
      .replace("tenant: acme", "tenant: 7")
      .replace("lists: filter", "lists: none")
      .replace("timeout: 500ms", "timeout: 1h")
      .replace("{arguments.path|path}", "{arguments.path|paths}");
    const found = problems(policy);
    expect(found.map((problem) => problem.split(" ")[1])).toEqual([
      "tenant:",
      "authorizer.spicedb.timeout:",
      "tools.write_file.resource:",
      "lists:",
    ]);
    expect(found.map(placeOf(policy))).toEqual(["7", "1h", expect.any(String), "none"]);
  });

  test.each([
    ["", "must be a map"],
    ["[]", "must be a map"],
    ["7", "must be a map"],
    ["version: 1\nversion: 1\n", "the same key occurs twice"],
    ["version: {\n", "or a bracket is open"],
    ["a: &x 1\nb: *x\n", "aliases are not supported"],
    [
      "tools: 7\nresources: []\nprompts: { a: 1 }\nidentity: []\nauthorizer: x\n",
      "tools: must be a map",
    ],
  ])("no policy at all: %j", (policy, expected) => {
    expect(problems(policy).join("\n")).toContain(expected);
  });

  test("a value that JSON cannot hold", () => {
    expect(problems(edited("version: 1", "version: .nan")).join()).toContain("cannot hold");
  });
});

function withRelationship(tuple: string, more = ""): string {
  return `version: 1
server: s
tenant: t
mode: enforce
identity: { minimum: asserted, subject: "user:{human.subject}" }
authorizer: { relationships: ["${tuple}"] }
tools: { a: { permission: read, resource: "ticket:1"${more} } }
default: deny
`;
}

/** What stands in the text where a problem points. */
function placeOf(policy: string): (problem: string) => string | undefined {
  return (problem) => {
    const [line, column] = problem.split(/[: ]/).map(Number) as [number, number];
    return /^\S+/.exec(policy.split("\n")[line - 1]?.slice(column - 1) ?? "")?.[0];
  };
}
