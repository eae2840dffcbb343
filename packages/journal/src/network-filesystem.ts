// A journal on a network file system is none: another machine's cache decides when a write is durable, and process ids
// in a lease mean nothing across machines. `statfs` types are Linux's (statfs(2), linux/magic.h).
import { CountersignError } from "@countersign/model";
import type { JournalFs } from "./fs.ts";

const REFUSED: ReadonlyMap<number, string> = new Map([
  [0x6969, "NFS"],
  [0x517b, "SMB"],
  [0xff534d42, "CIFS"],
  [0xfe534d42, "SMB2"],
  [0x01021997, "9P"],
  [0x5346414f, "AFS"],
  [0x73757245, "Coda"],
  [0x00c36400, "Ceph"],
  [0x0bd00bd0, "Lustre"],
  [0x47504653, "GPFS"],
  [0x7461636f, "OCFS2"],
  [0x01161970, "GFS2"],
]);

/** Rejects CONFIG_INVALID if `directory`, which exists, is on a network file system. Checked on Linux only. */
export async function refuseNetworkFilesystem(fs: JournalFs, directory: string): Promise<void> {
  if (process.platform !== "linux") return;
  // statfs types are 32 bits that some kernels sign-extend.
  const type = (await fs.filesystemType(directory)) >>> 0;
  const name = REFUSED.get(type);
  if (name === undefined) return;
  throw new CountersignError(
    "CONFIG_INVALID",
    `journal: the state directory is on ${name}, a network file system, where nothing can be made durable. ` +
      "Set COUNTERSIGN_STATE_DIR to a directory on a local disk.",
  );
}
