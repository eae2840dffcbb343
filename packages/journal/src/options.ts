import type {
  Durability,
  GateKind,
  Logger,
  Mode,
  SdkCoverage,
  ServerInfo,
} from "@countersign/model";
import type { Clock } from "./clock.ts";
import type { JournalFs } from "./fs.ts";
import type { Poster } from "./ship/post.ts";
import type { ShipOptions } from "./ship/ship-options.ts";

/** What the `start` event of each epoch says of this emitter. Read when an epoch opens, so late knowledge gets in. */
export interface EpochInfo {
  readonly tenant: string;
  readonly mode: Mode;
  readonly durability: Durability;
  readonly gate: GateKind;
  readonly server: ServerInfo;
  readonly policy: { readonly digest: string; readonly default: "deny" };
  readonly runtime: { readonly countersign: string; readonly node: string; readonly os: string };
  /** MCP SDK copies found by now. */
  coverage(): { readonly sdks: readonly SdkCoverage[] };
}

/** Bounds. Each has a default and a behaviour at the limit. */
export interface JournalLimits {
  /** Events that may wait for the disk: 10,000. Over it appends reject OVERLOADED. */
  readonly maxWaiting: number;
  /** Bytes that may wait for the disk: 64 MiB. Over it appends reject OVERLOADED. */
  readonly maxWaitingBytes: number;
  /** Longest time for which an event that nobody waits for is kept for the sync of another: 10. Then it gets its own. */
  readonly gatherMs: number;
  /** Size at which a segment is closed and the next begins: 16 MiB. */
  readonly segmentBytes: number;
  /** Space for all epochs of the emitter: 1 GiB. At it appends reject UNAVAILABLE until something was shipped. */
  readonly diskBytes: number;
  /** Space set aside on the disk, so that `start`, `lost` and `stop` can be written when it is full: 256 KiB. */
  readonly reserveBytes: number;
}

/** Defaults of {@link JournalLimits}. */
export const DEFAULT_LIMITS: JournalLimits = {
  maxWaiting: 10_000,
  maxWaitingBytes: 64 * 1024 * 1024,
  gatherMs: 10,
  segmentBytes: 16 * 1024 * 1024,
  diskBytes: 1024 * 1024 * 1024,
  reserveBytes: 256 * 1024,
};

/** What a journal needs. */
export interface JournalOptions {
  /** The `journal/` directory inside the state directory; made if absent, mode 0700. On a local disk. */
  readonly directory: string;
  /** Name of the emitter. Absent: `COUNTERSIGN_EMITTER`, else the name kept in the directory. */
  readonly emitter?: string;
  readonly epoch: EpochInfo;
  readonly fs?: JournalFs;
  readonly clock?: Clock;
  readonly log?: Logger;
  readonly limits?: Partial<JournalLimits>;
  readonly ship?: ShipOptions;
  /** The one port to the network. Absent: HTTP(S) requests. */
  readonly connect?: (ship: ShipOptions) => Poster;
  /** A heartbeat follows each such time in which something was appended, and every sixtieth without: 60,000. */
  readonly heartbeatMs?: number;
  /** An epoch that no append opened opens after this time of life: 5,000. */
  readonly openAfterMs?: number;
  /** Shortest time between a fault and the next epoch: 1,000; doubles up to thirty times of it. */
  readonly reopenAfterMs?: number;
  readonly env?: NodeJS.ProcessEnv;
}
