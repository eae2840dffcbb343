// An unmodified host, an unmodified server, a human who logged in with a browser: the guard acts as that human, provably.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { type DecisionEvent, encodeObjectId } from "@countersign/model";
import { startIdp, type RunningIdp } from "@countersign/demo/idp";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findService } from "../services/find.ts";
import { type SpiceDbServer, spiceDbServer } from "../services/spicedb-server.ts";
import { findChromium } from "./console-browser.ts";
import { readJournal } from "./fixtures/sdk/journal-events.ts";

const root = join(import.meta.dirname, "..", "..");
const bin = join(root, "packages", "cli", "bin", "countersign.js");
const tools = join(import.meta.dirname, "..", "node_modules", ".bin");
const SERVER = "urn:mcp:files";
const SCHEMA = `
definition user {}

definition file {
  relation reader: user
  permission read = reader
}
`;

const found = findService("spicedb");
const program = found?.kind === "binary" ? found.path : undefined;
const browserPath = findChromium();
if (browserPath === undefined && process.env["CI"] === "true") throw new Error("no Chromium");

describe.skipIf(program === undefined || browserPath === undefined)(
  "after countersign login",
  () => {
    const directory = mkdtempSync(join(tmpdir(), "countersign-login-"));
    const files = join(directory, "files");
    const salaries = join(files, "salaries.txt");
    let idp: RunningIdp;
    let spicedb: SpiceDbServer;
    let browser: Browser;

    beforeAll(async () => {
      mkdirSync(files);
      writeFileSync(salaries, "the sum of it all");
      idp = await startIdp();
      const id = `file:${encodeObjectId(salaries)}`;
      spicedb = await spiceDbServer(program as string, {
        schema: SCHEMA,
        relationships: [`${id}#reader@user:${encodeObjectId("alice")}`],
      });
      await spicedb.start();
      browser = await chromium.launch({
        executablePath: browserPath as string,
        args: ["--no-sandbox"],
      });
      for (const human of ["alice", "bob"]) writePolicy(human);
    });

    afterAll(async () => {
      await browser.close();
      await spicedb.dispose();
      await idp.stop();
      rmSync(directory, { recursive: true, force: true });
    });

    const stateOf = (human: string): string => join(directory, human);
    const policyOf = (human: string): string => join(directory, `${human}.yaml`);

    function environment(human: string): Record<string, string> {
      return {
        PATH: process.env["PATH"] ?? "",
        HOME: directory,
        COUNTERSIGN_STATE_DIR: stateOf(human),
        SPICEDB_TOKEN: spicedb.token,
      };
    }

    function writePolicy(human: string): void {
      writeFileSync(
        policyOf(human),
        `version: 1
server: ${SERVER}
tenant: acme
mode: enforce
identity:
  minimum: token_bound
  subject: "user:{human.subject}"
  process: { exec: [${JSON.stringify(process.execPath)}, ${JSON.stringify(bin)}, credential] }
  issuers:
    - { issuer: "${idp.issuer}", clients: [countersign-cli], audience: ${SERVER}, algorithms: [ES256, RS256] }
authorizer:
  spicedb: { endpoint: "${spicedb.endpoint}", token: "\${env:SPICEDB_TOKEN}", tls: false, consistency: fully_consistent, timeout: 2s }
tools:
  read_text_file: { permission: read, resource: "file:{arguments.path|path}" }
paths: { root: ${JSON.stringify(files)} }
lists: filter
default: deny
`,
      );
    }

    /** Logs in as a person does: the command prints an address, a browser opens it, forms are filled in. */
    async function login(human: string, ...options: string[]): Promise<void> {
      const child = spawn(
        process.execPath,
        [
          bin,
          "login",
          "--issuer",
          idp.issuer,
          "--client-id",
          "countersign-cli",
          "--no-browser",
          ...options,
        ],
        { env: environment(human), stdio: ["ignore", "pipe", "pipe"] },
      );
      // Before the browser has its turn: the command may be done while the page is still looked at.
      const closed = once(child, "close");
      child.stdout.resume();
      let told = "";
      const address = new Promise<string>((resolve) => {
        child.stderr.setEncoding("utf8").on("data", (text: string) => {
          told += text;
          const [line] = /https?:\/\/\S+(?=\n)/.exec(told) ?? [];
          if (line !== undefined) resolve(line);
        });
      });
      const asked = await Promise.race([address, closed]);
      if (typeof asked === "string") await fillForms(asked, human);
      const [code] = (await closed) as [number];
      expect({ code, told: told.replaceAll(/https?:\S+/g, "<address>") }).toMatchObject({
        code: 0,
      });
    }

    async function fillForms(address: string, human: string): Promise<void> {
      const context = await browser.newContext();
      const page = await context.newPage();
      await page.goto(address);
      await page.fill("input[name=login]", human);
      await page.fill("input[name=password]", `${human}-demo`);
      await page.click("button[type=submit]");
      await page.getByRole("button", { name: "Allow" }).click();
      await page.waitForURL(/^http:\/\/127\.0\.0\.1:\d+\/callback/);
      await page.getByRole("heading").first().waitFor();
      // What a stranger at the screen, the history or a referrer could see of it.
      expect(await page.content()).not.toContain("code=");
      await context.close();
    }

    function guard(human: string): string[] {
      return [
        bin,
        "guard",
        "--policy",
        policyOf(human),
        "--",
        join(tools, "mcp-server-filesystem"),
        files,
      ];
    }

    /** A host that knows nothing of us: it starts the guard as it would start the server. */
    async function ask(human: string): Promise<string> {
      const client = new Client({ name: "host", version: "1.0.0" });
      await client.connect(
        new StdioClientTransport({
          command: process.execPath,
          args: guard(human),
          env: environment(human),
          stderr: "ignore",
        }),
      );
      const result = await client.callTool({
        name: "read_text_file",
        arguments: { path: salaries },
      });
      await client.close();
      return (result.content as { text: string }[])[0]?.text ?? "";
    }

    function decisions(human: string): DecisionEvent["data"][] {
      return readJournal(join(stateOf(human), "journal"))
        .filter((event): event is DecisionEvent => event.type === "dev.countersign.decision.v1")
        .map(({ data }) => data)
        .filter(({ call }) => call.method === "tools/call");
    }

    test("nobody is logged in: the call is denied, and the record says why", async () => {
      expect(await ask("bob")).toMatch(/^Access denied\. Reference: /);
      expect(decisions("bob")).toMatchObject([
        { decision: "deny", reason: "identity_missing", effect: "block" },
      ]);
      expect(decisions("bob")[0]).not.toHaveProperty("human");
    });

    test("the manager is let through, the intern is not, and both are on record as themselves", async () => {
      await login("alice", "--audience", SERVER);
      await login("bob", "--audience", SERVER);
      expect(await ask("alice")).toBe("the sum of it all");
      expect(await ask("bob")).toMatch(/^Access denied\. Reference: /);
      const human = {
        issuer: idp.issuer,
        assurance: "token_bound",
        method: "process_token",
        binding: {
          jkt: expect.stringMatching(/^[\w-]{43}$/) as string,
          tokenSha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
        },
      };
      const [allowed] = decisions("alice");
      expect(allowed).toMatchObject({
        decision: "allow",
        reason: "permitted",
        effect: "run",
        human: { ...human, subject: "alice" },
        agent: { id: "countersign-cli", claimed: { name: "host" } },
        checks: [{ subject: { type: "user", id: "alice" }, verdict: "allow" }],
      });
      expect(decisions("bob").at(-1)).toMatchObject({
        decision: "deny",
        reason: "forbidden",
        effect: "block",
        human: { ...human, subject: "bob" },
        checks: [{ subject: { type: "user", id: "bob" }, verdict: "deny" }],
      });
      expect(allowed?.human?.binding?.jkt).not.toBe(decisions("bob").at(-1)?.human?.binding?.jkt);
    }, 180_000);

    test("MCP Inspector, as it is, acts as the manager too", async () => {
      const { stdout } = await promisify(execFile)(
        join(tools, "mcp-inspector"),
        [
          "--cli",
          ...Object.entries(environment("alice")).flatMap(([name, value]) => [
            "-e",
            `${name}=${value}`,
          ]),
          "--method",
          "tools/call",
          "--tool-name",
          "read_text_file",
          "--tool-arg",
          `path=${salaries}`,
          "--",
          process.execPath,
          ...guard("alice"),
        ],
        { cwd: directory, env: { ...process.env, HOME: directory }, timeout: 50_000 },
      );
      expect(stdout).toContain("the sum of it all");
      expect(decisions("alice").at(-1)?.human).toMatchObject({
        subject: "alice",
        assurance: "token_bound",
      });
    });

    test("what the login left on disk is for this account alone", () => {
      const store = join(stateOf("alice"), "login");
      expect(statSync(store).mode & 0o777).toBe(0o700);
      expect(statSync(join(store, "login.json")).mode & 0o777).toBe(0o600);
    });

    test("after logout the guard knows nobody", async () => {
      const { stdout } = await promisify(execFile)(process.execPath, [bin, "logout", "--json"], {
        env: environment("alice"),
      });
      expect(JSON.parse(stdout)).toMatchObject({ revoked: true });
      expect(await ask("alice")).toMatch(/^Access denied\. Reference: /);
      expect(decisions("alice").at(-1)).toMatchObject({ reason: "identity_missing" });
    });
  },
);
