// docs/guides/splunk.md, followed: its configuration and its commands, with the Collector's HEC receiver in the place of Splunk.
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { freePort } from "../free-port.ts";
import { findService } from "./find.ts";
import { until } from "./kafka-parts.ts";
import { hecCollector } from "./otelcol-hec.ts";
import { processorCommand } from "./processor-command.ts";

const found = findService("otelcol");
const program = found?.kind === "binary" ? found.path : undefined;
const ROOT = join(import.meta.dirname, "..", "..");
const EXAMPLE = "packages/processor/src/testing/otlp-logs.json";
const guide = readFileSync(join(ROOT, "docs", "guides", "splunk.md"), "utf8");

const blocks = (language: string): string[] =>
  [...guide.matchAll(new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``, "g"))].map(
    ([, text = ""]) => text,
  );

describe.skipIf(program === undefined)("the guide to Splunk", () => {
  test("its configuration and its commands bring a decision to a HEC receiver", async () => {
    const token = /token = (\S+)/.exec(guide)?.[1] ?? "";
    const to = await hecCollector(program as string, token);
    onTestFinished(() => to.dispose());
    await to.start();
    const directory = mkdtempSync(join(tmpdir(), "countersign-splunk-"));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    writeFileSync(join(directory, "splunk-ca.crt"), to.ca);
    mkdirSync(dirname(join(directory, EXAMPLE)), { recursive: true });
    copyFileSync(join(ROOT, EXAMPLE), join(directory, EXAMPLE));

    const [otlp, health, metrics] = [await freePort(), await freePort(), await freePort()];
    const here = (text: string): string =>
      text
        .replaceAll("https://splunk.example:8088", to.url)
        .replaceAll("./", `${directory}/`)
        .replaceAll("127.0.0.1:4318", `127.0.0.1:${otlp}`)
        .replaceAll("127.0.0.1:13133", `127.0.0.1:${health}`)
        .replaceAll("127.0.0.1:8888", `127.0.0.1:${metrics}`);
    const [yaml = ""] = blocks("yaml");
    const [ask = "", start = "", post = ""] = blocks("sh");
    expect(start).toBe("countersign processor --config splunk.yaml\n");
    writeFileSync(join(directory, "splunk.yaml"), here(yaml));

    const cli = join(ROOT, "packages", "cli", "src", "main.ts");
    const shell = (text: string): string => {
      const command = `set -e\ncountersign() { '${process.execPath}' --conditions=@countersign/source '${cli}' "$@"; }\n`;
      const run = spawnSync("bash", ["-c", command + here(text)], {
        cwd: directory,
        env: { ...process.env, SPLUNK_HEC_TOKEN: token },
        encoding: "utf8",
      });
      expect([run.status, `${run.stdout}${run.stderr}`]).toEqual([0, expect.any(String)]);
      return run.stdout;
    };
    expect(shell(ask)).toContain("HEC is healthy");

    process.env["SPLUNK_HEC_TOKEN"] = token;
    onTestFinished(() => void delete process.env["SPLUNK_HEC_TOKEN"]);
    const processor = processorCommand({
      configFile: join(directory, "splunk.yaml"),
      config: here(yaml),
      healthPort: health,
    });
    onTestFinished(() => processor.kill());
    await processor.start();
    shell(post);
    await until("it arrived", () => to.arrived().length === 1);
    expect(to.arrived()).toMatchObject([{ index: "mcp_audit", sourcetype: "countersign:native" }]);
    expect(await processor.drain()).toBe(0);
  });

  test("its stanza is for the source type that events have", () => {
    expect(blocks("ini").join("")).toContain("[countersign:native]");
  });
});
