// One Keycloak process on loopback, with its own database in memory and a realm of our own.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { freePort } from "../free-port.ts";
import { keycloakRealm, REALM } from "./keycloak-realm.ts";

/** A running one. */
export interface Keycloak {
  readonly issuer: string;
  /** A request to the realm's admin API, as the administrator. `path` is below `/admin/realms/<realm>`. */
  admin(method: string, path: string, body?: unknown): Promise<unknown>;
  /** SIGKILL by pid; removes its files. */
  dispose(): Promise<void>;
}

const START_TIMEOUT_MS = 120_000;
const ADMIN = { username: "admin", password: "admin-of-this-test" };

/** Starts it, from the `kc.sh` of an installation that was built with `--db=dev-mem`. Resolves when the realm answers. */
export async function startKeycloak(program: string): Promise<Keycloak> {
  const home = ownHome(dirname(dirname(realpathSync(program))));
  const [port, managementPort] = await Promise.all([freePort(), freePort()]);
  const origin = `http://127.0.0.1:${port}`;
  const child = run(home, [
    `--hostname=${origin}`,
    "--http-enabled=true",
    "--http-host=127.0.0.1",
    `--http-port=${port}`,
    `--http-management-port=${managementPort}`,
    "--cache=local",
    "--import-realm",
    "--log-level=warn",
  ]);
  const dispose = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    }
    rmSync(home, { recursive: true, force: true });
  };
  const issuer = `${origin}/realms/${REALM}`;
  try {
    await answering(`${issuer}/.well-known/openid-configuration`, child);
  } catch (error) {
    const log = readFileSync(join(home, "log"), "utf8").slice(-4000);
    await dispose();
    throw new Error(`keycloak did not start: ${log}`, { cause: error });
  }
  return { issuer, admin: adminOf(origin), dispose };
}

/** The installation is shared and stays as it is: what a server writes goes into a home of its own. */
function ownHome(installation: string): string {
  const home = mkdtempSync(join(tmpdir(), "countersign-keycloak-"));
  for (const folder of ["lib", "conf", "providers", "themes"]) {
    symlinkSync(join(installation, folder), join(home, folder));
  }
  mkdirSync(join(home, "data", "import"), { recursive: true });
  writeFileSync(
    join(home, "data", "import", `${REALM}-realm.json`),
    JSON.stringify(keycloakRealm()),
  );
  return home;
}

/** What `kc.sh start` runs, without the shell in between: so that the child is the server, and its pid is the one to kill. */
function run(home: string, options: readonly string[]): ChildProcess {
  const opens = ["java.util", "java.util.concurrent", "java.security", "java.lang"];
  const log = openSync(join(home, "log"), "w");
  const child = spawn(
    process.env["JAVA_HOME"] === undefined ? "java" : join(process.env["JAVA_HOME"], "bin", "java"),
    [
      "-Xms64m",
      "-Xmx384m",
      "-XX:+UseSerialGC",
      "-XX:TieredStopAtLevel=1",
      ...opens.map((name) => `--add-opens=java.base/${name}=ALL-UNNAMED`),
      `-Djava.io.tmpdir=${home}`,
      `-Dkc.home.dir=${home}`,
      `-Djboss.server.config.dir=${join(home, "conf")}`,
      "-Djava.util.logging.manager=org.jboss.logmanager.LogManager",
      "-Dpicocli.disable.closures=true",
      "-Djava.util.concurrent.ForkJoinPool.common.threadFactory=io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory",
      "-cp",
      join(home, "lib", "quarkus-run.jar"),
      "io.quarkus.bootstrap.runner.QuarkusEntryPoint",
      "start",
      "--optimized",
      ...options,
    ],
    {
      stdio: ["ignore", log, log],
      env: {
        PATH: process.env["PATH"],
        KC_BOOTSTRAP_ADMIN_USERNAME: ADMIN.username,
        KC_BOOTSTRAP_ADMIN_PASSWORD: ADMIN.password,
      },
    },
  );
  closeSync(log);
  return child;
}

/** It listens long before it has its realm. */
async function answering(url: string, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < deadline) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error("it ended");
    // oxlint-disable-next-line no-await-in-loop -- asked until it answers
    const answer = await fetch(url, { signal: AbortSignal.timeout(5000) }).catch(() => undefined);
    // oxlint-disable-next-line no-await-in-loop
    await answer?.body?.cancel();
    if (answer?.ok === true) return;
    // oxlint-disable-next-line no-await-in-loop
    await delay(100);
  }
  throw new Error(`no answer within ${START_TIMEOUT_MS} ms`);
}

function adminOf(origin: string): Keycloak["admin"] {
  return async (method, path, body) => {
    const token = await adminToken(origin);
    const response = await fetch(`${origin}/admin/realms/${REALM}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === "" ? undefined : (JSON.parse(text) as unknown);
  };
}

async function adminToken(origin: string): Promise<string> {
  const response = await fetch(`${origin}/realms/master/protocol/openid-connect/token`, {
    method: "POST",
    body: new URLSearchParams({ grant_type: "password", client_id: "admin-cli", ...ADMIN }),
  });
  return ((await response.json()) as { access_token: string }).access_token;
}
