import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { OS_ISSUER } from "@countersign/model";
import type { IdentityResult, ResolverStep } from "./resolver.ts";

/** The account a process runs as. */
export interface OsAccount {
  readonly uid: number;
  /** Login shell, where the system knows one. */
  readonly shell?: string;
}

const NOBODY = 65_534;
/** Login accounts start here: `UID_MIN` of login.defs on Linux, 501 on macOS. Below are the system's own. */
const FIRST_LOGIN_UID = process.platform === "darwin" ? 501 : 1000;
const NO_LOGIN_SHELL = /\/(nologin|false|sync|halt|shutdown)$/;
const MACHINE_ID_FILES = ["/etc/machine-id", "/var/lib/dbus/machine-id"];

/**
 * The account that runs the process, on stdio only: over HTTP it is the server's account and says nothing of the caller.
 * uid 0 and service accounts are no human. The account is read once: a process that changes its uid later keeps the
 * answer it started with, so look before dropping privileges (a root start gives none, and none it stays).
 */
export function osUserResolver(
  account: () => OsAccount | undefined = currentAccount,
): ResolverStep {
  let known: IdentityResult | "none" | undefined;
  return (evidence) => {
    if (evidence.transport !== "stdio") return undefined;
    known ??= osHuman(account()) ?? "none";
    return known === "none" ? undefined : known;
  };
}

/**
 * The subject is the uid, never the login name: names are not sealed (contract, section 3). A uid means something on one
 * machine only, so the issuer names the machine, by an identifier that gives away neither its host name nor its
 * machine-id: systemd asks for exactly this keyed hash when the id leaves the machine (machine-id(5)).
 */
function osHuman(account: OsAccount | undefined): IdentityResult | undefined {
  if (account === undefined || !isPerson(account)) return undefined;
  return {
    kind: "human",
    human: {
      issuer: `${OS_ISSUER}:${machineName()}`,
      subject: String(account.uid),
      assurance: "os_user",
      method: "os_account",
    },
  };
}

function isPerson({ uid, shell }: OsAccount): boolean {
  if (!Number.isSafeInteger(uid) || uid < FIRST_LOGIN_UID || uid === NOBODY) return false;
  return shell === undefined || !NO_LOGIN_SHELL.test(shell);
}

/** Nothing on platforms without uids, for a setuid process, and for a uid that the system has no account for (containers). */
function currentAccount(): OsAccount | undefined {
  const uid = process.getuid?.();
  if (uid === undefined || uid !== process.geteuid?.()) return undefined;
  try {
    const info = userInfo();
    if (info.uid !== uid) return undefined;
    return info.shell === null ? { uid } : { uid, shell: info.shell };
  } catch {
    return undefined;
  }
}

function machineName(): string {
  for (const file of MACHINE_ID_FILES) {
    try {
      const id = readFileSync(file, "utf8").trim();
      if (/^[0-9a-f]{32}$/.test(id)) {
        return createHmac("sha256", id).update(OS_ISSUER).digest("hex").slice(0, 32);
      }
    } catch {
      // The next file, or none: not every system has a machine-id.
    }
  }
  return "local";
}
