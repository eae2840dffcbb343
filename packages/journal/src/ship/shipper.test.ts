// Against a strict receiver over real connections: whatever it does, nothing is lost and the order is kept.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  decision,
  EPOCH_INFO,
  eventually,
  type Scratch,
  scratch,
  soon,
} from "../testing/journal-fixture.ts";
import { createFaultyFs } from "../testing/faulty-fs.ts";
import { type OtlpReceiver, type Reply, startOtlpReceiver } from "../testing/otlp-receiver.ts";
import type { Journal } from "../api.ts";

function seqs(receiver: OtlpReceiver, epoch?: string): number[] {
  return receiver.events(epoch).map((event) => event.seq);
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, n) => n);
}

async function epochOf(journal: Journal): Promise<string> {
  await journal.append(decision());
  return journal.status().epoch as string;
}

function walFiles(s: Scratch): string[] {
  return readdirSync(join(s.directory, "journal"), { recursive: true, encoding: "utf8" }).filter(
    (name) => name.endsWith(".wal"),
  );
}

/** Answers in turn, then accepts. */
function replies(...list: Reply[]): () => Reply {
  return () => list.shift() ?? {};
}

test.concurrent("what is appended arrives, in order, as the contract has it; afterwards the disk is empty", async () => {
  using s = scratch();
  const receiver = await startOtlpReceiver();
  const journal = s.journal({
    ship: { endpoint: receiver.endpoint, headers: { authorization: "Bearer t" } },
  });
  const epoch = await epochOf(journal);
  await Promise.all(upTo(700).map(() => journal.append(decision())));
  const last = await journal.append(decision());
  expect(await journal.acknowledged(last, 10_000)).toBe(true);
  expect(journal.status()).toMatchObject({
    shipping: "ok",
    unacknowledged: 0,
    oldestUnacknowledgedMs: 0,
  });
  await journal.stop("shutdown", soon());
  expect(receiver.violations).toEqual([]);
  expect(seqs(receiver, epoch)).toEqual(upTo(704));
  expect(receiver.seen[0]?.headers["authorization"]).toBe("Bearer t");
  expect(walFiles(s)).toEqual([]);
  await receiver.stop();
});

test.concurrent.each([
  ["503", { status: 503 }],
  ["503 with Retry-After", { status: 503, headers: { "retry-after": "0" } }],
  ["429", { status: 429 }],
  ["500", { status: 500 }],
  ["a cut connection", { hangUp: true }],
  ["a lost answer", { hangUp: true, keep: true }],
])("after %s the same batch comes again, and nothing is lost", async (_, reply) => {
  using s = scratch();
  const receiver = await startOtlpReceiver();
  receiver.behaviour = replies(reply, reply);
  const journal = s.journal({ ship: { endpoint: receiver.endpoint } });
  const epoch = await epochOf(journal);
  const last = await journal.append(decision());
  expect(await journal.acknowledged(last, 10_000)).toBe(true);
  await journal.stop("shutdown", soon());
  expect(receiver.violations).toEqual([]);
  expect(seqs(receiver, epoch)).toEqual(upTo(4));
  expect(receiver.seen.length).toBeGreaterThanOrEqual(3);
  await receiver.stop();
});

test.concurrent("Retry-After is respected", async () => {
  using s = scratch();
  const receiver = await startOtlpReceiver();
  const times: number[] = [];
  receiver.behaviour = () => {
    times.push(Date.now());
    return times.length === 1 ? { status: 503, headers: { "retry-after": "1" } } : {};
  };
  const journal = s.journal({ ship: { endpoint: receiver.endpoint } });
  const event = await journal.append(decision());
  const acknowledged = journal.acknowledged(event, 20_000);
  await eventually(() => journal.status().shipping === "retrying");
  expect(await acknowledged).toBe(true);
  expect((times[1] as number) - (times[0] as number)).toBeGreaterThanOrEqual(990);
  await journal.stop("shutdown", soon());
  await receiver.stop();
});

test.concurrent("a receiver that is not there: appends go on, and everything arrives when it comes", async () => {
  using s = scratch();
  const first = await startOtlpReceiver();
  const { port } = first;
  await first.stop();
  const journal = s.journal({ ship: { endpoint: `http://127.0.0.1:${port}` } });
  const epoch = await epochOf(journal);
  for (let n = 0; n < 20; n++) await journal.append(decision());
  const event = await journal.append(decision());
  expect(await journal.acknowledged(event, 100)).toBe(false);
  await eventually(() => journal.status().shipping === "retrying");
  expect(journal.status().unacknowledged).toBe(23);
  const receiver = await startOtlpReceiver(port);
  await eventually(() => journal.status().unacknowledged === 0);
  await journal.stop("shutdown", soon());
  expect(receiver.violations).toEqual([]);
  expect(seqs(receiver, epoch)).toEqual(upTo(24));
  await receiver.stop();
});

test.concurrent("a receiver that restarts in the middle loses nothing and sees the order", async () => {
  using s = scratch();
  let receiver = await startOtlpReceiver();
  const journal = s.journal({
    ship: { endpoint: receiver.endpoint },
    limits: { segmentBytes: 16_384 },
  });
  const epoch = await epochOf(journal);
  const { port } = receiver;
  const accepted: number[] = [];
  for (let round = 0; round < 4; round++) {
    await Promise.all(upTo(60).map(() => journal.append(decision())));
    await receiver.stop();
    accepted.push(...receiver.accepted.flatMap((batch) => batch.events.map((event) => event.seq)));
    expect(receiver.violations).toEqual([]);
    receiver = await startOtlpReceiver(port);
  }
  await eventually(() => journal.status().unacknowledged === 0);
  await journal.stop("shutdown", soon());
  accepted.push(...receiver.accepted.flatMap((batch) => batch.events.map((event) => event.seq)));
  const firstSeen = [...new Set(accepted)];
  expect(firstSeen).toEqual(upTo(243));
  expect(receiver.events(epoch).at(-1)?.kind).toBe("stop");
  await receiver.stop();
});

test.concurrent.each([401, 403, 400, 404, 301])(
  "status %i halts, says so once, and loses nothing",
  async (status) => {
    using s = scratch();
    const receiver = await startOtlpReceiver();
    receiver.behaviour = () => ({ status });
    const journal = s.journal({ ship: { endpoint: receiver.endpoint } });
    const epoch = await epochOf(journal);
    const event = await journal.append(decision());
    expect(await journal.acknowledged(event, 10_000)).toBe(false);
    await eventually(() => journal.status().shipping === "halted");
    const requests = receiver.seen.length;
    for (let n = 0; n < 3; n++) await journal.append(decision());
    expect(await journal.acknowledged(event, 10_000)).toBe(false);
    await journal.stop("shutdown", soon());
    expect(receiver.seen.length).toBe(requests);
    const errors = s.log.lines.filter((line) => line.level === "error");
    expect(errors).toHaveLength(1);
    expect(errors[0]?.message).toMatch(/nothing is lost/);
    // A person has mended it: the next process takes everything along.
    receiver.behaviour = () => ({});
    const next = s.journal({ ship: { endpoint: receiver.endpoint } });
    await next.append(decision());
    await eventually(() => seqs(receiver, epoch).length === 7);
    expect(seqs(receiver, epoch)).toEqual(upTo(7));
    await next.stop("shutdown", soon());
    await receiver.stop();
  },
);

test.concurrent("200 with rejected records is no success", async () => {
  using s = scratch();
  const receiver = await startOtlpReceiver();
  receiver.behaviour = () => ({ body: '{"partialSuccess":{"rejectedLogRecords":"1"}}' });
  const journal = s.journal({ ship: { endpoint: receiver.endpoint } });
  const event = await journal.append(decision());
  expect(await journal.acknowledged(event, 10_000)).toBe(false);
  expect(journal.status().shipping).toBe("halted");
  await journal.stop("shutdown", soon());
  await receiver.stop();
});

test.concurrent("413: the batch is halved until it fits", async () => {
  using s = scratch();
  const receiver = await startOtlpReceiver();
  receiver.behaviour = (batch) => (batch.events.length > 3 ? { status: 413 } : {});
  const journal = s.journal({ ship: { endpoint: receiver.endpoint } });
  const epoch = await epochOf(journal);
  await Promise.all(upTo(18).map(() => journal.append(decision())));
  await eventually(() => journal.status().unacknowledged === 0);
  await journal.stop("shutdown", soon());
  expect(receiver.violations).toEqual([]);
  expect(seqs(receiver, epoch)).toEqual(upTo(21));
  await receiver.stop();
});

test.concurrent("a slow receiver delays no append", async () => {
  using s = scratch();
  const receiver = await startOtlpReceiver();
  const release = Promise.withResolvers<void>();
  receiver.behaviour = async () => {
    await release.promise;
    return {};
  };
  const journal = s.journal({ ship: { endpoint: receiver.endpoint } });
  const event = await journal.append(decision());
  const acknowledged = journal.acknowledged(event, 20_000);
  await eventually(() => receiver.seen.length === 1);
  for (let n = 0; n < 50; n++) await journal.append(decision());
  expect(receiver.seen).toHaveLength(1);
  release.resolve();
  expect(await acknowledged).toBe(true);
  await journal.stop("shutdown", soon());
  expect(receiver.violations).toEqual([]);
  await receiver.stop();
});

test.concurrent("acknowledged is false without a receiver, and after its time", async () => {
  using s = scratch();
  const journal = s.journal();
  const event = await journal.append(decision());
  expect(await journal.acknowledged(event, 60_000)).toBe(false);
  expect(journal.status().shipping).toBe("off");
  await journal.stop("shutdown", soon());
});

test.concurrent("stop gives up at its deadline, and the next process drains what is left", async () => {
  using s = scratch();
  const receiver = await startOtlpReceiver();
  receiver.behaviour = () => new Promise(() => undefined);
  const journal = s.journal({ ship: { endpoint: receiver.endpoint } });
  const epoch = await epochOf(journal);
  await journal.stop("signal", soon(50));
  expect(seqs(receiver)).toEqual([]);
  const second = await startOtlpReceiver();
  const next = s.journal({ ship: { endpoint: second.endpoint } });
  await next.append(decision());
  await eventually(() => seqs(second, epoch).length === 3);
  await next.stop("shutdown", soon());
  expect(second.violations).toEqual([]);
  expect(seqs(second, epoch)).toEqual(upTo(3));
  expect(walFiles(s)).toEqual([]);
  await receiver.stop();
  await second.stop();
});

test.concurrent("acknowledged segments are deleted behind the cursor, the live one stays", async () => {
  using s = scratch();
  const receiver = await startOtlpReceiver();
  const journal = s.journal({
    ship: { endpoint: receiver.endpoint },
    limits: { segmentBytes: 8_192, reserveBytes: 0 },
  });
  for (let n = 0; n < 60; n++) await journal.append(decision());
  await eventually(() => journal.status().unacknowledged === 0);
  await eventually(() => walFiles(s).length === 1);
  await journal.append(decision());
  await journal.stop("shutdown", soon());
  expect(receiver.violations).toEqual([]);
  expect(seqs(receiver)).toEqual(upTo(63));
  await receiver.stop();
});

test.concurrent("a journal fault while shipping: the old epoch is drained, what surfaced included", async () => {
  using s = scratch();
  const receiver = await startOtlpReceiver();
  let failing = false;
  const fs = createFaultyFs(({ operation, path }) =>
    failing && operation === "datasync" && path.endsWith(".wal")
      ? { errno: "EIO", after: true }
      : undefined,
  );
  const journal = s.journal({ fs, ship: { endpoint: receiver.endpoint } });
  const first = await epochOf(journal);
  failing = true;
  await expect(journal.append(decision())).rejects.toMatchObject({ code: "UNAVAILABLE" });
  failing = false;
  await eventually(() =>
    journal.append(decision()).then(
      () => true,
      () => false,
    ),
  );
  const second = journal.status().epoch as string;
  await eventually(() => seqs(receiver, first).length === 3 && seqs(receiver, second).length >= 2);
  await journal.stop("shutdown", soon());
  expect(receiver.violations).toEqual([]);
  expect(seqs(receiver, second)).toEqual(upTo(3));
  await receiver.stop();
});

test.concurrent("damage found while shipping is recorded as lost, once", async () => {
  using s = scratch();
  const dead = s.journal({ emitter: "origin", limits: { segmentBytes: 4_096, reserveBytes: 0 } });
  for (let n = 0; n < 12; n++) await dead.append(decision(`tool_${n}`));
  const epoch = dead.status().epoch as string;
  await dead.stop("shutdown", soon());
  const directory = join(s.directory, "journal", "origin", "0000000001");
  const [name = ""] = readdirSync(directory)
    .filter((each) => each.endsWith(".wal"))
    .toSorted();
  // The end record is there already: the damage came after the epoch was looked at.
  const bytes = readFileSync(join(directory, name));
  bytes[bytes.indexOf("tool_1")] = 0x21;
  writeFileSync(join(directory, name), bytes);
  const receiver = await startOtlpReceiver();
  const journal = s.journal({ emitter: "origin", ship: { endpoint: receiver.endpoint } });
  await journal.append(decision());
  await eventually(() => seqs(receiver, epoch).length === 13);
  await eventually(() => receiver.events().some((event) => event.kind === "lost"));
  await journal.stop("shutdown", soon());
  const lost = receiver.events().filter((event) => event.kind === "lost");
  expect(lost.map((event) => (JSON.parse(event.text) as { data: object }).data)).toMatchObject([
    { count: 1, records: { epoch, fromSeq: 2, toSeq: 2 } },
  ]);
  expect(receiver.violations).toEqual([]);
  await receiver.stop();
});

test.concurrent("epochs of another tenant are left alone", async () => {
  using s = scratch();
  const other = s.journal({ epoch: { ...EPOCH_INFO, tenant: "globex" } });
  await other.append(decision());
  await other.stop("shutdown", soon());
  const receiver = await startOtlpReceiver();
  const journal = s.journal({ ship: { endpoint: receiver.endpoint } });
  const epoch = await epochOf(journal);
  await eventually(() => seqs(receiver, epoch).length >= 2);
  await journal.stop("shutdown", soon());
  expect(new Set(receiver.events().map((event) => event.epoch))).toEqual(new Set([epoch]));
  expect(walFiles(s)).toHaveLength(1);
  await receiver.stop();
});

test.concurrent("an endpoint that is no URL is refused, and the message does not repeat it", () => {
  using s = scratch();
  expect(() => s.journal({ ship: { endpoint: "ftp://secret@host" } })).toThrow(
    /^(?!.*secret).*OTLP/,
  );
});

test.concurrent("a tail that was cut off after the epoch had ended in order is recorded as lost", async () => {
  using s = scratch();
  const dead = s.journal({ emitter: "origin" });
  for (let n = 0; n < 5; n++) await dead.append(decision());
  const epoch = dead.status().epoch as string;
  await dead.stop("shutdown", soon());
  const path = join(s.directory, "journal", "origin", "0000000001", "00000000.wal");
  const bytes = readFileSync(path);
  writeFileSync(path, bytes.subarray(0, bytes.length - 1_000));
  const receiver = await startOtlpReceiver();
  const journal = s.journal({ emitter: "origin", ship: { endpoint: receiver.endpoint } });
  await journal.append(decision());
  await eventually(() => receiver.events().some((event) => event.kind === "lost"));
  await journal.stop("shutdown", soon());
  const lost = receiver.events().find((event) => event.kind === "lost");
  const { records } = (JSON.parse(lost?.text ?? "") as { data: { records: object } }).data;
  expect(records).toEqual({ epoch, fromSeq: seqs(receiver, epoch).length, toSeq: 6 });
  await receiver.stop();
});
