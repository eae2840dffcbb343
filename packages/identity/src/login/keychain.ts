import { runTool } from "./run-tool.ts";

/** The keychain of the platform, used through the platform's own tool. */
export interface Keychain {
  /** The tool. */
  readonly name: string;
  /** Whether the secret can be had again from it. Replaces what was there under this id. */
  save(id: string, secret: string): Promise<boolean>;
  load(id: string): Promise<string | undefined>;
  remove(id: string): Promise<void>;
}

/** A keychain may ask the human to unlock it. */
const SAVE_TIMEOUT_MS = 30_000;
const LOAD_TIMEOUT_MS = 4000;
const SERVICE = "countersign-login";
/** What may stand in a command line of `security -i` without quoting. */
const PLAIN = /^[A-Za-z0-9_-]+$/;

/** Secrets are kept as base64url: a tool that trims, quotes or counts lines does no harm. */
abstract class ToolKeychain implements Keychain {
  abstract readonly name: string;
  protected readonly env: NodeJS.ProcessEnv;

  constructor(env: NodeJS.ProcessEnv) {
    this.env = env;
  }

  protected abstract write(id: string, text: string): Promise<unknown>;
  protected abstract read(id: string): Promise<string | undefined>;
  protected abstract erase(id: string): Promise<unknown>;

  async save(id: string, secret: string): Promise<boolean> {
    requirePlain(id);
    await this.write(id, Buffer.from(secret).toString("base64url"));
    return (await this.load(id)) === secret; // a keychain that is locked or absent says so in its own way
  }

  async load(id: string): Promise<string | undefined> {
    requirePlain(id);
    const text = (await this.read(id))?.trim();
    if (text === undefined || !PLAIN.test(text)) return undefined;
    return Buffer.from(text, "base64url").toString("utf8");
  }

  async remove(id: string): Promise<void> {
    requirePlain(id);
    await this.erase(id);
  }

  protected run(
    args: readonly string[],
    timeoutMs: number,
    stdin?: string,
  ): Promise<string | undefined> {
    const base = { args, env: this.env, timeoutMs };
    return runTool(this.name, stdin === undefined ? base : { ...base, stdin });
  }
}

/** The Secret Service of a Linux desktop. */
class SecretTool extends ToolKeychain {
  readonly name = "secret-tool";

  protected write(id: string, text: string): Promise<unknown> {
    const args = ["store", "--label=Countersign login key", "service", SERVICE, "login", id];
    return this.run(args, SAVE_TIMEOUT_MS, text);
  }

  protected read(id: string): Promise<string | undefined> {
    return this.run(["lookup", "service", SERVICE, "login", id], LOAD_TIMEOUT_MS);
  }

  protected erase(id: string): Promise<unknown> {
    return this.run(["clear", "service", SERVICE, "login", id], LOAD_TIMEOUT_MS);
  }
}

/** The macOS keychain. `-i` takes whole commands from stdin, so the secret is no argument of a process. */
class Security extends ToolKeychain {
  readonly name = "security";

  protected write(id: string, text: string): Promise<unknown> {
    const command = `add-generic-password -U -s ${SERVICE} -a ${id} -w ${text}\n`;
    return this.run(["-i"], SAVE_TIMEOUT_MS, command);
  }

  protected read(id: string): Promise<string | undefined> {
    return this.run(["find-generic-password", "-s", SERVICE, "-a", id, "-w"], LOAD_TIMEOUT_MS);
  }

  protected erase(id: string): Promise<unknown> {
    return this.run(["delete-generic-password", "-s", SERVICE, "-a", id], LOAD_TIMEOUT_MS);
  }
}

function requirePlain(id: string): void {
  if (!PLAIN.test(id)) throw new TypeError("keychain ids are base64url");
}

/** The platform's keychain, if it may have one; whether it works, `save` tells. */
export function platformKeychain(
  env: NodeJS.ProcessEnv,
  platform: NodeJS.Platform,
): Keychain | undefined {
  if (platform === "darwin") return new Security(env);
  return platform === "linux" ? new SecretTool(env) : undefined;
}
