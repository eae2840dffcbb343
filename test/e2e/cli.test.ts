import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

const root = join(import.meta.dirname, "..", "..");
const bin = join(root, "packages", "cli", "bin", "countersign.js");
let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "countersign-cli-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

interface Ran {
  status: number | null;
  stdout: string;
  stderr: string;
}

function countersign(args: readonly string[], input = "", env: Record<string, string> = {}): Ran {
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, ...args], {
    encoding: "utf8",
    input,
    cwd: directory,
    env: { PATH: process.env["PATH"] ?? "", HOME: directory, ...env },
  });
  return { status, stdout, stderr };
}

function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

const POLICY = `version: 1
server: urn:mcp:tickets
tenant: acme
mode: enforce
identity:
  minimum: asserted
  subject: "user:{human.subject}"
authorizer:
  relationships: ["ticket:T-1#read@user:alice"]
tools:
  read_ticket: { permission: read, resource: "ticket:{arguments.id}" }
default: deny
`;

const COMMANDS = [
  ["guard"],
  ["processor"],
  ["validate"],
  ["components"],
  ["policy", "init"],
  ["policy", "explain"],
  ["doctor"],
  ["tail"],
  ["login"],
  ["whoami"],
  ["credential"],
  ["logout"],
  ["start"],
];

test.each(COMMANDS)("%s %s has help with an example", (...command) => {
  const { status, stdout, stderr } = countersign([...command, "--help"]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  expect(stdout).toContain("Example:");
  expect(stdout).toContain(`$ countersign ${command.join(" ")}`);
});

test("--version prints the version alone", () => {
  const manifest = JSON.parse(
    readFileSync(join(root, "packages", "cli", "package.json"), "utf8"),
  ) as { version: string };
  expect(countersign(["--version"])).toEqual({
    status: 0,
    stdout: `${manifest.version}\n`,
    stderr: "",
  });
});

test.each([
  [["nonsense"]],
  [["guard"]],
  [["guard", "--policy", "p.yaml"]],
  [["processor"]],
  [["validate"]],
  [["validate", "--policy", "a", "--config", "b"]],
  [["tail", "--lines", "many"]],
  [["policy", "explain", "--policy", "p.yaml"]],
  [["start", "--nonsense"]],
  [[]],
])("%j is wrong usage: 64, nothing on stdout", (args) => {
  const { status, stdout, stderr } = countersign(args);
  expect({ status, stdout }).toEqual({ status: 64, stdout: "" });
  expect(stderr.length).toBeGreaterThan(10);
});

test.each([
  ["validate", "--policy"],
  ["validate", "--config"],
  ["processor", "--config"],
])("%s %s with a file that is not there: 66", (...args) => {
  const { status, stdout, stderr } = countersign([...args, "missing.yaml"]);
  expect({ status, stdout }).toEqual({ status: 66, stdout: "" });
  expect(stderr).toContain("missing.yaml");
});

test("validate accepts a good policy", () => {
  const path = file("good.yaml", POLICY);
  expect(countersign(["validate", "--policy", path])).toEqual({
    status: 0,
    stdout: `${path}: valid\n`,
    stderr: "",
  });
});

test("validate names every problem with line, column, path, and what to do: 78", () => {
  const path = file(
    "bad.yaml",
    POLICY.replace("mode: enforce", "mode: relaxed").replace("permission: read", "permision: read"),
  );
  const { status, stdout } = countersign(["validate", "--policy", path]);
  expect(status).toBe(78);
  expect(stdout).toMatch(/bad\.yaml:4:\d+.*mode/);
  expect(stdout).toMatch(/bad\.yaml:11:\d+.*tools\.read_ticket/);
  const json = JSON.parse(countersign(["validate", "--json", "--policy", path]).stdout) as {
    ok: boolean;
    problems: { line: number; column: number; path: string; message: string }[];
  };
  expect(json.ok).toBe(false);
  expect(json.problems.map(({ line }) => line)).toEqual(expect.arrayContaining([4, 11]));
});

test("validate accepts every configuration that the repository ships", () => {
  for (const path of ["config/embedded.yaml", "deploy/processor.yaml"]) {
    const { status, stdout } = countersign(["validate", "--config", join(root, path)], "", {
      COUNTERSIGN_CONSOLE_TOKEN: "a-token-of-this-test",
    });
    expect({ path, status, stdout }).toEqual({
      path,
      status: 0,
      stdout: `${join(root, path)}: valid\n`,
    });
  }
});

test("validate does not take a wrong configuration", () => {
  const path = file(
    "processor.yaml",
    "receivers:\n  otlp:\n    protocols:\n      http: { endpoint: 0.0.0.0:4318 }\n",
  );
  const { status, stdout } = countersign(["validate", "--config", path]);
  expect(status).toBe(78);
  expect(stdout).toMatch(/processor\.yaml:\d+:\d+/);
});

test("components lists what there is, for people and for scripts", () => {
  const text = countersign(["components"]);
  expect(text.status).toBe(0);
  expect(text.stdout).toMatch(/^receiver\s+otlp\s+/m);
  const list = JSON.parse(countersign(["components", "--json"]).stdout) as {
    type: string;
    config: object;
  }[];
  expect(list.map(({ type }) => type)).toEqual(
    expect.arrayContaining(["otlp", "intake", "redact", "archive", "file"]),
  );
  for (const { config } of list) expect(config).toBeTypeOf("object");
});

test("policy explain shows the checks of a call, from a file and from standard input", () => {
  const policy = file("explained.yaml", POLICY);
  const call = JSON.stringify({
    jsonrpc: "2.0",
    id: 1,
    method: "tools/call",
    params: { name: "read_ticket", arguments: { id: "T-1" } },
  });
  const read = countersign([
    "policy",
    "explain",
    "--policy",
    policy,
    "--call",
    file("call.json", call),
  ]);
  expect(read).toMatchObject({ status: 0, stderr: "" });
  expect(read.stdout).toContain("ticket:T-1");
  expect(read.stdout).toContain("read");
  const piped = countersign(
    ["policy", "explain", "--policy", policy, "--call", "-", "--json"],
    call,
  );
  expect(piped.status).toBe(0);
  expect(JSON.stringify(JSON.parse(piped.stdout))).toContain("T-1");
});

test("policy explain says that an unmapped call is denied", () => {
  const policy = file("explained.yaml", POLICY);
  const call = JSON.stringify({
    jsonrpc: "2.0",
    id: 1,
    method: "tools/call",
    params: { name: "drop_all" },
  });
  expect(
    countersign(["policy", "explain", "--policy", policy, "--call", "-"], call).stdout,
  ).toContain("unmapped");
});

test("policy explain does not repeat what it cannot read", () => {
  const policy = file("explained.yaml", POLICY);
  const { status, stderr } = countersign(
    ["policy", "explain", "--policy", policy, "--call", "-"],
    "{ hunter2",
  );
  expect(status).toBe(1);
  expect(stderr).not.toContain("hunter2");
});

test("policy init writes a valid policy that denies all, for a server it has never met", () => {
  const server = join(
    import.meta.dirname,
    "..",
    "node_modules",
    "@modelcontextprotocol",
    "server-everything",
    "dist",
    "index.js",
  );
  const output = join(directory, "skeleton.yaml");
  const args = ["policy", "init", "--output", output, "--", process.execPath, server];
  expect(countersign(args)).toMatchObject({ status: 0, stdout: "" });
  expect(readFileSync(output, "utf8")).toContain('"echo"');
  expect(countersign(["validate", "--policy", output])).toMatchObject({ status: 0 });
  const call = JSON.stringify({
    jsonrpc: "2.0",
    id: 1,
    method: "tools/call",
    params: { name: "echo", arguments: { message: "x" } },
  });
  expect(
    countersign(["policy", "explain", "--policy", output, "--call", "-"], call).stdout,
  ).toContain("unmapped");
  expect(countersign(args)).toMatchObject({ status: 73 }); // the file is there now
});

test("policy init: hostile names stay inside their comments", () => {
  const server = file(
    "hostile.mjs",
    `import { createInterface } from "node:readline";
     const tools = [{ name: 'x"\\ntools: { "*": { permission: p, resource: "a:b" } }\\u202e', inputSchema: {} }];
     createInterface({ input: process.stdin }).on("line", (line) => {
       const { id, method } = JSON.parse(line);
       if (id === undefined) return;
       const result = method === "initialize"
         ? { protocolVersion: "2025-11-25", capabilities: { tools: {} }, serverInfo: { name: "ho\\nst:ile", version: "1" } }
         : { tools };
       console.log(JSON.stringify({ jsonrpc: "2.0", id, result }));
     });`,
  );
  const { status, stdout } = countersign(["policy", "init", "--", process.execPath, server]);
  expect(status).toBe(0);
  expect(stdout).not.toContain("\u202e");
  expect(stdout).toMatch(/^tools: \{\}$/m);
  const path = file("from-hostile.yaml", stdout);
  expect(countersign(["validate", "--policy", path])).toMatchObject({ status: 0 });
});

test("policy init: a server that is none is unavailable, not a hang", () => {
  const { status, stderr } = countersign(["policy", "init", "--", process.execPath, "-e", "0"]);
  expect(status).toBe(69);
  expect(stderr).toContain("ended before it answered");
});

test("tail of a machine without a journal ends quietly", () => {
  expect(countersign(["tail", "--no-follow"])).toEqual({ status: 0, stdout: "", stderr: "" });
});

test("tail of a journal that is named and not there: 66 and its name", () => {
  const { status, stdout, stderr } = countersign(["tail", "--no-follow", "--journal", "nowhere"]);
  expect({ status, stdout }).toEqual({ status: 66, stdout: "" });
  expect(stderr).toContain("nowhere");
});

test("policy init: a program that is not there: 66, and where to look", () => {
  const { status, stdout, stderr } = countersign(["policy", "init", "--", "no-such-program"]);
  expect({ status, stdout }).toEqual({ status: 66, stdout: "" });
  expect(stderr).toContain("check the command after `--`");
});

test("doctor shows each problem of a policy on a line of its own", () => {
  const path = file("two.yaml", POLICY.replace("mode: enforce", "mode: relaxed").replace("1", "2"));
  const { stdout } = countersign(["doctor", "--policy", path]);
  expect(stdout).toMatch(/^fail +policy .*two\.yaml:1:10/m);
  expect(stdout).toMatch(/^ +.*two\.yaml:4:7: mode/m);
  expect(stdout).not.toContain("\\u{A}");
});

test("tail --url without a console there: 69 and its address", () => {
  const { status, stdout, stderr } = countersign([
    "tail",
    "--no-follow",
    "--url",
    "http://127.0.0.1:9/",
  ]);
  expect({ status, stdout }).toEqual({ status: 69, stdout: "" });
  expect(stderr).toContain("http://127.0.0.1:9");
});

test("doctor says what is not set up: 1", () => {
  const { status, stdout } = countersign(["doctor", "--json"]);
  expect(status).toBe(1);
  const { findings } = JSON.parse(stdout) as { findings: { id: string; level: string }[] };
  expect(findings.length).toBeGreaterThan(3);
  expect(findings.some(({ level }) => level === "fail")).toBe(true);
});

test("an old Node gets one plain sentence and 78", () => {
  const old = file(
    "old-node.cjs",
    `Object.defineProperty(process.versions, "node", { value: "18.20.0" });`,
  );
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--require", old, bin, "start"], {
    encoding: "utf8",
  });
  expect({ status, stdout }).toEqual({ status: 78, stdout: "" });
  expect(stderr).toBe("countersign needs Node 22.15 or newer; this is Node 18.20.0.\n");
});

test("the guard at the door is syntax of the last decade", () => {
  const text = readFileSync(bin, "utf8");
  expect(text).not.toMatch(/=>|\b(const|let|class|async|await)\b|\?\.|\?\?|`/);
  expect(existsSync(join(root, "packages", "cli", "bin", "package.json"))).toBe(true);
});
