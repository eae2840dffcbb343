import { CountersignError } from "@countersign/model";
import { haltedBy, jsonOf, type SinkHealth } from "../http-failure.ts";
import type { HttpSink } from "../http-sink.ts";
import { failureOfCode, readHecAnswer } from "./answer.ts";
import type { Channel } from "./channel.ts";

/** Where to ask. */
export interface AckQuestion {
  readonly sink: HttpSink;
  readonly health: SinkHealth;
  /** Headers with the token. */
  readonly headers: () => Readonly<Record<string, string>>;
}

/** Asks by POST /services/collector/ack which numbers of a channel are indexed. False means pending, or unknown: HEC does not say which. */
export async function askAcks(
  { sink, health, headers }: AckQuestion,
  about: { channel: Channel; ids: readonly number[]; signal: AbortSignal },
): Promise<readonly number[]> {
  const { channel, ids, signal } = about;
  const answer = await sink.send({
    path: `/services/collector/ack?channel=${channel.id}`,
    headers: { ...headers(), ...channel.headers(), "content-type": "application/json" },
    parts: [Buffer.from(JSON.stringify({ acks: ids }))],
    compressed: false,
    signal,
  });
  channel.learn(answer.setCookie);
  const json = jsonOf(answer);
  const acks = json?.["acks"];
  if (answer.status === 200 && typeof acks === "object" && acks !== null) {
    const known = acks as Readonly<Record<string, unknown>>;
    return ids.filter((id) => known[id] === true);
  }
  const code = json?.["code"];
  if (code === 11) throw new ChannelGone(failureOfCode(code, answer, health));
  const read = readHecAnswer(answer, health);
  if (read.kind === "failed") throw read.error;
  // An endpoint without acknowledgements takes the question for an event.
  throw notAcknowledging(health);
}

/** Who wants to be told when events are indexed never is. */
export function notAcknowledging(health: SinkHealth): CountersignError {
  return haltedBy(
    health,
    "Splunk gives no acknowledgement; switch indexer acknowledgement on for the token, or set `acknowledge: false`",
  );
}

/** Whether a question failed because Splunk does not know its channel: what waits in it has to be sent again. */
export function isChannelGone(error: unknown): boolean {
  return error instanceof ChannelGone;
}

class ChannelGone extends CountersignError {
  constructor(cause: CountersignError) {
    super(cause.code, cause.message, { cause });
  }
}
