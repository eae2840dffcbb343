// Who may touch an epoch's directory. `lease.<generation>` names a process; whoever made a new generation while every
// other was dead holds the directory. A generation is made exclusively and never overwritten, so two processes that
// find the same dead holder cannot both succeed; after making one, the maker looks again and backs off if anybody else
// is alive (both may: each tries again later). The writer of an epoch holds generation 0.
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { type JournalFs, systemCode } from "./fs.ts";
import { listOrNone, NO_DIRECTORY } from "./layout.ts";
import { type ProcessIdentity, processState, thisProcess } from "./process-identity.ts";
import { createExclusive, readJson } from "./whole-file.ts";

const LEASE_NAME = /^lease\.(\d{1,9})$/;
/** How often a holder shows that it lives, to those who cannot see its process. */
export const LEASE_RENEW_MS = 15_000;
/** Age at which a lease whose process cannot be seen counts as abandoned. */
export const LEASE_STALE_MS = 120_000;

/** The right to touch one epoch's directory. */
export interface Lease {
  /** Shows that the holder lives; false if the lease is gone, so the directory is no longer ours. */
  renew(): Promise<boolean>;
  /** Gives the directory back. Never rejects: a lease that cannot be removed dies with this process. */
  release(): Promise<void>;
}

interface Found {
  readonly path: string;
  readonly generation: number;
  readonly live: boolean;
}

function identityOf(content: Record<string, unknown> | undefined): ProcessIdentity | undefined {
  if (content === undefined || !Number.isSafeInteger(content["pid"])) return undefined;
  return content as unknown as ProcessIdentity;
}

async function look(fs: JournalFs, path: string, nowMs: number): Promise<boolean> {
  const holder = identityOf(await readJson(fs, path));
  // Leases appear whole: one that says nothing was torn by a power cut, and nothing lives through that.
  if (holder === undefined) return false;
  const state = processState(holder);
  if (state !== "unknown") return state === "running";
  const modifiedMs = (await fs.info(path))?.modifiedMs;
  return modifiedMs !== undefined && nowMs - modifiedMs < LEASE_STALE_MS;
}

async function findLeases(fs: JournalFs, epochPath: string): Promise<Found[]> {
  const generations = (await listOrNone(fs, epochPath))
    .flatMap((name) => LEASE_NAME.exec(name)?.[1] ?? [])
    .map(Number)
    .toSorted((a, b) => a - b);
  const nowMs = Date.now();
  const found: Found[] = [];
  for (const generation of generations) {
    const path = leasePath(epochPath, generation);
    found.push({ path, generation, live: await look(fs, path, nowMs) });
  }
  return found;
}

function leasePath(epochPath: string, generation: number): string {
  return join(epochPath, `lease.${generation}`);
}

/** Whether some process holds the directory. */
export async function isHeld(fs: JournalFs, epochPath: string): Promise<boolean> {
  return (await findLeases(fs, epochPath)).some((lease) => lease.live);
}

/** Takes the directory if nobody alive holds it; undefined if somebody does. */
export async function acquireLease(fs: JournalFs, epochPath: string): Promise<Lease | undefined> {
  const before = await findLeases(fs, epochPath);
  if (before.some((lease) => lease.live)) return undefined;
  const generation = (before.at(-1)?.generation ?? -1) + 1;
  const path = leasePath(epochPath, generation);
  const token = randomBytes(8).toString("hex");
  const text = `${JSON.stringify({ token, ...thisProcess() })}\n`;
  try {
    if (!(await createExclusive(fs, path, { text, durable: false }))) return undefined;
  } catch (error) {
    // Drained and removed meanwhile; or what has the name of an epoch is no directory.
    if (NO_DIRECTORY.has(systemCode(error))) return undefined;
    throw error;
  }
  const others = (await findLeases(fs, epochPath)).filter(
    (lease) => lease.generation !== generation,
  );
  if (others.some((lease) => lease.live)) {
    await removeQuietly(fs, path);
    return undefined;
  }
  return holdLease(fs, { path, token, below: others.map((lease) => lease.path) });
}

function holdLease(
  fs: JournalFs,
  held: { readonly path: string; readonly token: string; readonly below: readonly string[] },
): Lease {
  return {
    renew: async () => {
      const content = await readJson(fs, held.path);
      if (content?.["token"] !== held.token) return false;
      await fs.touch(held.path);
      return true;
    },
    release: async () => {
      // Dead generations first: as long as ours stands, nobody takes their place.
      for (const path of held.below) await removeQuietly(fs, path);
      await removeQuietly(fs, held.path);
    },
  };
}

async function removeQuietly(fs: JournalFs, path: string): Promise<void> {
  try {
    await fs.remove(path);
  } catch {
    // Gone already, or the disk refuses: then the lease dies with this process.
  }
}
