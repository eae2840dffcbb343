// The spicedb checker against a real SpiceDB.
import { v1 } from "@authzed/authzed-node";
import {
  type Checker,
  type CheckAnswer,
  type CheckRequest,
  createSpiceDbChecker,
  type SpiceDbConfig,
} from "@countersign/gate";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findService } from "./find.ts";
import { attachedSpiceDb, type SpiceDbServer, spiceDbServer } from "./spicedb-server.ts";

const SCHEMA = `
use expiration

caveat below(amount double, limit double) {
  amount <= limit
}

definition user {}

definition ticket {
  relation reader: user | user with expiration
  relation refunder: user with below
  permission read = reader
  permission refund = refunder
}
`;

const RELATIONSHIPS = [
  "ticket:T-1#reader@user:ada",
  "ticket:T-2#reader@user:ada",
  `ticket:T-1#refunder@user:ada[below:{"limit":100}]`,
  "ticket:past#reader@user:eve[expiration:2020-01-01T00:00:00Z]",
  "ticket:far#reader@user:eve[expiration:2099-01-01T00:00:00Z]",
];

const found = findService("spicedb");
describe.skipIf(found === undefined)("a real SpiceDB", () => {
  let server: SpiceDbServer;
  const checkers: Checker[] = [];

  beforeAll(async () => {
    const bootstrap = { schema: SCHEMA, relationships: RELATIONSHIPS };
    server =
      found?.kind === "endpoint"
        ? attachedSpiceDb(found.endpoint, found.token, bootstrap)
        : await spiceDbServer(found?.path ?? "", bootstrap);
    await server.start();
  });

  afterAll(async () => {
    await Promise.all(checkers.map((checker) => checker.close()));
    await server.dispose();
  });

  function make(more: Partial<SpiceDbConfig> = {}): Checker {
    const { endpoint, token } = server;
    const checker = createSpiceDbChecker({
      endpoint,
      token,
      tls: false,
      consistency: "fully_consistent",
      timeoutMs: 2000,
      ...more,
    });
    checkers.push(checker);
    return checker;
  }

  test("allow and deny, with the token of what was seen", async () => {
    const [answer] = await ask(make(), read("T-1"));
    expect(answer).toMatchObject({ verdict: "allow", engine: "spicedb" });
    expect(answer?.consistencyToken).toMatch(/^[A-Za-z0-9+/=]+$/);
    expect(answer?.durationUs).toBeGreaterThan(0);
    expect(await ask(make(), read("T-9"))).toMatchObject([{ verdict: "deny" }]);
    expect(await ask(make(), read("T-1", "bob"))).toMatchObject([{ verdict: "deny" }]);
  });

  test("localhost by name and by address are the same", async () => {
    const port = server.endpoint.split(":")[1];
    expect(await ask(make({ endpoint: `localhost:${port}` }), read("T-1"))).toMatchObject([
      { verdict: "allow" },
    ]);
  });

  test("a caveat: its condition met, not met, and missing", async () => {
    const checker = make();
    expect(await ask(checker, refund({ amount: 99.5 }))).toMatchObject([{ verdict: "allow" }]);
    expect(await ask(checker, refund({ amount: 101 }))).toMatchObject([{ verdict: "deny" }]);
    expect(await ask(checker, refund())).toMatchObject([
      { verdict: "conditional", reason: "missing_context" },
    ]);
  });

  test("a relationship that expires counts until then, and no longer", async () => {
    const checker = make();
    expect(await ask(checker, read("far", "eve"))).toMatchObject([{ verdict: "allow" }]);
    expect(await ask(checker, read("past", "eve"))).toMatchObject([{ verdict: "deny" }]);
  });

  test("several questions are one request; each has its own answer", async () => {
    const answers = await ask(make(), read("T-1"), read("T-9"), refund(), refund({ amount: 1 }), {
      ...read("T-1"),
      permission: "fly",
    });
    expect(answers.map(({ verdict, reason }) => [verdict, reason])).toEqual([
      ["allow", undefined],
      ["deny", undefined],
      ["conditional", "missing_context"],
      ["allow", undefined],
      ["error", "invalid_request"],
    ]);
    expect(new Set(answers.map(({ consistencyToken }) => consistencyToken)).size).toBe(1);
  });

  test("a schema without the permission, or without the type, is an error and no denial", async () => {
    const checker = make();
    expect(await ask(checker, { ...read("T-1"), permission: "fly" })).toMatchObject([
      { verdict: "error", reason: "invalid_request" },
    ]);
    const unknown = { ...read("T-1"), resource: { type: "spaceship", id: "1" } };
    expect(await ask(checker, unknown)).toMatchObject([
      { verdict: "error", reason: "invalid_request" },
    ]);
  });

  test("a wrong token is a fault of the configuration and no denial", async () => {
    const checker = make({ token: "wrong" });
    expect(await ask(checker, read("T-1"))).toMatchObject([
      { verdict: "error", reason: "refused" },
    ]);
    expect(await ask(checker, read("T-1"), read("T-2"))).toMatchObject([
      { reason: "refused" },
      { reason: "refused" },
    ]);
    expect(await checker.probe(AbortSignal.timeout(5000))).toMatchObject({
      ok: false,
      detail: expect.stringContaining("refused the token") as string,
    });
  });

  test("TLS towards a server that speaks none is unavailable", async () => {
    expect(
      await ask(
        make({ endpoint: `localhost:${server.endpoint.split(":")[1]}`, tls: true, timeoutMs: 500 }),
        read("T-1"),
      ),
    ).toMatchObject([{ verdict: "error", reason: "unavailable" }]);
  });

  test("probe tells the version, and that it is new enough", async () => {
    const { ok, detail } = await make().probe(AbortSignal.timeout(5000));
    expect(ok).toBe(true);
    expect(detail).toMatch(/SpiceDB 1\.\d+ at/);
  });

  test.each(["minimize_latency", "fully_consistent", "at_least_as_fresh"] as const)(
    "consistency %s",
    async (consistency) => {
      const checker = make({ consistency });
      // minimize_latency need not see at once what was just written.
      await becomes(checker, read("T-1"), { verdict: "allow" });
      expect(await ask(checker, read("T-1"), read("T-9"))).toMatchObject([
        { verdict: "allow" },
        { verdict: "deny" },
      ]);
    },
  );

  test("at_least_as_fresh sees a write, and having seen it never goes back behind it", async () => {
    const checker = make({ consistency: "at_least_as_fresh" });
    await ask(checker, read("T-1"));
    const writer = v1.NewClient(
      server.token,
      server.endpoint,
      v1.ClientSecurity.INSECURE_PLAINTEXT_CREDENTIALS,
    );
    await writer.promises.writeRelationships(
      v1.WriteRelationshipsRequest.create({
        updates: [
          {
            operation: v1.RelationshipUpdate_Operation.TOUCH,
            relationship: relationship("T-7", "zoe"),
          },
        ],
      }),
    );
    writer.close();
    await becomes(checker, read("T-7", "zoe"), { verdict: "allow" });
    expect(await ask(checker, read("T-7", "zoe"))).toMatchObject([{ verdict: "allow" }]);
  });

  // What freezes and kills the server needs one of its own.
  describe.skipIf(found?.kind === "endpoint")("and its life", () => {
    test("a cancelled call does not wait", async () => {
      const caller = new AbortController();
      await server.freeze();
      try {
        const answer = make({ timeoutMs: 5000 }).check([read("T-1")], {
          id: "x",
          signal: caller.signal,
        });
        setImmediate(() => caller.abort());
        expect(await answer).toMatchObject([{ verdict: "error", reason: "not_evaluated" }]);
      } finally {
        server.thaw();
      }
    });

    test("a server that hangs times out, one question or several; afterwards it answers", async () => {
      const checker = make({ timeoutMs: 300 });
      await ask(checker, read("T-1"));
      await server.freeze();
      try {
        for (let call = 0; call < 4; call += 1) {
          expect(await ask(checker, read("T-1"))).toMatchObject([
            { verdict: "error", reason: "timeout" },
          ]);
        }
        expect(await ask(checker, read("T-1"), read("T-2"))).toMatchObject([
          { reason: "timeout" },
          { reason: "timeout" },
        ]);
      } finally {
        server.thaw();
      }
      await becomes(checker, read("T-1"), { verdict: "allow" });
    });

    test("a server that is down is unavailable; when it is back, the next calls are answered", async () => {
      const checker = make({ timeoutMs: 500 });
      expect(await ask(checker, read("T-1"))).toMatchObject([{ verdict: "allow" }]);
      await server.kill();
      expect(await ask(checker, read("T-1"))).toMatchObject([
        { verdict: "error", reason: "unavailable" },
      ]);
      expect(await ask(checker, read("T-1"), read("T-2"))).toMatchObject([
        { reason: "unavailable" },
        { reason: "unavailable" },
      ]);
      expect(await checker.probe(AbortSignal.timeout(5000))).toMatchObject({ ok: false });
      await server.start();
      await becomes(checker, read("T-1"), { verdict: "allow" });
    });

    test("killed and restarted under load: nothing is allowed that should not be, and it recovers", async () => {
      const checker = make({ timeoutMs: 1000, consistency: "at_least_as_fresh" });
      await ask(checker, read("T-1"));
      const over = new AbortController();
      const verdicts = new Set<string>();
      const forbidden = new Set<string>();
      const worker = async (): Promise<void> => {
        while (!over.signal.aborted) {
          // oxlint-disable-next-line no-await-in-loop -- one call after the other is what a caller does
          const [mine, other] = await ask(checker, read("T-1"), read("T-9"));
          verdicts.add(mine?.verdict ?? "");
          forbidden.add(other?.verdict ?? "");
        }
      };
      const workers = Array.from({ length: 8 }, worker);
      for (let round = 0; round < 3; round += 1) {
        // oxlint-disable-next-line no-await-in-loop -- rounds follow each other
        await server.kill();
        // oxlint-disable-next-line no-await-in-loop
        await server.start();
        // oxlint-disable-next-line no-await-in-loop
        await becomes(checker, read("T-1"), { verdict: "allow" });
      }
      over.abort();
      await Promise.all(workers);
      expect(forbidden).not.toContain("allow");
      expect([...verdicts].every((verdict) => verdict === "allow" || verdict === "error")).toBe(
        true,
      );
    });
  });
});

/** Asks until it is so, or the deadline of the poll is over. */
async function becomes(
  checker: Checker,
  request: CheckRequest,
  expected: Partial<CheckAnswer>,
): Promise<void> {
  await expect
    .poll(async () => (await ask(checker, request))[0], { timeout: 15_000, interval: 50 })
    .toMatchObject(expected);
}

async function ask(
  checker: Checker,
  ...requests: readonly CheckRequest[]
): Promise<readonly CheckAnswer[]> {
  return checker.check(requests, {
    id: "01a2027b-e3d4-728a-9347-6e9986773eb1",
    signal: new AbortController().signal,
  });
}

function read(ticket: string, user = "ada"): CheckRequest {
  return {
    permission: "read",
    resource: { type: "ticket", id: ticket },
    subject: { type: "user", id: user },
  };
}

function refund(context?: CheckRequest["context"]): CheckRequest {
  const request = { ...read("T-1"), permission: "refund" };
  return context === undefined ? request : { ...request, context };
}

function relationship(ticket: string, user: string): v1.Relationship {
  return {
    resource: { objectType: "ticket", objectId: ticket },
    relation: "reader",
    subject: { object: { objectType: "user", objectId: user }, optionalRelation: "" },
  };
}
