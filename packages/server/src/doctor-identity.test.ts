import { loadPolicy } from "@countersign/gate";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type TestHelper, testHelper } from "../../identity/src/testing/credential-helper.ts";
import {
  CLIENT,
  SERVER,
  type TestLogin,
  testLogin,
  testPair,
  URL_AUDIENCE,
} from "../../identity/src/testing/login.ts";
import { examineIdentity } from "./doctor-identity.ts";
import type { Finding } from "./doctor-finding.ts";

let login: TestLogin;
let helper: TestHelper;

beforeEach(async () => {
  login = await testLogin();
  helper = testHelper();
});

afterEach(async () => {
  helper.remove();
  await login.close();
});

interface Given {
  readonly minimum: string;
  /** Members of the issuer; absent: there is none. */
  readonly issuer?: string;
  readonly exec?: true;
  readonly env?: NodeJS.ProcessEnv;
}

async function examined({ minimum, issuer, exec, env = {} }: Given): Promise<Finding[]> {
  const issuers = `  issuers: [{ issuer: "${login.idp.issuer}", algorithms: [ES256], ${issuer} }]`;
  const text = `version: 1
server: ${SERVER}
tenant: acme
mode: enforce
identity:
  minimum: ${minimum}
  subject: "user:{human.issuer}/{human.subject}"
${issuer === undefined ? "" : issuers}
${exec === undefined ? "" : `  process: { exec: ${JSON.stringify(helper.command)} }`}
authorizer: { relationships: [] }
tools:
  read_ticket: { permission: read, resource: "ticket:{arguments.id}" }
  ${issuer === undefined ? "" : 'refund: { permission: read, resource: "ticket:{arguments.id}", minimum: call_bound }'}
default: deny
`;
  const { policy } = loadPolicy(text, "policy.yaml", {});
  const path = process.env["PATH"];
  return examineIdentity(policy, { env: { PATH: path, ...env }, timeoutMs: 3000 });
}

const LOGIN = `clients: [${CLIENT}]`;
const command = (): string =>
  `countersign login --issuer ${login.idp.issuer} --client-id ${CLIENT}`;

describe("a helper", () => {
  test("with a login: what it is worth, by whom, and how long; no token", async () => {
    const credential = await login.credential("id_token_cnf");
    helper.gives(credential);
    const findings = await examined({ minimum: "token_bound", issuer: LOGIN, exec: true });
    const until = new Date(credential.expiresAtMs).toISOString();
    expect(findings).toEqual([
      {
        id: "identity",
        level: "ok",
        message: `on stdio, calls are known as token_bound by ${login.idp.issuer} until ${until}; the policy asks for token_bound`,
      },
      {
        id: "identity",
        level: "warn",
        message: "what a call has of itself on stdio is not enough for tools.refund (call_bound)",
        fix: expect.stringContaining("sign its calls") as string,
      },
      {
        id: "identity",
        level: "ok",
        message: `a call may bring a proof by a login at ${login.idp.issuer} (call_bound)`,
      },
    ]);
    const said = JSON.stringify(findings);
    for (const part of credential.token.split(".")) expect(said).not.toContain(part);
    expect(said).not.toContain(credential.key.d);
    expect(helper.asked()).toHaveLength(1);
  });

  test("with a login, where the policy asks for signed calls: another login would change nothing", async () => {
    helper.gives(await login.credential("id_token_cnf"));
    const [first] = await examined({ minimum: "call_bound", issuer: LOGIN, exec: true });
    expect(first).toMatchObject({
      level: "warn",
      message: expect.stringMatching(/known as token_bound.*weaker than call_bound/) as string,
      fix: expect.stringContaining("sign its calls") as string,
    });
  });

  test("that knows nobody: run countersign login, with what the policy says", async () => {
    const [first] = await examined({ minimum: "token_bound", issuer: LOGIN, exec: true });
    expect(first).toEqual({
      id: "identity",
      level: "fail",
      message: "nobody is logged in; on stdio, nothing says who asks",
      fix: `run: ${command()}`,
    });
    const env = { COUNTERSIGN_ASSERTED_HUMAN: "ada" };
    const [weak] = await examined({ minimum: "asserted", issuer: LOGIN, exec: true, env });
    expect(weak).toMatchObject({
      level: "ok",
      message: expect.stringMatching(
        /^nobody is logged in; on stdio, calls are known as asserted/,
      ) as string,
    });
  });

  test("that does not work: why, and nothing of what it said", async () => {
    helper.does("echo eyJ-secret; echo eyJ-secret >&2; exit 3");
    const [first] = await examined({ minimum: "token_bound", issuer: LOGIN, exec: true });
    expect(first).toMatchObject({
      level: "fail",
      message: expect.stringMatching(
        /identity_unavailable: identity\/exec: .*exit code 3/,
      ) as string,
      fix: `correct identity.process, or run: ${command()}`,
    });
    expect(JSON.stringify(first)).not.toContain("secret");
  });

  test("that is not there: which program", async () => {
    helper.remove();
    const [first] = await examined({ minimum: "token_bound", issuer: LOGIN, exec: true });
    expect(first).toMatchObject({
      level: "fail",
      message: expect.stringContaining(`${helper.command[0]} cannot be run (ENOENT)`) as string,
    });
  });

  test("whose login does not hold", async () => {
    const thief = await testPair();
    helper.gives({ ...(await login.credential("dpop", true)), key: thief.privateJwk });
    const [first] = await examined({ minimum: "token_bound", issuer: LOGIN, exec: true });
    expect(first).toMatchObject({
      level: "fail",
      message: expect.stringContaining("identity_invalid") as string,
      fix: expect.stringContaining(command()) as string,
    });
  });

  test("whose login is a machine's", async () => {
    const credential = await login.credential("id_token_cnf", true);
    const token = await login.token("id_token_cnf", { sub: CLIENT });
    helper.gives({ ...credential, token });
    const [first] = await examined({ minimum: "token_bound", issuer: LOGIN, exec: true });
    expect(first).toMatchObject({
      level: "fail",
      message: expect.stringContaining("not to a human") as string,
    });
  });

  test("whose issuer is away", async () => {
    helper.gives(await login.credential("id_token_cnf"));
    login.idp.broken = (_, response) => response.writeHead(503).end();
    const [first] = await examined({ minimum: "token_bound", issuer: LOGIN, exec: true });
    expect(first).toMatchObject({
      level: "fail",
      message: expect.stringContaining("keys of the issuer") as string,
      fix: expect.stringContaining("reachable") as string,
    });
  });
});

describe("no helper", () => {
  test("logins are accepted: a call may bring a proof, or a helper may be added", async () => {
    const [first, floors, brought] = await examined({ minimum: "token_bound", issuer: LOGIN });
    expect(first).toMatchObject({
      level: "warn",
      message: "on stdio, nothing says who asks: the policy names no identity.process",
      fix: expect.stringContaining(
        `exec: [countersign, credential] } and run ${command()}`,
      ) as string,
    });
    expect(floors).toMatchObject({ level: "warn" });
    expect(brought).toMatchObject({ level: "ok" });
  });

  test("bearer tokens are accepted", async () => {
    const issuer = `audience: "${URL_AUDIENCE}"`;
    const findings = await examined({ minimum: "bearer", issuer });
    expect(findings[0]).toMatchObject({ level: "warn" });
    expect(findings.at(-1)).toMatchObject({
      level: "ok",
      message: expect.stringContaining(
        `a token of ${login.idp.issuer} for ${URL_AUDIENCE} (bearer)`,
      ) as string,
    });
  });

  test.runIf(process.getuid?.() === 0)("the account is root's: no human", async () => {
    expect(await examined({ minimum: "os_user" })).toEqual([
      {
        id: "identity",
        level: "fail",
        message:
          "on stdio, nothing says who asks: the policy names no identity.process, and the account of this process is no human (root or a service account)",
        fix: "run the server as the person who uses it",
      },
    ]);
  });

  test("somebody said so", async () => {
    const env = { COUNTERSIGN_ASSERTED_HUMAN: "ada" };
    expect(await examined({ minimum: "asserted", env })).toEqual([
      {
        id: "identity",
        level: "ok",
        message:
          "on stdio, calls are known as asserted by urn:countersign:asserted; the policy asks for asserted",
      },
    ]);
  });

  test("the policy asks for nobody", async () => {
    const [first] = await examined({ minimum: "none" });
    expect(first).toMatchObject({ level: "ok" });
  });
});
