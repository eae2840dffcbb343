// The guide's configurations, word for word but for ports and folders: from OTLP through the archive into the receiver's file.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createService, loadConfig } from "@countersign/processor";
import { expect, onTestFinished, test } from "vitest";
import { parse, stringify } from "yaml";
import { cefFormat } from "../../packages/processor/src/formats/cef.ts";
import { sealedEvents } from "../../packages/processor/src/testing/events.ts";
import { logRecord, requestOf } from "../../packages/processor/src/testing/logs.ts";
import { freePort } from "../free-port.ts";
import { findService } from "./find.ts";
import { until } from "./kafka-parts.ts";
import { receiverProcess } from "./syslog-receivers.ts";

const root = join(import.meta.dirname, "..", "..");
const guide = readFileSync(join(root, "docs", "guides", "syslog.md"), "utf8");

const block = (name: string): string => {
  const found = new RegExp(`<!-- ${name} -->\n\`\`\`[a-z]+\n([^]*?)\`\`\``).exec(guide)?.[1];
  if (found === undefined) throw new Error(`the guide has no block ${name}`);
  return found;
};

const RECEIVERS = ["rsyslog", "syslog-ng"].map((name) => {
  const found = findService(name);
  return { name, program: found?.kind === "binary" ? found.path : undefined };
});

test.each(RECEIVERS.filter(({ program }) => program !== undefined))(
  "$name as the guide has it: certificates by its commands, its configuration, our exporter",
  async ({ name, program }) => {
    const directory = mkdtempSync(join(tmpdir(), "countersign-syslog-guide-"));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    const commands = /```sh\n(openssl[^]*?)```/.exec(guide)?.[1] ?? "exit 1";
    execFileSync("bash", ["-euc", commands], { cwd: directory, stdio: "ignore" });

    const port = await freePort();
    const out = join(directory, "countersign.log");
    const here = (text: string): string =>
      text
        .replaceAll(/\/etc\/(?:rsyslog\.d|syslog-ng|countersign)\/tls/g, directory)
        .replaceAll("/var/log/countersign.log", out)
        .replaceAll("0.0.0.0", "127.0.0.1")
        .replaceAll("6514", String(port));
    const config = join(directory, `${name}.conf`);
    writeFileSync(config, here(block(name)));
    const state = join(directory, "state");
    mkdirSync(state);
    const args =
      name === "rsyslog"
        ? ["-n", "-iNONE", "-f", config]
        : [
            "-F",
            "--no-caps",
            "-f",
            config,
            "-p",
            `${state}/pid`,
            "-R",
            `${state}/r`,
            "-c",
            `${state}/c`,
          ];
    const receiver = receiverProcess({ program: program as string, args, port, out });
    await receiver.start();
    onTestFinished(() => receiver.end("SIGKILL"));

    const yaml = parse(
      readFileSync(join(root, "config", "embedded.yaml"), "utf8")
        .replaceAll("./.countersign", join(directory, "processor"))
        .replaceAll(/127\.0\.0\.1:(?:4318|13133|8888|4180)/g, "127.0.0.1:0"),
    ) as { exporters: object; service: { pipelines: Record<string, unknown> } };
    Object.assign(yaml.exporters, parse(here(block("exporter"))));
    Object.assign(
      yaml.service.pipelines,
      parse(/```yaml\n(decisions\/siem:[^]*?)```/.exec(guide)?.[1] ?? ""),
    );
    const file = join(directory, "processor.yaml");
    const service = createService(loadConfig(stringify(yaml), file, {}).config);
    await service.start();
    onTestFinished(() => service.stop(AbortSignal.timeout(10_000)));

    const events = sealedEvents(20, { outcomes: true });
    const answer = await fetch(`${service.endpoints["otlp"]}/v1/logs`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(requestOf(events.map(logRecord))),
    });
    expect(answer.status).toBe(200);
    const lines = (): readonly string[] =>
      existsSync(out) ? readFileSync(out, "utf8").split("\n").slice(0, -1) : [];
    await until("all are written", () => lines().length >= events.length);
    expect(lines().toSorted()).toEqual(
      events.map((event) => Buffer.from(cefFormat.line(event) ?? "").toString()).toSorted(),
    );
  },
);
