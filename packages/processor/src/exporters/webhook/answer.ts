// What a receiver of a webhook says. This protocol is ours, so only what a receiver says on purpose is final.
import type { PostAnswer } from "../../otlp/post.ts";
import type { Verdict } from "../deliver.ts";
import { awayBy, failureOf, haltedBy, retryAfter, type SinkHealth } from "../http-failure.ts";

/**
 * 2xx: taken. 413: fewer at once. 422: something in it is refused for good. Everything else waits and is sent again; 400 as well, since
 * receivers answer it to a signature that they cannot verify. 409 says that a request with this key is still being worked on.
 */
export function readWebhookAnswer(answer: PostAnswer, health: SinkHealth): Verdict {
  const { status } = answer;
  if (status >= 200 && status < 300) return { kind: "taken" };
  if (status === 413) return { kind: "too_large" };
  if (status === 422) return { kind: "refused", reason: "webhook_422" };
  if (status === 409) {
    const detail = "the receiver still works on this request (409)";
    throw awayBy(health, detail, retryAfter(answer));
  }
  if (status === 410) throw haltedBy(health, "the receiver is gone for good (410); remove it");
  if (status === 400) {
    throw haltedBy(
      health,
      "the receiver refuses the request (400); does it know the signing key, and the format?",
    );
  }
  throw failureOf(answer, health, { credentials: "`headers` and `keys`" });
}
