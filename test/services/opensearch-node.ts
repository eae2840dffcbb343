// One OpenSearch node, without security, index state management, or anything else that is a plugin.
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../free-port.ts";
import { type SearchEngine, startEngine } from "./search-engine.ts";

/** Starts one, from the `opensearch` that `.ci/services.sh` makes. */
export async function startOpenSearch(program: string): Promise<SearchEngine> {
  const directory = mkdtempSync(join(tmpdir(), "countersign-opensearch-"));
  const [port, transportPort] = await Promise.all([freePort(), freePort()]);
  return await startEngine({
    name: "opensearch",
    directory,
    port,
    command: [
      program,
      join(directory, "node"),
      "network.host=127.0.0.1",
      `http.port=${port}`,
      `transport.port=${transportPort}`,
      // A full disk of somebody else's is not what is tested.
      "cluster.routing.allocation.disk.threshold_enabled=false",
    ],
    options: {
      env: {
        PATH: process.env["PATH"],
        OPENSEARCH_JVM_OPTIONS:
          "-Xms128m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData",
      },
    },
  });
}
