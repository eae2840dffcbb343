// Appends that came before there was an epoch: not sealed yet, told when one is open, or when none could be opened.
import type { EventDraft, SealedEvent } from "@countersign/model";
import type { AppendOptions } from "./api.ts";
import type { EpochWriter } from "./epoch-writer.ts";

/** Most that may wait: their bytes are not known yet, and an event may have 32 KiB. */
const MAX_WAITING = 2_048;

interface Waiting {
  readonly draft: EventDraft;
  readonly options: AppendOptions | undefined;
  resolve(sealed: SealedEvent): void;
  reject(error: unknown): void;
}

/** First come, first sealed. */
export interface WaitingLine {
  readonly full: boolean;
  join(draft: EventDraft, options?: AppendOptions): Promise<SealedEvent>;
  /** All of them, to the epoch that opened. */
  passOn(writer: EpochWriter): void;
  refuse(error: Error): void;
}

/** An empty line. */
export function createWaitingLine(): WaitingLine {
  let line: Waiting[] = [];
  const leave = (): Waiting[] => {
    const all = line;
    line = [];
    return all;
  };
  return {
    get full() {
      return line.length >= MAX_WAITING;
    },
    join: (draft, options) =>
      new Promise((resolve, reject) => {
        line.push({ draft, options, resolve, reject });
      }),
    passOn: (writer) => {
      for (const each of leave()) {
        writer.append(each.draft, each.options).then(
          (sealed) => each.resolve(sealed),
          (error: unknown) => each.reject(error),
        );
      }
    },
    refuse: (error) => {
      for (const each of leave()) each.reject(error);
    },
  };
}
