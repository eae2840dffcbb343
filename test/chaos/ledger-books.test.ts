// The ledger's audit finds each thing that must not be: books that tell one story pass, and with one entry changed they do not.
import {
  draftDecision,
  eventTime,
  findingEvent,
  GENESIS,
  seal,
  type SealedEvent,
  sha256Hex,
} from "@countersign/model";
import { expect, test } from "vitest";
import { audit, type Books, newBooks } from "./ledger-books.ts";

const EPOCH = "7".repeat(32);
const DIGEST = `sha256:${"0".repeat(64)}`;

function decisions(): readonly SealedEvent[] {
  const events: SealedEvent[] = [];
  for (const [seq, id] of ["t-1", "t-2", "t-3", "t-4-x"].entries()) {
    const forbidden = id.endsWith("-x");
    const draft = draftDecision({
      id: `0199e0a0-0000-7000-8000-00000000000${seq}`,
      nameKnown: true,
      tenant: "acme",
      mode: "enforce",
      decision: forbidden ? "deny" : "allow",
      reason: forbidden ? "forbidden" : "permitted",
      effect: forbidden ? "block" : "run",
      call: { method: "tools/call", name: "close_ticket", transport: "stdio", gate: "guard" },
      checks: [
        {
          permission: "close",
          resource: { type: "ticket", id },
          subject: { type: "user", id: "alice" },
          verdict: forbidden ? "deny" : "allow",
          engine: "relationships",
          durationUs: 1,
        },
      ],
      server: { id: "urn:mcp:tickets" },
      policy: { digest: DIGEST },
      durationUs: 1,
    });
    const prev = events.at(-1)?.hash ?? GENESIS;
    events.push(seal(draft, { emitter: "tickets", epoch: EPOCH, seq, prev }, eventTime(seq + 1)));
  }
  return events;
}

function gap(from: number): SealedEvent {
  return findingEvent({
    data: {
      tenant: "acme",
      finding: "GAP",
      of: { emitter: "tickets", epoch: EPOCH },
      missing: { what: "events", from, to: from },
    },
    time: eventTime(9),
    component: "continuity",
  });
}

/** Three tools ran, one call was refused; the third event was taken away and found missing. */
function story(): Books {
  const events = decisions();
  const [, , taken] = events as [SealedEvent, SealedEvent, SealedEvent];
  const books = newBooks();
  for (const id of ["t-1", "t-2", "t-3", "t-4-x"]) books.asked.add(id);
  for (const id of ["t-1", "t-2"]) books.toldRan.add(id);
  books.toldRefused.add("t-4-x");
  books.ran = ["t-1", "t-2", "t-3"];
  for (const event of events) books.journal.set(event.hash, event);
  books.stolen.add(taken.hash);
  books.log = [...events.filter(({ hash }) => hash !== taken.hash), gap(2)];
  books.sink = books.log.map(({ event }) => event.id);
  return books;
}

test("one story", () => {
  expect(audit(story())).toEqual([]);
});

const first = (books: Books): SealedEvent => books.log[0] as SealedEvent;

test.each<[string, (books: Books) => void]>([
  ["ran without a durable decision", (books) => books.journal.delete(first(books).hash)],
  ["ran twice", (books) => (books.ran = [...books.ran, "t-1"])],
  ["ran, and nobody asked", (books) => books.asked.delete("t-1")],
  ["ran, and is forbidden", (books) => (books.ran = [...books.ran, "t-4-x"])],
  ["told that it ran", (books) => (books.ran = ["t-2", "t-3"])],
  ["refused, and ran", (books) => books.toldRefused.add("t-1")],
  ["answered without a decision", (books) => books.toldRefused.add("t-9")],
  ["is lost", (books) => (books.log = books.log.slice(1))],
  ["in the log, and in no journal", (books) => books.journal.delete(first(books).hash)],
  ["twice in the log", (books) => (books.log = [...books.log, first(books)])],
  ["was taken away, and is in the log", (books) => books.stolen.add(first(books).hash)],
  ["not at the sink", (books) => (books.sink = books.sink.slice(1))],
  ["at the sink, and not in the log", (books) => (books.sink = [...books.sink, sha256Hex("x")])],
  ["GAP", (books) => (books.log = books.log.slice(0, -1))],
  ["found, and is not so", (books) => (books.log = [...books.log, gap(1)])],
  ["found, and is not so", (books) => (books.log = [...books.log, gap(2)])],
  ["at 1", (books) => books.journal.delete(books.log[1]?.hash ?? "")],
])("not one story: %s", (problem, change) => {
  const books = story();
  change(books);
  expect(audit(books).join("\n")).toContain(problem);
});
