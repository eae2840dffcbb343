// Ships a journal from outside its processes: what is there and nobody holds, once. For `countersign ship`, after a last process has
// gone, and for whoever wants the disk free before it is thrown away.
import { CountersignError, type Logger, stderrLogger } from "@countersign/model";
import { type JournalFs, nodeFs } from "../fs.ts";
import type { ShipOptions } from "./ship-options.ts";
import { drainAbandoned } from "./drain.ts";
import { createPoster } from "./post.ts";
import { createSender, type Sender } from "./sender.ts";

/** What to ship, and where. */
export interface ShipAllOptions {
  readonly directory: string;
  readonly ship: ShipOptions;
  /** Only epochs of this tenant. Absent: of all. */
  readonly tenant?: string;
  readonly log?: Logger;
  readonly fs?: JournalFs;
  readonly signal: AbortSignal;
}

/**
 * Ships every epoch that no living process holds, oldest first, and deletes what the receiver has taken. An epoch in which
 * records are unreadable is left to the next process of the emitter, which can record that. Resolves with the number of events
 * that were taken; rejects UNAVAILABLE when the receiver cannot be reached, REJECTED when it refuses.
 */
export async function shipAll(options: ShipAllOptions): Promise<number> {
  const { fs = nodeFs, log = stderrLogger("journal"), directory, tenant, signal } = options;
  const poster = createPoster(options.ship);
  const sender = createSender(poster, log, () => undefined);
  // A receiver that cannot be reached ends the round; one that answers 503 is waited for.
  sender.hurry();
  let shipped = 0;
  const counting: Sender = {
    state: sender.state,
    hurry: () => sender.hurry(),
    send: async (records, resource, until) => {
      await sender.send(records, resource, until);
      shipped += records.length;
    },
  };
  const draining = {
    fs,
    log,
    directory,
    sender: counting,
    tenant,
    reportLost: () =>
      Promise.reject(
        new CountersignError("UNAVAILABLE", "journal: records are unreadable; see journal verify"),
      ),
    onAcknowledged: () => undefined,
  };
  try {
    await drainAbandoned(draining, signal);
  } catch (error) {
    if (signal.aborted || !(error instanceof CountersignError) || error.code !== "CANCELLED")
      throw error;
    throw new CountersignError("UNAVAILABLE", `journal: ${poster.target} cannot be reached`, {
      cause: error,
    });
  } finally {
    poster.close();
  }
  return shipped;
}
