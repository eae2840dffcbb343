import { readdirSync } from "node:fs";
import { join } from "node:path";
import { CountersignError, type SealedEvent, silentLogger } from "@countersign/model";
import { deadLettering, type Config, type Letter, type LetterBox } from "@countersign/pipeline";
import { describe, expect, onTestFinished, test } from "vitest";
import { fileExporter } from "../exporters/file.ts";
import { sealedEvents } from "../testing/events.ts";
import { runtimeOf, scratch, SIGNAL } from "../testing/exporters.ts";
import { configWith, createShelf, type Shelf } from "../testing/shelf.ts";
import { listLetters, showLetter } from "./dead-letters.ts";
import { redrive, type RedriveSummary } from "./redrive.ts";

interface World {
  readonly directory: string;
  readonly config: Config;
  readonly shelf: Shelf;
  readonly events: readonly SealedEvent[];
  readonly redrive: (reason?: string, dryRun?: boolean) => Promise<RedriveSummary>;
}

/** 600 letters that a shelf refused for two reasons, and two that nobody can send anywhere, in files of a running service. */
async function world(): Promise<World> {
  const directory = scratch();
  const shelf = createShelf();
  const config = configWith(
    `
receivers: { archive: { from: archive, cursors: ${directory}/cursors } }
processors: { filter: { types: [stop] } }
exporters:
  archive: { directory: ${directory}/archive, origin: test.example/a }
  shelf: {}
  file/dead_letter: { directory: ${directory}/letters, format: native, max_file_size: 64KiB }
service:
  dead_letter: file/dead_letter
  pipelines: { decisions/siem: { receivers: [archive], processors: [filter], exporters: [shelf] } }
`,
    shelf,
  );
  const events = sealedEvents(600);
  const settings = config.exporters.get("file/dead_letter")?.config as never;
  const box = fileExporter.create(
    settings,
    runtimeOf("file/dead_letter"),
  ) as unknown as LetterBox & {
    start(signal: AbortSignal): Promise<void>;
    stop(signal: AbortSignal): Promise<void>;
  };
  await box.start(SIGNAL);
  onTestFinished(() => box.stop(SIGNAL));
  const edge = deadLettering(
    {
      consume: ({ events: all }) =>
        Promise.reject(
          new CountersignError("REJECTED", "shelf: refused", {
            failed: [...all.keys()],
            reasons: all.map((_, at) => (at % 3 === 0 ? "too_old" : "mapping")),
          }),
        ),
    },
    "shelf",
    box,
  );
  for (let at = 0; at < 600; at += 100) {
    const part = events.slice(at, at + 100);
    const offsetOf = (event: SealedEvent): bigint => BigInt(events.indexOf(event));
    const origin = { log: "l", partition: 0, first: BigInt(at), last: BigInt(at + 99), offsetOf };
    await edge.consume({ events: part, origin }, SIGNAL);
  }
  const intake: Letter = {
    reason: "not_sealed",
    component: "intake",
    timeMs: 1,
    bytes: Buffer.from("x\u001B[2J"),
  };
  await box.deposit(
    [intake, { reason: "foreign", component: "intake", timeMs: 2, count: 7 }],
    SIGNAL,
  );
  // The service goes on: what is kept beside it may not touch its file.
  return {
    directory,
    config,
    shelf,
    events,
    redrive: (reason, dryRun = false) =>
      redrive(
        {
          config,
          filter: reason === undefined ? {} : { reason },
          dryRun,
          logger: () => silentLogger,
        },
        SIGNAL,
      ),
  };
}

// A disk, and whoever else works on this machine, may take their time.
describe("redrive", () => {
  test("letters are counted by reason, component and sink", async () => {
    const { config } = await world();
    const list = await listLetters(config, {}, SIGNAL);
    expect(list).toMatchObject({ letters: 602, open: 602, redriven: 0 });
    expect(list.groups.map(({ reason, sink, open, items }) => [reason, sink, open, items])).toEqual(
      [
        ["mapping", "shelf", 396, 396],
        ["too_old", "shelf", 204, 204],
        ["foreign", undefined, 1, 7],
        ["not_sealed", undefined, 1, 1],
      ],
    );
    expect(await listLetters(config, { untilMs: 2 }, SIGNAL)).toMatchObject({ letters: 1 });
  });

  test("what was sent again is not sent by the next redrive", async () => {
    const { shelf, events, redrive: again, config } = await world();
    expect(await again(undefined, true)).toMatchObject({
      dryRun: true,
      sent: 600,
      notRedrivable: 2,
    });
    expect(shelf.ids).toEqual([]);
    expect(await again("too_old")).toMatchObject({ read: 204, sent: 204, redriven: 0 });
    expect(await again()).toMatchObject({ read: 602, sent: 396, redriven: 204, notRedrivable: 2 });
    expect(await again()).toMatchObject({ read: 602, sent: 0, redriven: 600 });
    expect(shelf.ids.toSorted()).toEqual(events.map(({ event }) => event.id).toSorted());
    expect(await listLetters(config, {}, SIGNAL)).toMatchObject({ open: 2, redriven: 600 });
  });

  test("what is refused again has a new letter, with the old place, and only that is open", async () => {
    const { shelf, events, redrive: again, config } = await world();
    shelf.refuse = ({ event }) => (event.id === events[42]?.event.id ? "still_wrong" : undefined);
    expect(await again()).toMatchObject({ sent: 599, refusedAgain: 1 });
    const list = await listLetters(config, { sink: "shelf" }, SIGNAL);
    expect(list).toMatchObject({ open: 1, redriven: 600 });
    expect(list.groups[0]).toMatchObject({ reason: "still_wrong", open: 1 });
    shelf.refuse = () => undefined;
    expect(await again()).toMatchObject({ sent: 1, redriven: 600 });
    expect(shelf.ids).toHaveLength(600);
  });

  test("a sink that is away loses nothing: the next redrive sends what it did not take", async () => {
    const { shelf, events, redrive: again, config } = await world();
    let calls = 0;
    shelf.before = () => {
      calls += 1;
      if (calls > 1) throw new CountersignError("UNAVAILABLE", "shelf: away");
    };
    const impatient = redrive(
      { config, filter: {}, patienceMs: 600, logger: () => silentLogger },
      SIGNAL,
    );
    await expect(impatient).rejects.toMatchObject({ code: "UNAVAILABLE" });
    const there = shelf.ids.length;
    expect(there).toBeGreaterThan(0);
    shelf.before = () => undefined;
    expect(await again()).toMatchObject({ sent: 600 - there, redriven: there });
    expect(shelf.ids.toSorted()).toEqual(events.map(({ event }) => event.id).toSorted());
  });

  test("the files of the service are not touched", async () => {
    const { directory, redrive: again } = await world();
    const own = (): string[] =>
      readdirSync(join(directory, "letters")).filter((name) =>
        /^dead_letter-\d+\.jsonl$/.test(name),
      );
    const before = own();
    expect(before.length).toBeGreaterThan(2);
    await again();
    expect(own()).toEqual(before);
    expect(readdirSync(join(directory, "letters")).length).toBeGreaterThan(before.length);
  });

  test("one letter is found by its id, with its place and its bytes", async () => {
    const { config, events } = await world();
    const { letter, redriven } = await showLetter(config, "dead_letter-00000001:3", SIGNAL);
    expect(redriven).toBe(false);
    expect(letter).toMatchObject({
      reason: "mapping",
      sink: "shelf",
      place: { log: "l", partition: 0, offset: 2n },
      hash: events[2]?.hash,
      bytes: Buffer.from(events[2]?.bytes ?? []),
    });
    await expect(showLetter(config, "dead_letter-00000001:9999", SIGNAL)).rejects.toMatchObject({
      code: "INPUT_INVALID",
    });
  });
});
