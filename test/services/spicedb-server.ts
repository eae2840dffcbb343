// One SpiceDB process on loopback, with its own store in memory.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { v1 } from "@authzed/authzed-node";
import { freePort } from "../free-port.ts";

/** A running server, which a test may stop, freeze, and start again on the same port. */
export interface SpiceDbServer {
  readonly endpoint: string;
  readonly token: string;
  start(): Promise<void>;
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>;
  /** SIGSTOP; resolves when every thread has stopped. */
  freeze(): Promise<void>;
  thaw(): void;
  /** Kills it and removes its files. */
  dispose(): Promise<void>;
}

/** Schema and relationships the server starts with, every time. */
export interface Bootstrap {
  readonly schema: string;
  readonly relationships: readonly string[];
}

const START_TIMEOUT_MS = 20_000;

/** Prepares a server; `start` starts it. */
export async function spiceDbServer(program: string, bootstrap: Bootstrap): Promise<SpiceDbServer> {
  const directory = mkdtempSync(join(tmpdir(), "countersign-spicedb-"));
  const file = join(directory, "boot.yaml");
  writeFileSync(file, bootYaml(bootstrap));
  const port = await freePort();
  const token = "test-preshared-key";
  let child: ChildProcess | undefined;
  const kill = async (): Promise<void> => {
    const running = child;
    child = undefined;
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
    const gone = once(running, "exit");
    running.kill("SIGKILL");
    await gone;
  };
  return {
    endpoint: `127.0.0.1:${port}`,
    token,
    start: async () => {
      child = spawn(
        program,
        [
          "serve",
          `--grpc-preshared-key=${token}`,
          `--grpc-addr=127.0.0.1:${port}`,
          `--datastore-bootstrap-files=${file}`,
          "--telemetry-endpoint=",
          "--skip-release-check",
          "--metrics-enabled=false",
          "--log-level=warn",
        ],
        { stdio: "ignore" },
      );
      await listening(port, child);
    },
    kill,
    freeze: async () => {
      child?.kill("SIGSTOP");
      if (child?.pid !== undefined) await stopped(child.pid);
    },
    thaw: () => void child?.kill("SIGCONT"),
    dispose: async () => {
      await kill();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Threads of a process stop one by one, a moment after the signal was sent. */
async function stopped(pid: number): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  const isStopped = (thread: string): boolean => {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).startsWith("T");
  };
  while (!readdirSync(`/proc/${pid}/task`).every(isStopped)) {
    if (Date.now() > deadline) throw new Error("spicedb did not stop");
    await delay(5);
  }
}

function bootYaml({ schema, relationships }: Bootstrap): string {
  return `schema: |-\n${indent(schema)}\nrelationships: |-\n${indent(relationships.join("\n"))}\n`;
}

/** A server that runs already: gets the schema and the relationships written, and keeps its life to itself. */
export function attachedSpiceDb(
  endpoint: string,
  token: string,
  bootstrap: Bootstrap,
): SpiceDbServer {
  return {
    endpoint,
    token,
    start: async () => {
      const client = v1.NewClient(
        token,
        endpoint,
        v1.ClientSecurity.INSECURE_PLAINTEXT_CREDENTIALS,
      );
      try {
        await client.promises.writeSchema(
          v1.WriteSchemaRequest.create({ schema: bootstrap.schema }),
        );
        const updates = bootstrap.relationships.map((text) => ({
          operation: v1.RelationshipUpdate_Operation.TOUCH,
          relationship: relationshipOf(text),
        }));
        await client.promises.writeRelationships(v1.WriteRelationshipsRequest.create({ updates }));
      } finally {
        client.close();
      }
    },
    kill: notOurs,
    freeze: notOurs,
    thaw: notOurs,
    dispose: () => Promise.resolve(),
  };
}

function notOurs(): never {
  throw new Error("this server is not ours to stop");
}

const RELATIONSHIP = /^(\w+):(\w[\w-]*)#(\w+)@(\w+):(\w+)(?:\[expiration:(.+)\]|\[(\w+):(.+)\])?$/;

function relationshipOf(text: string): v1.Relationship {
  const [, type, id, relation, subjectType, subject, expiration, caveat, context] =
    RELATIONSHIP.exec(text) ?? [];
  return v1.Relationship.create({
    resource: { objectType: type ?? "", objectId: id ?? "" },
    relation: relation ?? "",
    subject: {
      object: { objectType: subjectType ?? "", objectId: subject ?? "" },
      optionalRelation: "",
    },
    ...(caveat === undefined || context === undefined
      ? {}
      : {
          optionalCaveat: {
            caveatName: caveat,
            context: v1.PbStruct.fromJson(JSON.parse(context) as Record<string, number>),
          },
        }),
    ...(expiration === undefined
      ? {}
      : { optionalExpiresAt: { seconds: String(Date.parse(expiration) / 1000), nanos: 0 } }),
  });
}

async function listening(port: number, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`spicedb ended at once (exit ${child.exitCode})`);
    // oxlint-disable-next-line no-await-in-loop -- polls, with a deadline
    if (await accepts(port)) return;
    // oxlint-disable-next-line no-await-in-loop
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error("spicedb did not start to listen");
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

function indent(text: string): string {
  return text
    .trim()
    .split("\n")
    .map((line) => `  ${line}`)
    .join("\n");
}
