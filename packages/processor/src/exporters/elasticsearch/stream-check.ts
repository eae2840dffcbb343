// Is there a data stream, and does it keep what comes into it as it should?
import { haltedBy } from "../http-failure.ts";
import { askFor, type Destination, MAKE_IT } from "./destination.ts";

/** Looks before the first event. */
export interface StreamCheck {
  /** Resolves when it is as it must be; asks only until it was once. Rejects as `consume` does. */
  check(signal: AbortSignal): Promise<void>;
  /** An answer showed that it is not any more. */
  doubt(): void;
}

interface Mappings {
  readonly dynamic?: unknown;
  readonly _data_stream_timestamp?: unknown;
}

/**
 * A stream that nobody made would be made by the first event, of whatever template fits its name; without one it would be a plain
 * index, with a field for every member that ever came. So it has to be there.
 */
export function createStreamCheck(to: Destination): StreamCheck {
  let isSeen = false;
  let isWarned = false;
  return {
    async check(signal) {
      if (isSeen) return;
      const indexes = await askFor(to, {
        method: "GET",
        path: `/${to.stream}/_mapping?filter_path=*.mappings.dynamic,*.mappings._data_stream_timestamp`,
        right: `view_index_metadata (OpenSearch: indices:admin/mappings/get) on ${to.stream}`,
        signal,
      });
      const mappings = Object.entries(indexes)
        .toSorted(([one], [other]) => (one < other ? -1 : 1))
        .map(([, index]) => (index as { mappings?: Mappings } | null)?.mappings);
      // The newest backing index is the one that is written to.
      const newest = mappings.at(-1);
      if (newest?.["_data_stream_timestamp"] === undefined)
        throw haltedBy(to.health, `${to.stream} is no data stream; ${MAKE_IT}`);
      if (!isWarned && newest.dynamic !== "false" && newest.dynamic !== "strict") {
        isWarned = true;
        to.runtime.log.warn(
          "the data stream makes a field of every member it does not know; apply the template of deploy/elastic and roll over",
          { stream: to.stream },
        );
      }
      isSeen = true;
    },
    doubt: () => {
      isSeen = false;
    },
  };
}
