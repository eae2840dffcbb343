// One data stream, and how its answers are read.
import type { CountersignError } from "@countersign/model";
import type { Runtime } from "@countersign/pipeline";
import type { PostAnswer } from "../../otlp/post.ts";
import { failureOf, haltedBy, jsonOf, notOurs, type SinkHealth } from "../http-failure.ts";
import type { HttpSink } from "../http-sink.ts";

/** Where events go. */
export interface Destination {
  readonly sink: HttpSink;
  readonly health: SinkHealth;
  readonly runtime: Runtime;
  /** Name of the data stream. */
  readonly stream: string;
  /** Who we are. */
  readonly headers: Readonly<Record<string, string>>;
}

/** What to do when it is not there. */
export const MAKE_IT =
  "apply the template of deploy/elastic and create it, as docs/guides/elastic.md says";

/**
 * The failure that a status means. Nothing but a size says anything of the events: a request that is not understood is one to the
 * wrong address, or a mistake of ours, and no reason to throw events away.
 */
export function failureOfStatus(answer: PostAnswer, to: Destination): CountersignError {
  const { status } = answer;
  if (status === 404)
    return haltedBy(to.health, `there is no data stream of this name; ${MAKE_IT}`);
  if (status === 400 || status === 422)
    return haltedBy(
      to.health,
      `the endpoint does not understand the request (${status}); is it Elasticsearch or OpenSearch?`,
    );
  return failureOf(answer, to.health, { credentials: "`api_key`, `basic` or `bearer_token`" });
}

/** A JSON answer to a request that only reads. `right`: what the user needs for it. */
export async function askFor(
  to: Destination,
  question: {
    readonly method: "GET" | "POST" | "DELETE";
    readonly path: string;
    readonly body?: object;
    readonly right: string;
    readonly signal: AbortSignal;
  },
): Promise<Readonly<Record<string, unknown>>> {
  const { method, path, body, right, signal } = question;
  const answer = await to.sink.send({
    method,
    path,
    headers: {
      ...to.headers,
      accept: "application/json",
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    parts: body === undefined ? [] : [Buffer.from(JSON.stringify(body), "utf8")],
    compressed: false,
    signal,
  });
  if (answer.status === 403)
    throw haltedBy(to.health, `the user may not do all that is needed (403); grant ${right}`);
  // A question says nothing of events: that something refuses it must not cost one.
  if (answer.status === 413)
    throw haltedBy(
      to.health,
      "a proxy refuses our question for its size (413); let 64 KiB through",
    );
  if (answer.status !== 200) throw failureOfStatus(answer, to);
  const value = jsonOf(answer);
  if (value === undefined) throw notOurs(answer, to.health, "Elasticsearch or OpenSearch");
  return value;
}
