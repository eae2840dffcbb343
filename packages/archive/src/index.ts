export { openArchive } from "./open-archive.ts";
export type { AppendResult, ArchiveLog, ArchiveStatus, PositionedEvent } from "./log.ts";
export type { ArchiveOptions } from "./open-archive.ts";
export { openArchiveView } from "./view.ts";
export type { ArchiveView } from "./view.ts";
export { openIndex } from "./event-index.ts";
export type {
  ArchiveIndex,
  DecisionDetail,
  FindingPage,
  IndexOptions,
  OutcomeNotice,
} from "./event-index.ts";
export type { ChainLink, ChainView, LinkState } from "./chain-view.ts";
export { PAGE_MAX_ROWS, SEARCH_MAX_ROWS } from "./index-query.ts";
export type { DecisionFilter, DecisionPage, PageRequest } from "./index-query.ts";
export type { DecisionRow, OutcomeSummary } from "./index-row.ts";
export { STATS_MAX_BUCKETS } from "./stats.ts";
export type { Stats, StatsBucket, StatsRequest } from "./stats.ts";
