// A provider, a machine without any login yet, and a human who does as they are told.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { errorCode } from "@countersign/model";
import { currentLogin, login } from "../login/index.ts";
import type { LoginOptions, LoginStep, LoginSummary } from "../login/index.ts";
import { CANARY, LoginProvider } from "./login-provider.ts";

/** See above. */
export class LoginScene {
  readonly provider: LoginProvider;
  /** The state directory. */
  readonly state: string;

  private constructor(provider: LoginProvider, state: string) {
    this.provider = provider;
    this.state = state;
  }

  static async set(): Promise<LoginScene> {
    return new LoginScene(await LoginProvider.start(), await mkdtemp(join(tmpdir(), "login-")));
  }

  async clear(): Promise<void> {
    await this.provider.stop();
    await rm(this.state, { recursive: true, force: true });
  }

  get file(): string {
    return join(this.state, "login", "login.json");
  }

  /** A login in which a human opens the address, unless the test does something else with it. */
  logIn(
    options: Partial<LoginOptions> = {},
    onAddress: (url: string) => unknown = browse,
    signal: AbortSignal = new AbortController().signal,
  ): Promise<LoginSummary> {
    return login(
      {
        issuer: this.provider.issuer,
        clientId: "cli",
        by: "address",
        stateDirectory: this.state,
        env: {},
        tell: (step: LoginStep) => void (step.kind === "address" && onAddress(step.url)),
        ...options,
      },
      signal,
    );
  }

  /** The error of a login that must not succeed, and must not say more than it may. */
  async failure(work: Promise<unknown>): Promise<{ code: unknown; message: string }> {
    const error: unknown = await work.then(
      () => assert.fail("the login succeeded"),
      (reason: unknown) => reason,
    );
    assert(!inspect(error, { depth: 9, showHidden: true }).includes(CANARY), "it says too much");
    assert.equal(await currentLogin({ stateDirectory: this.state }), undefined);
    return { code: errorCode(error), message: (error as Error).message };
  }
}

/** Follows the authorization address to where it leads, as a browser would. */
export async function browse(url: string): Promise<void> {
  const sent = await fetch(url, { redirect: "manual" });
  await fetch(sent.headers.get("location") ?? "", { redirect: "manual" });
}

/** For an address that must not be shown. */
export function never(): void {
  assert.fail("an address was shown");
}
