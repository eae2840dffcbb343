import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { errorCode } from "@countersign/model";
import type { Credential, CredentialSource } from "./credential.ts";
import { execCredentialSource, type ExecCredentialOptions } from "./exec-credential.ts";
import { type TestHelper, testHelper } from "./testing/credential-helper.ts";
import { testPair } from "./testing/login.ts";

const AUDIENCE = "urn:mcp:tickets";
const SECRET = "eyJ-this-is-the-token";
const never = new AbortController().signal;

let helper: TestHelper;
let credential: Credential;
let nowMs: number;

beforeEach(async () => {
  helper = testHelper();
  nowMs = 1_800_000_000_000;
  const { privateJwk: key } = await testPair();
  credential = { token: SECRET, delegation: "delegation", key, expiresAtMs: nowMs + 600_000 };
});

afterEach(() => helper.remove());

function source(options: ExecCredentialOptions = {}): CredentialSource {
  return execCredentialSource(helper.command, { clock: () => nowMs, ...options });
}

const current = (from: CredentialSource, audience = AUDIENCE): Promise<Credential | undefined> =>
  from.current(audience, never);

async function failure(from: CredentialSource): Promise<string> {
  const error: unknown = await current(from).then(
    () => new Error("it gave something"),
    (reason: unknown) => reason,
  );
  expect(errorCode(error)).toBe("UNAVAILABLE");
  const { message, stack, cause } = error as Error;
  expect(`${message} ${stack} ${String(cause)}`).not.toContain(SECRET);
  return message;
}

test("an answer that was kept by a clock that was ahead is asked for again", async () => {
  const from = source();
  nowMs += 3_600_000;
  expect(await current(from)).toBeUndefined();
  nowMs -= 3_600_000;
  helper.gives(credential);
  expect(await current(from)).toEqual(credential);
});

describe("a helper that works", () => {
  test("is asked for an audience and resources, without a shell, and its credential is taken", async () => {
    helper.gives(credential);
    const resources = ["https://tickets.example/mcp"];
    expect(await current(source({ resources }))).toEqual(credential);
    expect(helper.asked()).toEqual([{ audience: AUDIENCE, resources }]);
  });

  test("may know more than we do, and a key of its own kind", async () => {
    const { privateJwk } = await testPair("EdDSA");
    const given = { ...credential, salt: "salt", key: privateJwk };
    helper.gives(given, { key: { ...privateJwk, kid: "k", use: "sig" }, extra: 1 }, { spec: {} });
    expect(await current(source())).toEqual(given);
  });

  test("has the environment of the process, or the one it is given", async () => {
    helper.does(`test "$GIVEN" = yes && test -z "$HOME" && exit 1; exit 3`);
    expect(await current(source({ env: { PATH: process.env["PATH"], GIVEN: "yes" } }))).toBe(
      undefined,
    );
  });

  test("exit 1 and silence: nobody is logged in; asked again after a second, not before", async () => {
    const from = source();
    expect(await current(from)).toBeUndefined();
    helper.gives(credential);
    expect(await current(from)).toBeUndefined();
    expect(helper.asked()).toHaveLength(1);
    nowMs += 1000;
    expect(await current(from)).toEqual(credential);
  });
});

describe("how often", () => {
  test("one run serves all who wait, also when one of them leaves", async () => {
    helper.gives(credential);
    const from = source();
    const leaving = new AbortController();
    const left = from.current(AUDIENCE, leaving.signal);
    const waiting = Array.from({ length: 20 }, () => current(from));
    leaving.abort();
    await expect(left).rejects.toMatchObject({ code: "CANCELLED" });
    expect(new Set(await Promise.all(waiting)).size).toBe(1);
    expect(helper.asked()).toHaveLength(1);
    await expect(from.current(AUDIENCE, AbortSignal.abort())).rejects.toMatchObject({
      code: "CANCELLED",
    });
  });

  test("each audience has its own; of 64, the oldest goes", async () => {
    helper.gives(credential);
    const from = source();
    await current(from);
    await current(from, "urn:mcp:other");
    await current(from);
    expect(helper.asked().map(({ audience }) => audience)).toEqual([AUDIENCE, "urn:mcp:other"]);
  });

  test.each([
    ["ten minutes: a minute before its end", 600_000, 540_000],
    ["a minute: after four fifths", 60_000, 48_000],
    ["twelve hours: after ten minutes, or a logout would not be heard", 43_200_000, 600_000],
  ])("a credential of %s is asked for again", async (_, lifeMs, keptMs) => {
    helper.gives({ ...credential, expiresAtMs: nowMs + lifeMs });
    const from = source();
    const first = await current(from);
    nowMs += keptMs - 1;
    expect(await current(from)).toBe(first);
    nowMs += 1;
    helper.gives({ ...credential, token: "next", expiresAtMs: nowMs + 1000 });
    expect(await current(from)).toMatchObject({ token: "next" });
    expect(helper.asked()).toHaveLength(2);
  });

  test("a failure is told to all for a second, then the helper gets another chance", async () => {
    helper.does("exit 7");
    const from = source();
    expect(await failure(from)).toContain("exit code 7");
    helper.gives(credential);
    expect(await failure(from)).toContain("exit code 7");
    expect(helper.asked()).toHaveLength(1);
    nowMs += 1000;
    expect(await current(from)).toEqual(credential);
  });
});

describe("a helper that does not work", () => {
  test.each([
    ["exit 1 with output", `cat "$here/asked"; exit 1`, "exit code 1"],
    ["exit 0 and silence", "exit 0", "no ExecCredential"],
    ["exit 2", "exit 2", "exit code 2"],
    ["a signal", "kill -9 $$", "ended by SIGKILL"],
    ["more than 64 KiB", "head -c 70000 /dev/zero", "more than 65536 bytes"],
    ["output without end", "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done", "more than"],
    ["a token on stderr", `echo ${SECRET} >&2; exit 3`, "exit code 3"],
  ])("%s", async (_, script, expected) => {
    helper.does(script);
    expect(await failure(source())).toMatch(new RegExp(`^identity/exec: .*${expected}`));
  });

  test("one that hangs is killed", async () => {
    helper.does(`echo $$ > "$here/pid"; exec sleep 60`);
    expect(await failure(source({ timeoutMs: 1000 }))).toContain("no answer within 1000 ms");
    const pid = Number(readFileSync(join(helper.directory, "pid"), "utf8"));
    expect(pid).toBeGreaterThan(1);
    await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow("ESRCH"), { timeout: 5000 });
  });

  test.each([
    ["no such program", ["/no/such/helper"], ": /no/such/helper cannot be run (ENOENT)"],
    ["no program at all", [], ": its command cannot be run"],
    ["a NUL byte", ["a\0b"], "cannot be run"],
  ])("%s", async (_, command, expected) => {
    const from = execCredentialSource(command);
    expect(await failure(from)).toContain(expected);
    expect(await failure(from)).toContain(expected);
  });

  const privateKey = { kty: "EC", crv: "P-256", x: "eA", y: "eQ", d: "ZA" };
  test.each<readonly [string, object, object, string]>([
    ["another version", {}, { apiVersion: "dev.countersign/v2" }, "no ExecCredential"],
    ["another kind", {}, { kind: "Secret" }, "no ExecCredential"],
    ["no status", {}, { status: undefined }, "token"],
    ["a status that is a list", {}, { status: [] }, "token"],
    ["no token", { token: undefined }, {}, "token"],
    ["an empty token", { token: "" }, {}, "token"],
    ["a token that is a number", { token: 7 }, {}, "token"],
    ["a token over 16 KiB", { token: "x".repeat(16_385) }, {}, "token"],
    ["a salt that is no text", { salt: 7 }, {}, "salt"],
    ["a delegation that is no text", { delegation: {} }, {}, "delegation"],
    ["no key", { key: undefined }, {}, "private key"],
    ["a public key", { key: { ...privateKey, d: undefined } }, {}, "private key"],
    ["a key of another curve", { key: { ...privateKey, crv: "P-384" } }, {}, "private key"],
    ["a secret key", { key: { kty: "oct", k: "AAAA" } }, {}, "private key"],
    ["no time", { expirationTimestamp: undefined }, {}, "expirationTimestamp"],
    ["a time that is a number", { expirationTimestamp: 1_900_000_000 }, {}, "expirationTimestamp"],
    ["a time without zone", { expirationTimestamp: "2027-01-15T08:30:00" }, {}, "RFC 3339"],
    ["a day that is none", { expirationTimestamp: "2027-13-45T08:30:00Z" }, {}, "RFC 3339"],
    ["a credential that is over", { expirationTimestamp: "2026-01-01T00:00:00Z" }, {}, "is over"],
  ])("%s", async (_, changes, top, expected) => {
    helper.gives(credential, changes, top);
    expect(await failure(source())).toContain(expected);
  });

  test.each(["", "nothing", "[]", "null", '"text"', `{"token":"${SECRET}"`, "{}{}"])(
    "output %j",
    async (text) => {
      helper.prints(text);
      expect(await failure(source())).toContain("no ExecCredential");
    },
  );
});
