import { expect, test } from "vitest";
import { faultOf, kafkaError } from "./kafka-fault.ts";
import { loadKafkajs } from "./kafkajs-patched.ts";

const kafkajs = loadKafkajs();
const protocol = (type: string, retriable = false): Error =>
  new kafkajs.KafkaJSProtocolError({ type, code: 1, retriable, message: "secret-host" } as never);

test.each([
  ["MESSAGE_TOO_LARGE", "too_large", "REJECTED"],
  ["RECORD_LIST_TOO_LARGE", "too_large", "REJECTED"],
  ["INVALID_RECORD", "rejected", "REJECTED"],
  ["INVALID_TIMESTAMP", "clock", "UNAVAILABLE"],
  ["OUT_OF_ORDER_SEQUENCE_NUMBER", "sequence", "UNAVAILABLE"],
  ["UNKNOWN_PRODUCER_ID", "sequence", "UNAVAILABLE"],
  ["TOPIC_AUTHORIZATION_FAILED", "forbidden", "UNAVAILABLE"],
  ["SASL_AUTHENTICATION_FAILED", "forbidden", "UNAVAILABLE"],
  ["UNKNOWN_TOPIC_OR_PARTITION", "missing", "UNAVAILABLE"],
  ["NOT_ENOUGH_REPLICAS", "transient", "UNAVAILABLE"],
  ["NOT_LEADER_FOR_PARTITION", "transient", "UNAVAILABLE"],
  ["KAFKA_STORAGE_ERROR", "transient", "UNAVAILABLE"],
])("%s is %s, for the caller %s", (type, kind, code) => {
  const wrapped = new kafkajs.KafkaJSNonRetriableError(protocol(type));
  Object.assign(wrapped, { cause: protocol(type) });
  expect(faultOf(wrapped)).toEqual({ kind, type });
  const error = kafkaError("main", "cannot write to t/0", wrapped);
  expect(error.code).toBe(code);
  expect(error.message).toMatch(new RegExp(`^main: cannot write to t/0 \\(${type}\\); `));
  expect(error.message).not.toContain("secret");
});

test("of the network the system's code is told, and of a wrapper its name if there is nothing better", () => {
  const refused = new kafkajs.KafkaJSConnectionError("Connection error: connect", {
    code: "ECONNREFUSED",
  });
  expect(faultOf(refused)).toEqual({ kind: "transient", type: "ECONNREFUSED" });
  const timeout = new kafkajs.KafkaJSRequestTimeoutError("Request timed out", {} as never);
  expect(faultOf(timeout)).toEqual({ kind: "transient", type: "KafkaJSRequestTimeoutError" });
  expect(faultOf("what")).toEqual({ kind: "transient", type: "unknown" });
});
