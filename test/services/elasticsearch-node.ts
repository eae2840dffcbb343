// One Elasticsearch node with TLS and two users: the administrator, and a shipper with the rights that the guide gives its key.
import {
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { certificate } from "../../packages/processor/src/testing/certificates.ts";
import { freePort } from "../free-port.ts";
import { type SearchEngine, startEngine } from "./search-engine.ts";

export const SHIPPER = { username: "shipper", password: "password-of-the-shipper" };
export const ADMIN = { username: "admin", password: "password-of-the-admin" };
const NOBODY = 65_534;

/** A node whose users change. */
export interface ElasticsearchNode {
  readonly engine: SearchEngine;
  /** Gives the shipper another password; the node reads it within seconds. */
  setPassword(password: string): void;
}

/** Starts one, from the `elasticsearch` that `.ci/services.sh` makes. `privileges`: of the shipper, on `logs-countersign.*-*`. */
export async function startElasticsearch(
  program: string,
  privileges: readonly string[],
): Promise<ElasticsearchNode> {
  const directory = mkdtempSync(join(tmpdir(), "countersign-elasticsearch-"));
  const [port, transportPort] = await Promise.all([freePort(), freePort()]);
  // It refuses to run as root, and nobody may not read root's cache.
  const home = join(directory, "home");
  cpSync(dirname(dirname(realpathSync(program))), home, { recursive: true });
  const { cert, key } = certificate({ subject: "CN=localhost", usage: "server" });
  const conf = join(directory, "conf");
  mkdirSync(conf);
  for (const name of ["jvm.options", "log4j2.properties"])
    cpSync(join(home, "config", name), join(conf, name));
  const write = (name: string, ...lines: string[]): void =>
    writeFileSync(join(conf, name), `${lines.join("\n")}\n`);
  write("http.crt", cert);
  write("http.key", key);
  const setPassword = (password: string): void =>
    write("users", `${ADMIN.username}:${ADMIN.password}`, `${SHIPPER.username}:${password}`);
  setPassword(SHIPPER.password);
  write("users_roles", "superuser:admin", "shipper:shipper");
  write(
    "roles.yml",
    JSON.stringify({ shipper: { indices: [{ names: ["logs-countersign.*-*"], privileges }] } }),
  );
  write(
    "elasticsearch.yml",
    "network.host: 127.0.0.1",
    `http.port: ${port}`,
    `transport.port: ${transportPort}`,
    "discovery.type: single-node",
    "cluster.routing.allocation.disk.threshold_enabled: false",
    "resource.reload.interval.high: 1s",
    `path.data: ${join(directory, "data")}`,
    `path.logs: ${join(directory, "logs")}`,
    "xpack.security.enabled: true",
    "xpack.security.autoconfiguration.enabled: false",
    "xpack.security.http.ssl: { enabled: true, key: http.key, certificate: http.crt }",
  );
  const isRoot = process.getuid?.() === 0;
  if (isRoot) ownedByNobody(directory);
  const engine = await startEngine({
    name: "elasticsearch",
    directory,
    port,
    caFile: join(conf, "http.crt"),
    admin: ADMIN,
    command: [join(home, "bin", "elasticsearch")],
    options: {
      ...(isRoot ? { uid: NOBODY, gid: NOBODY } : {}),
      cwd: directory,
      env: {
        PATH: process.env["PATH"],
        HOME: directory,
        ES_PATH_CONF: conf,
        ES_JAVA_HOME: javaHome(),
        ES_JAVA_OPTS: "-Xms256m -Xmx384m -XX:-UseG1GC -XX:+UseSerialGC -XX:TieredStopAtLevel=1",
        CLI_JAVA_OPTS: "-Xmx64m -XX:+UseSerialGC -XX:TieredStopAtLevel=1",
      },
    },
  });
  return { engine, setPassword };
}

/** Of `java` on PATH, unless the environment says another. */
function javaHome(): string {
  const own = process.env["JAVA_HOME"];
  if (own !== undefined) return own;
  const java = (process.env["PATH"] ?? "")
    .split(delimiter)
    .map((folder) => join(folder, "java"))
    .find((file) => existsSync(file));
  if (java === undefined) throw new Error("no java on PATH, and no JAVA_HOME");
  return dirname(dirname(realpathSync(java)));
}

function ownedByNobody(path: string): void {
  chownSync(path, NOBODY, NOBODY);
  for (const entry of readdirSync(path, { withFileTypes: true, recursive: true }))
    chownSync(join(entry.parentPath, entry.name), NOBODY, NOBODY);
}
