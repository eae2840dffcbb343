/** Schema and relationships of the demonstration, written to any SpiceDB. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { deadlineInterceptor, v1 } from "@authzed/authzed-node";
import { encodeObjectId } from "@countersign/model";
import grpc from "@grpc/grpc-js";

const CALL_TIMEOUT_MS = 5_000;

/** Where SpiceDB is: `host:port` and its preshared key. */
export interface Server {
  readonly endpoint: string;
  readonly token: string;
}

/**
 * Writes schema and relationships. A SpiceDB that already holds another schema is left alone: it is somebody's.
 *
 * @param files The directory that the filesystem server may touch.
 * @throws Error when it holds another schema, refuses the token, or cannot be reached.
 */
export async function seed(server: Server, files: string): Promise<void> {
  const client = connect(server);
  try {
    const schema = readFileSync(join(import.meta.dirname, "schema.zed"), "utf8");
    const held = await heldSchema(client);
    if (held === undefined) {
      await client.promises.writeSchema(v1.WriteSchemaRequest.create({ schema }));
    } else if (!sameDefinitions(held, schema)) {
      throw new Error(
        `${server.endpoint} holds another schema; give an empty SpiceDB, or unset COUNTERSIGN_SPICEDB_ENDPOINT`,
      );
    }
    const text = readFileSync(join(import.meta.dirname, "relationships.txt"), "utf8");
    const filled = text.replaceAll("{files}", encodeObjectId(files));
    const updates = parseRelationships(filled).map((relationship) =>
      v1.RelationshipUpdate.create({
        operation: v1.RelationshipUpdate_Operation.TOUCH,
        relationship,
      }),
    );
    await client.promises.writeRelationships(v1.WriteRelationshipsRequest.create({ updates }));
  } finally {
    client.close();
  }
}

/** Resolves when the server answers; rejects with the last reason after `timeoutMs`, at once for a refused token. */
export async function waitForSpicedb(server: Server, timeoutMs: number): Promise<void> {
  const until = Date.now() + timeoutMs;
  const client = connect(server);
  try {
    for (;;) {
      try {
        await heldSchema(client);
        return;
      } catch (error) {
        const code = (error as { code?: number }).code;
        const refused =
          code === grpc.status.PERMISSION_DENIED || code === grpc.status.UNAUTHENTICATED;
        if (refused) throw new Error(`${server.endpoint} refuses the token`, { cause: error });
        if (Date.now() > until) {
          throw new Error(`${server.endpoint} does not answer`, { cause: error });
        }
        await delay(100);
      }
    }
  } finally {
    client.close();
  }
}

function connect(server: Server): v1.ZedClientInterface {
  return v1.NewClient(
    server.token,
    server.endpoint,
    v1.ClientSecurity.INSECURE_PLAINTEXT_CREDENTIALS,
    undefined,
    { interceptors: [deadlineInterceptor(CALL_TIMEOUT_MS)] },
  );
}

async function heldSchema(client: v1.ZedClientInterface): Promise<string | undefined> {
  try {
    const answer = await client.promises.readSchema(v1.ReadSchemaRequest.create({}));
    return answer.schemaText;
  } catch (error) {
    if ((error as { code?: number }).code === grpc.status.NOT_FOUND) return undefined;
    throw error;
  }
}

/** SpiceDB returns its own formatting and order, so compare which definitions and members there are. */
function sameDefinitions(left: string, right: string): boolean {
  return members(left) === members(right);
}

function members(schema: string): string {
  return schema
    .replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "")
    .split("\n")
    .map((line) => line.replaceAll(/\s+/g, " ").trim())
    .filter((line) => /^(definition|caveat|relation|permission) /.test(line))
    .map((line) => line.replaceAll(/[{}\s]/g, ""))
    .toSorted()
    .join("\n");
}

const LINE = /^([a-z_]+):([^#]+)#([a-z_]+)@([a-z_]+):([^[]+)(?:\[([a-z_]+):(\{.*\})\])?$/;

/** Lines of `type:id#relation@type:id[caveat:{json}]`; `#` starts a comment line. */
function parseRelationships(text: string): v1.Relationship[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const match = LINE.exec(line);
      if (match === null) throw new Error("relationships.txt: a line is not a relationship");
      const [, type, id, relation, subjectType, subjectId, caveat, context] = match as unknown as [
        string,
        string,
        string,
        string,
        string,
        string,
        string?,
        string?,
      ];
      return v1.Relationship.create({
        resource: { objectType: type, objectId: id },
        relation,
        subject: { object: { objectType: subjectType, objectId: subjectId }, optionalRelation: "" },
        ...(caveat === undefined
          ? {}
          : {
              optionalCaveat: {
                caveatName: caveat,
                context: v1.PbStruct.fromJson(JSON.parse(context ?? "{}")),
              },
            }),
      });
    });
}
