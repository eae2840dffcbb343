import { openArchive } from "@countersign/archive";
import type { SealedEvent } from "@countersign/model";

/** As config/embedded.yaml has it. */
const ORIGIN = "countersign.local/default";

/** Every event of an embedded service's archive, once the service has stopped. */
export async function archivedEvents(directory: string): Promise<readonly SealedEvent[]> {
  const log = await openArchive({ directory, origin: ORIGIN });
  try {
    const events: SealedEvent[] = [];
    while (BigInt(events.length) < log.size) {
      const entries = await log.read(BigInt(events.length), 1024);
      events.push(...entries.map(({ event }) => event));
    }
    return events;
  } finally {
    await log.close();
  }
}
