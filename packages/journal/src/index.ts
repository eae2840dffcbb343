export type { AppendOptions, Journal, JournalStatus, ShippingState } from "./api.ts";
export { type Clock, systemClock } from "./clock.ts";
export { crc32c } from "./crc32c.ts";
export {
  decodeFrame,
  type Decoded,
  encodeFrame,
  findFrame,
  type Frame,
  FRAME_HEADER_BYTES,
  HEADER_MAGIC,
  MAX_FRAME_BODY_BYTES,
  RECORD_MAGIC,
  writeFrame,
} from "./frames.ts";
export { type JournalFile, type JournalFs, nodeFs, type OpenMode, type PathInfo } from "./fs.ts";
export { readRange } from "./read-range.ts";
export { type EndRecord } from "./end-record.ts";
export { type Position, type SeqRange, type TornTail } from "./epoch-reader.ts";
export {
  emitterUses,
  type EmitterUse,
  type EpochListing,
  follow,
  type FollowOptions,
  type JournalEntry,
  listEpochs,
  readEpoch,
  type ReadEpochOptions,
} from "./inspect.ts";
export { createJournal } from "./journal.ts";
export {
  DEFAULT_LIMITS,
  type EpochInfo,
  type JournalLimits,
  type JournalOptions,
} from "./options.ts";
export type { ShipOptions, ShipTls } from "./ship/ship-options.ts";
export { shipAll, type ShipAllOptions } from "./ship/ship-all.ts";
export { type JournalFinding, type JournalVerification, verifyJournal } from "./verify.ts";
