// A Python service with the real OpenTelemetry SDK from PyPI, as the guide has it: its decisions reach the archive.
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { openArchive } from "@countersign/archive";
import type { DecisionEvent } from "@countersign/model";
import { expect, test } from "vitest";
import { embeddedHome, startProcessor } from "../e2e/processor-process.ts";

const GUIDE = join(
  import.meta.dirname,
  "..",
  "..",
  "docs",
  "guides",
  "spans-from-other-languages.md",
);

/** Python with the SDK, or undefined after one loud line. With `CI=true` its absence is an error. */
function pythonWithSdk(): string | undefined {
  const services =
    process.env["COUNTERSIGN_SERVICES_DIR"] ?? join(homedir(), ".cache", "countersign", "services");
  const program = join(services, "python", "python-otel", "bin", "python");
  if (existsSync(program)) return program;
  const missing = `no python with OpenTelemetry at ${program}: run \`bash .ci/services.sh python-otel\``;
  if (process.env["CI"] === "true") throw new Error(missing);
  process.stderr.write(`\nSKIPPED, ${missing}\n\n`);
  return undefined;
}

const python = pythonWithSdk();

/** The guide's configuration, in the embedded one. */
const withDecisions = (yaml: string): string =>
  yaml
    .replace(
      "connectors:\n",
      "connectors:\n  decisions: { source: urn:countersign:connector:ingest, tenant: acme }\n",
    )
    .replace(
      "    decisions:            { receivers: [otlp],",
      "    traces/foreign:       { receivers: [otlp], exporters: [decisions] }\n    decisions:            { receivers: [otlp, decisions],",
    );

test.skipIf(python === undefined)(
  "the program of the guide: an allow, a deny, and an authorizer that is away",
  async () => {
    using home = embeddedHome(0, withDecisions);
    const scratch = mkdtempSync(join(tmpdir(), "countersign-python-"));
    const processor = await startProcessor(home.config);
    try {
      const program = /<!-- python -->\n```python\n([^]*?)```/.exec(
        readFileSync(GUIDE, "utf8"),
      )?.[1];
      const file = join(scratch, "decisions.py");
      writeFileSync(file, program ?? "");
      const env = {
        PATH: process.env["PATH"] ?? "",
        OTEL_EXPORTER_OTLP_ENDPOINT: processor.endpoints["otlp"] ?? "",
      };
      const { stdout } = await promisify(execFile)(python ?? "", [file], { env });
      expect(stdout).toBe("True\nFalse\nFalse\n");
      const figures = await (await fetch(`${processor.endpoints["metrics"]}/metrics`)).text();
      expect(figures).toContain(
        'countersign_connector_decision_spans_total{connector="decisions",result="accepted"} 3',
      );
      expect(await processor.end("SIGTERM")).toBe(0);
    } finally {
      processor.child.kill("SIGKILL");
      rmSync(scratch, { recursive: true, force: true });
    }
    const log = await openArchive({
      directory: join(home.directory, "archive"),
      origin: "countersign.local/default",
    });
    try {
      const events = (await log.read(0n, 10)).map(({ event }) => event.event as DecisionEvent);
      expect(
        events.map(({ data }) => [data.evidence, data.decision, data.reason, data.effect]),
      ).toEqual([
        ["span", "allow", "permitted", "run"],
        ["span", "deny", "forbidden", "block"],
        ["span", "error", "pdp_unavailable", "block"],
      ]);
      for (const { source, traceparent, data } of events) {
        expect(source).toBe("urn:countersign:connector:ingest");
        expect(traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
        expect(data).toMatchObject({
          tenant: "acme",
          server: { id: "tickets-py" },
          call: { method: "tools/call", name: "read_ticket", transport: "http" },
          checks: [{ engine: "spicedb", resource: { type: "ticket", id: "T-1042" } }],
        });
      }
      expect(events[1]?.data.checks?.[0]?.subject.id).toBe("bob=40example=2Ecom");
    } finally {
      await log.close();
    }
  },
);
