// Indexer acknowledgement of the fake HEC: numbers count within a channel, `true` is said once.

/** When an indexer has what it was sent: after that many questions, never, or there is no such thing for the token. */
export type AckMode = "off" | "never" | { readonly afterQuestions: number };

interface Given {
  asked: number;
  isTold: boolean;
}

/** What the indexer remembers. */
export interface AckLedger {
  give(channel: string, violate: (what: string) => void): number;
  /** Whether it is indexed; undefined for a channel that was never used. */
  ask(channel: string, id: number, mode: AckMode): boolean | undefined;
  isKnown(channel: string, id: number): boolean;
  restart(): void;
}

const GUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i;

export function createAckLedger(): AckLedger {
  let channels = new Map<string, Given[]>();
  const ever = new Map<string, number>();
  return {
    give(channel, violate) {
      if (!GUID.test(channel)) violate("a channel that is no GUID");
      const given = channels.get(channel) ?? [];
      channels.set(channel, given);
      given.push({ asked: 0, isTold: false });
      ever.set(channel, Math.max(ever.get(channel) ?? 0, given.length));
      return given.length - 1;
    },
    ask(channel, id, mode) {
      const given = channels.get(channel);
      const one = given?.[id];
      if (given === undefined) return undefined;
      if (one === undefined || one.isTold || typeof mode === "string") return false;
      one.asked += 1;
      one.isTold = one.asked > mode.afterQuestions;
      return one.isTold;
    },
    isKnown: (channel, id) => id < (ever.get(channel) ?? 0),
    restart: () => void (channels = new Map()),
  };
}

/** Answers POST /services/collector/ack. Number 0 of a channel without requests is our question whether there are acknowledgements. */
export function ackAnswer(about: {
  ledger: AckLedger;
  mode: AckMode;
  channel: string | undefined;
  body: Buffer;
  say: (status: number, body: object) => void;
  violate: (what: string) => void;
}): void {
  const { ledger, mode, channel, body, say, violate } = about;
  if (mode === "off") return say(400, { text: "ACK is disabled", code: 14 });
  const { acks } = JSON.parse(body.toString("utf8")) as { acks?: unknown };
  if (channel === undefined || !Array.isArray(acks) || acks.length === 0) {
    violate("a question without channel or numbers");
    return say(400, { text: "Invalid data format", code: 6 });
  }
  const answers: Record<string, boolean> = {};
  for (const id of acks as number[]) {
    const isFirst = id === 0 && acks.length === 1;
    if (!isFirst && !ledger.isKnown(channel, id)) violate(`nobody gave number ${id}`);
    const indexed = ledger.ask(channel, id, mode);
    if (indexed === undefined && !isFirst)
      return say(400, { text: "Invalid data channel", code: 11 });
    answers[id] = indexed ?? false;
  }
  say(200, { acks: answers });
}
