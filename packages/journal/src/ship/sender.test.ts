import { CountersignError, errorCode } from "@countersign/model";
import { expect, test } from "vitest";
import type { SegmentHeader } from "../segment.ts";
import { type RecordingLogger, recordingLogger } from "../testing/journal-fixture.ts";
import { createRandom } from "../testing/random.ts";
import { SimulatedTime } from "../testing/simulated-time.ts";
import type { EncodedRecord } from "./otlp-logs.ts";
import type { Answer } from "./post.ts";
import { createSender, type Sender } from "./sender.ts";

const HEADER: SegmentHeader = {
  format: 1,
  emitter: "origin",
  epoch: "8ca74318d50c4c1be14ceba89d191e69",
  epochNumber: 3,
  segment: 0,
  firstSeq: 0,
  prev: "0".repeat(64),
  tenant: "acme",
  service: { name: "tickets" },
  producer: "0.1.0",
};
const RECORDS: readonly EncodedRecord[] = [0, 1, 2, 3, 4].map((seq) => ({
  seq,
  before: `{"n":${seq},"t":"`,
  after: '"}',
}));
const NEVER = new AbortController().signal;

type Reply = Partial<Answer> | Error;

interface Setting {
  readonly sender: Sender;
  readonly log: RecordingLogger;
  /** Numbers of the records of each request, and when it came. */
  readonly requests: { readonly seqs: number[]; readonly atMs: number }[];
  readonly halts: number[];
  /** Lets time go by until `work` has settled. */
  readonly until: <Value>(work: Promise<Value>) => Promise<Value>;
}

/** A sender on a machine of its own, and a receiver that answers in turn, then takes everything. */
async function on(replies: readonly Reply[], run: (setting: Setting) => Promise<void>) {
  const time = new SimulatedTime();
  const restore = time.install(createRandom(1));
  const log = recordingLogger();
  const requests: Setting["requests"] = [];
  const halts: number[] = [];
  const left = [...replies];
  const startMs = Date.now();
  const post = (body: string, signal: AbortSignal): Promise<Answer> => {
    if (signal.aborted) return Promise.reject(new CountersignError("CANCELLED", "given up"));
    const { resourceLogs } = JSON.parse(body);
    const seqs = resourceLogs[0].scopeLogs[0].logRecords.map((record: { n: number }) => record.n);
    requests.push({ seqs, atMs: Date.now() - startMs });
    const reply = left.shift() ?? {};
    if (reply instanceof Error) return Promise.reject(reply);
    return Promise.resolve({ status: 200, retryAfterMs: undefined, body: "{}", ...reply });
  };
  const poster = { target: "http://receiver", post, close: () => undefined };
  const sender = createSender(poster, log, () => halts.push(1));
  const until = async <Value>(work: Promise<Value>): Promise<Value> => {
    const state = { settled: false };
    const end = (): void => {
      state.settled = true;
    };
    work.then(end, end);
    for (let turn = 0; turn < 10_000 && !state.settled; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
      if (!state.settled) time.advance();
    }
    return await work;
  };
  try {
    await run({ sender, log, requests, halts, until });
  } finally {
    restore();
  }
}

function refused(code = "ECONNREFUSED"): Error {
  return Object.assign(new Error(code), { code });
}

test("200 is the end of it", () =>
  on([], async ({ sender, requests, until, log }) => {
    await until(sender.send(RECORDS, HEADER, NEVER));
    expect(requests).toEqual([{ seqs: [0, 1, 2, 3, 4], atMs: 0 }]);
    expect([sender.state, log.lines]).toEqual(["ok", []]);
  }));

test.each([408, 429, 500, 502, 503, 504])("after %i the same records come again", (status) =>
  on([{ status }], async ({ sender, requests, until, log }) => {
    await until(sender.send(RECORDS, HEADER, NEVER));
    expect(requests.map(({ seqs }) => seqs.length)).toEqual([5, 5]);
    expect(sender.state).toBe("ok");
    expect(log.lines.map(({ level }) => level)).toEqual(["warn", "info"]);
    expect(log.lines[0]?.fields).toEqual({ to: "http://receiver", why: `status ${status}` });
  }),
);

test.each([201, 204, 301, 400, 401, 403, 404, 413, 501])(
  "%i for a single record halts, says so once, and asks for a person",
  (status) =>
    on([{ status }], async ({ sender, requests, until, log, halts }) => {
      const [one] = RECORDS;
      const send = (): Promise<unknown> =>
        until(sender.send([one as EncodedRecord], HEADER, NEVER)).catch(errorCode);
      expect([await send(), await send()]).toEqual(["REJECTED", "REJECTED"]);
      expect([sender.state, requests.length, halts.length]).toEqual(["halted", 1, 1]);
      expect(log.lines).toMatchObject([{ level: "error", fields: { status } }]);
      const isCredential = status === 401 || status === 403;
      expect(log.lines[0]?.message.includes("credential")).toBe(isCredential);
    }),
);

test("waits grow from a quarter of a second to half a minute, each between its half and its whole", () =>
  on(
    Array.from({ length: 12 }, () => ({ status: 503 })),
    async ({ sender, requests, until, log }) => {
      const work = sender.send(RECORDS, HEADER, NEVER);
      const states: string[] = [];
      await until(work.finally(() => states.push(sender.state)));
      const waits = requests.slice(1).map(({ atMs }, n) => atMs - (requests[n]?.atMs ?? 0));
      expect(waits).toHaveLength(12);
      for (const [n, waitMs] of waits.entries()) {
        const mostMs = Math.min(250 * 2 ** n, 30_000);
        expect(waitMs).toBeGreaterThanOrEqual(mostMs / 2);
        expect(waitMs).toBeLessThanOrEqual(mostMs);
      }
      // They are not all the same part of it.
      expect(new Set(waits.slice(8).map((ms) => ms.toFixed(3))).size).toBeGreaterThan(1);
      expect(log.lines.map(({ level }) => level)).toEqual(["warn", "info"]);
    },
  ));

test("what the receiver asks for is waited, up to five minutes", () =>
  on(
    [
      { status: 503, retryAfterMs: 60_000 },
      { status: 429, retryAfterMs: 3_600_000 },
      { status: 503, retryAfterMs: 1 },
    ],
    async ({ sender, requests, until }) => {
      await until(sender.send(RECORDS, HEADER, NEVER));
      const [, second = 0, third = 0, fourth = 0] = requests.map(({ atMs }) => atMs);
      expect([second, third - second]).toEqual([60_000, 300_000]);
      expect(fourth - third).toBeGreaterThanOrEqual(500);
    },
  ));

test("no answer is tried again, and what is not an answer is no reason to halt", () =>
  on([refused(), refused("EPIPE"), new Error("odd")], async ({ sender, requests, until, log }) => {
    await until(sender.send(RECORDS, HEADER, NEVER));
    expect(requests).toHaveLength(4);
    expect(log.lines.filter(({ level }) => level === "warn")).toMatchObject([
      { fields: { why: "no answer" } },
    ]);
    expect(log.lines.filter(({ level }) => level === "debug").map(({ fields }) => fields)).toEqual(
      ["ECONNREFUSED", "EPIPE", "none"].map((code) => ({ to: "http://receiver", code })),
    );
  }));

test("a batch that is too large goes in halves, down to single records, in order", () =>
  on([{ status: 413 }, { status: 413 }, { status: 413 }], async ({ sender, requests, until }) => {
    await until(sender.send(RECORDS, HEADER, NEVER));
    expect(requests.map(({ seqs }) => seqs)).toEqual([
      [0, 1, 2, 3, 4],
      [0, 1, 2],
      [0, 1],
      [0],
      [1],
      [2],
      [3, 4],
    ]);
    expect(sender.state).toBe("ok");
  }));

test.each([
  [{ partialSuccess: { rejectedLogRecords: "1" } }, "halted"],
  [{ partialSuccess: { rejectedLogRecords: 5 } }, "halted"],
  [{ partialSuccess: { rejectedLogRecords: 0 } }, "ok"],
  [{ partialSuccess: { errorMessage: "a warning" } }, "ok"],
  [{ partialSuccess: {} }, "ok"],
])("200 with %j: %s", (body, state) =>
  on([{ body: JSON.stringify(body) }], async ({ sender, until }) => {
    const outcome = await until(sender.send(RECORDS, HEADER, NEVER)).catch(errorCode);
    expect([outcome, sender.state]).toEqual([state === "ok" ? undefined : "REJECTED", state]);
  }),
);

test.each(["", "not JSON", "null", "[]"])("200 with the body %j is a 200", (body) =>
  on([{ body }], async ({ sender, until }) => {
    await until(sender.send(RECORDS, HEADER, NEVER));
    expect(sender.state).toBe("ok");
  }),
);

test("who gives up is told so, before, during, and between two attempts", () =>
  on([{ status: 503 }], async ({ sender, requests, until }) => {
    const gone = new AbortController();
    const work = sender.send(RECORDS, HEADER, gone.signal).catch(errorCode);
    await new Promise((resolve) => setImmediate(resolve));
    expect(sender.state).toBe("retrying");
    gone.abort();
    expect(await until(work)).toBe("CANCELLED");
    expect(await until(sender.send(RECORDS, HEADER, gone.signal)).catch(errorCode)).toBe(
      "CANCELLED",
    );
    expect(requests).toHaveLength(1);
  }));

test("a request that was given up is not tried again", () =>
  on([new CountersignError("CANCELLED", "given up")], async ({ sender, requests, until, log }) => {
    expect(await until(sender.send(RECORDS, HEADER, NEVER)).catch(errorCode)).toBe("CANCELLED");
    expect([requests.length, log.lines]).toEqual([1, []]);
  }));

test("in a hurry a receiver that is not there ends it, one that answers is waited for", () =>
  on([{ status: 503, retryAfterMs: 60_000 }, refused()], async ({ sender, requests, until }) => {
    sender.hurry();
    expect(await until(sender.send(RECORDS, HEADER, NEVER)).catch(errorCode)).toBe("CANCELLED");
    expect(requests.map(({ atMs }) => atMs)).toEqual([0, 60_000]);
  }));

test("a hurry that begins while somebody waits wakes them, once", () =>
  on(
    [
      { status: 503, retryAfterMs: 60_000 },
      { status: 503, retryAfterMs: 60_000 },
    ],
    async ({ sender, requests, until }) => {
      const work = sender.send(RECORDS, HEADER, NEVER);
      await new Promise((resolve) => setImmediate(resolve));
      sender.hurry();
      await until(work);
      expect(requests.map(({ atMs }) => atMs)).toEqual([0, 0, 60_000]);
    },
  ));
