import { describe, expect, test } from "vitest";
import type { Assurance } from "@countersign/model";
import { createIdentity, type IdentityOptions } from "./identity.ts";
import type { IdentityResult } from "./resolver.ts";

const never = new AbortController().signal;

async function resolve(
  minimum: Assurance,
  options: IdentityOptions,
  transport: "stdio" | "http" = "stdio",
): Promise<IdentityResult> {
  return createIdentity({ minimum, issuers: [] }, { env: {}, ...options }).resolve(
    { transport },
    never,
  );
}

const person = { account: () => ({ uid: 1000, shell: "/bin/bash" }) };

describe("the account of the process", () => {
  test("is a human on stdio: by uid, on a machine that is not named", async () => {
    const result = await resolve("os_user", person);
    expect(result).toMatchObject({
      kind: "human",
      human: { subject: "1000", assurance: "os_user", method: "os_account" },
    });
    const issuer = result.kind === "human" ? result.human.issuer : "";
    expect(issuer).toMatch(/^urn:countersign:os:([0-9a-f]{32}|local)$/);
    expect(issuer).not.toContain((await import("node:os")).hostname());
  });

  test("says nothing over HTTP", async () => {
    expect(await resolve("os_user", person, "http")).toEqual({ kind: "absent" });
  });

  test.each([
    ["root", { uid: 0, shell: "/bin/bash" }],
    ["a service account", { uid: 33, shell: "/usr/sbin/nologin" }],
    ["a service account with a login shell", { uid: 499, shell: "/bin/sh" }],
    ["nobody", { uid: 65_534, shell: "/bin/sh" }],
    ["an account that cannot log in", { uid: 1001, shell: "/usr/sbin/nologin" }],
    ["an account whose shell is false", { uid: 1001, shell: "/bin/false" }],
    ["a platform without uids", { uid: -1 }],
    ["no account at all", undefined],
  ])("%s is no human", async (_, account) => {
    expect(await resolve("os_user", { account: () => account })).toEqual({ kind: "absent" });
  });

  test.runIf(process.getuid?.() === 0)(
    "is asked of the operating system: root is none",
    async () => {
      expect(await resolve("os_user", {})).toEqual({ kind: "absent" });
    },
  );
});

describe("an asserted human", () => {
  const env = { COUNTERSIGN_ASSERTED_HUMAN: "ada" };

  test.each(["asserted", "none"] as const)("is heard where the minimum is %s", async (minimum) => {
    expect(await resolve(minimum, { env })).toEqual({
      kind: "human",
      human: {
        issuer: "urn:countersign:asserted",
        subject: "ada",
        assurance: "asserted",
        method: "asserted",
      },
    });
    expect(await resolve(minimum, { env }, "http")).toMatchObject({ kind: "human" });
  });

  test.each(["os_user", "bearer", "token_bound", "call_bound"] as const)(
    "is not heard where the minimum is %s",
    async (minimum) => {
      expect(await resolve(minimum, { env, account: () => undefined })).toEqual({ kind: "absent" });
    },
  );

  test("stands before the ambient account", async () => {
    expect(await resolve("asserted", { env, ...person })).toMatchObject({
      human: { assurance: "asserted" },
    });
    expect(await resolve("asserted", { env: {}, ...person })).toMatchObject({
      human: { assurance: "os_user" },
    });
  });

  test("an empty one is absent, one over 256 bytes is invalid", async () => {
    const none = { account: () => undefined };
    expect(await resolve("asserted", { env: { COUNTERSIGN_ASSERTED_HUMAN: "" }, ...none })).toEqual(
      { kind: "absent" },
    );
    expect(
      await resolve("asserted", { env: { COUNTERSIGN_ASSERTED_HUMAN: "é".repeat(129) }, ...none }),
    ).toEqual({
      kind: "denied",
      reason: "identity_invalid",
    });
  });
});
