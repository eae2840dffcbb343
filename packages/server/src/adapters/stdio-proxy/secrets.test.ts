import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { serverEnvironment } from "./secrets.ts";

const directory = mkdtempSync(join(tmpdir(), "secrets-"));
afterAll(() => rmSync(directory, { recursive: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
}

test("the server gets the guard's environment without the guard's own, and its secrets", () => {
  const env = {
    PATH: "/bin",
    COUNTERSIGN_POLICY: "p.yaml",
    OTEL_EXPORTER_OTLP_LOGS_HEADERS: "authorization=ours",
    OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE: "ours.crt",
    OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY: "ours.key",
    SPICEDB_TOKEN: "ours",
    UPSTREAM: "theirs",
    TOKEN: "replaced",
  };
  const policyText =
    "authorizer: { spicedb: { token: ${env:SPICEDB_TOKEN}, endpoint: ${env:EP:-localhost:1} } }";
  const secrets = ["TOKEN=env:UPSTREAM", `KEY=file:${file("key", "line one\nline two\r\n")}`];
  expect(serverEnvironment(env, { secrets, policyText })).toEqual({
    PATH: "/bin",
    TOKEN: "theirs",
    KEY: "line one\nline two",
  });
});

test("nothing that opens the human's login reaches the server", () => {
  const env = {
    PATH: "/bin",
    COUNTERSIGN_STATE_DIR: "/state",
    COUNTERSIGN_CREDENTIAL: "countersign credential",
    COUNTERSIGN_EXEC_INFO: "{}",
    COUNTERSIGN_AUDIENCE: "urn:mcp:tickets",
    COUNTERSIGN_ASSERTED_HUMAN: "ada",
    Countersign_Later: "x",
    VAULT_TOKEN: "opens the helper's vault",
  };
  const policyText =
    'identity: { process: { exec: [helper, "--vault-token", "${env:VAULT_TOKEN:-none}"] } }';
  expect(serverEnvironment(env, { secrets: [], policyText })).toEqual({ PATH: "/bin" });
});

test("a secret may keep its name", () => {
  expect(serverEnvironment({ A: "1" }, { secrets: ["A=env:A"], policyText: "" })).toEqual({
    A: "1",
  });
});

test.each([
  ["hunter2", "guard: --secret must be NAME=env:VARIABLE or NAME=file:PATH"],
  ["KEY=hunter2", "guard: --secret must be NAME=env:VARIABLE or NAME=file:PATH"],
  ["K-EY=env:HOME", "guard: --secret must be NAME=env:VARIABLE or NAME=file:PATH"],
  ["KEY=env:NOT_THERE", "guard: --secret KEY: the environment variable NOT_THERE is not set"],
  ["KEY=env:EMPTY", "guard: --secret KEY: the value is empty or holds a NUL byte"],
  [
    `KEY=file:${file("nul", "a\0b")}`,
    "guard: --secret KEY: the value is empty or holds a NUL byte",
  ],
  [`KEY=file:${directory}`, `guard: --secret KEY: the file ${directory} cannot be read (EISDIR)`],
  [
    `KEY=file:${file("big", Buffer.alloc(65_537, 0x61))}`,
    `guard: --secret KEY: the file ${join(directory, "big")} is larger than 64 KiB`,
  ],
])("%s", (spec, message) => {
  expect(() => serverEnvironment({ EMPTY: "" }, { secrets: [spec], policyText: "" })).toThrow(
    expect.objectContaining({ code: "CONFIG_INVALID", message }) as Error,
  );
});
