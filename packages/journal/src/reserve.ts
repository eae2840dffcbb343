// Space set aside while there is some, so that the last events fit on a full disk: `start` of a new epoch, `lost`,
// `stop`. Random bytes, since a file system may keep zeros for free and then has none to give back.
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { JournalFs } from "./fs.ts";
import { appendAll } from "./whole-file.ts";

/** Space on the disk that only the end of an epoch may use. */
export interface Reserve {
  /** Makes the file if there is none. Never rejects: without space there is none to set aside. */
  fill(emitterPath: string): Promise<void>;
  /** Gives the space back to the disk. Never rejects. */
  spend(emitterPath: string): Promise<void>;
}

function pathOf(emitterPath: string): string {
  return join(emitterPath, "reserve");
}

/** A reserve of `bytes`; 0: none. */
export function createReserve(fs: JournalFs, bytes: number): Reserve {
  return {
    fill: async (emitterPath) => {
      const path = pathOf(emitterPath);
      try {
        if (bytes === 0 || (await fs.info(path)) !== undefined) return;
        const file = await fs.open(path, "create");
        try {
          await appendAll(file, randomBytes(bytes));
          await file.sync();
        } finally {
          await file.close();
        }
      } catch {
        await fs.remove(path).catch(() => undefined);
      }
    },
    spend: async (emitterPath) => {
      await fs.remove(pathOf(emitterPath)).catch(() => undefined);
    },
  };
}
