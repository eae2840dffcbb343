import { join } from "node:path";
import type { JWK } from "jose";
import { stateDirectory } from "../state-directory.ts";
import { type Keychain, platformKeychain } from "./keychain.ts";
import { withLock } from "./lock.ts";
import { loginError } from "./login-error.ts";
import { type LoginKey, readLoginKey } from "./login-key.ts";
import {
  ensurePrivateDirectory,
  readPrivate,
  removeFile,
  removeLeftovers,
  requirePrivateDirectory,
  writePrivate,
} from "./private-file.ts";
import { type KeyPlace, parseLogin, type StoredLogin } from "./stored-login.ts";

/** Where logins are kept. The commands leave all of this to its defaults, so that they and what they start find the same login. */
export interface StoreOptions {
  /** Default `process.env`. */
  readonly env?: NodeJS.ProcessEnv;
  /** For tests. Default: `stateDirectory(env)`. */
  readonly stateDirectory?: string;
  /** For tests: whose keychain and browser are looked for. Default `process.platform`. */
  readonly platform?: NodeJS.Platform;
}

/**
 * The one login of this user on this machine. Everything rejects `CONFIG_INVALID` when others could read or replace it; what writes
 * rejects `UNAVAILABLE`, with the system's error as its cause, when that cannot be done.
 */
export interface LoginStore {
  readonly file: string;
  /** Makes the directory and holds it against its mode and owner. */
  prepare(): Promise<void>;
  read(): Promise<StoredLogin | undefined>;
  write(login: StoredLogin): Promise<void>;
  /** The file; the key is {@link forgetKey}'s. */
  remove(): Promise<void>;
  /** One process at a time. Rejects `UNAVAILABLE` when the signal ends the wait. */
  exclusively<T>(signal: AbortSignal, run: () => Promise<T>): Promise<T>;
  /** Into the keychain, if there is one that works; else into the file, with the login. */
  keepKey(key: LoginKey, useKeychain: boolean): Promise<KeyPlace>;
  /** Rejects `UNAVAILABLE` when the keychain does not give it. */
  loadKey(login: StoredLogin): Promise<LoginKey>;
  forgetKey(place: KeyPlace): Promise<void>;
}

class FileStore implements LoginStore {
  readonly file: string;
  readonly #directory: string;
  readonly #keychain: Keychain | undefined;

  constructor(directory: string, keychain: Keychain | undefined) {
    this.#directory = directory;
    this.file = join(directory, "login.json");
    this.#keychain = keychain;
  }

  prepare(): Promise<void> {
    return ensurePrivateDirectory(this.#directory);
  }

  async read(): Promise<StoredLogin | undefined> {
    if (!(await requirePrivateDirectory(this.#directory))) return undefined;
    const text = await readPrivate(this.file);
    return text === undefined ? undefined : parseLogin(text);
  }

  write(login: StoredLogin): Promise<void> {
    return writePrivate(this.file, `${JSON.stringify(login, undefined, 2)}\n`);
  }

  async remove(): Promise<void> {
    await removeFile(this.file);
    await removeLeftovers(this.#directory);
  }

  exclusively<T>(signal: AbortSignal, run: () => Promise<T>): Promise<T> {
    return withLock(join(this.#directory, "login.lock"), signal, run);
  }

  async keepKey({ jwk, jkt }: LoginKey, useKeychain: boolean): Promise<KeyPlace> {
    if (useKeychain && this.#keychain !== undefined) {
      const id = `key-${jkt}`; // a thumbprint alone may begin like an option
      const kept = await this.#keychain.save(id, JSON.stringify(jwk));
      if (kept) return { kind: "keychain", tool: this.#keychain.name, id };
    }
    return { kind: "file", jwk };
  }

  async loadKey({ key, jkt }: StoredLogin): Promise<LoginKey> {
    const loaded = await readLoginKey(
      key.kind === "file" ? key.jwk : await this.#fromKeychain(key),
    );
    if (loaded.jkt === jkt) return loaded;
    throw loginError("CONFIG_INVALID", "the stored key is not that of the login; log in again");
  }

  async forgetKey(place: KeyPlace): Promise<void> {
    if (place.kind === "keychain") await this.#keychain?.remove(place.id);
  }

  async #fromKeychain(place: KeyPlace & { readonly kind: "keychain" }): Promise<JWK> {
    const text = await this.#keychain?.load(place.id);
    try {
      return JSON.parse(text ?? "") as JWK;
    } catch {
      throw loginError(
        "UNAVAILABLE",
        "the keychain does not give the login key: unlock it, or run countersign login",
      );
    }
  }
}

/** The store in `<state directory>/login`. Nothing is made before {@link LoginStore.prepare}. */
export function createLoginStore(options: StoreOptions = {}): LoginStore {
  const { env = process.env, platform = process.platform } = options;
  const directory = join(options.stateDirectory ?? stateDirectory(env), "login");
  return new FileStore(directory, platformKeychain(env, platform));
}
