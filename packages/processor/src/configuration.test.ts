import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { formatProblem } from "@countersign/model/document";
import { expect, onTestFinished, test } from "vitest";
import { loadConfig, validateConfig } from "./configuration.ts";
import { SHIPPED_ENV, writeSecrets } from "./testing/shipped-config.ts";

const root = join(import.meta.dirname, "..", "..", "..");
const golden = join(root, "test", "golden", "config");
const ENV = { REQUESTS: "8", TOKEN: "s3cret-value", TRACES_N: "17", FLAG: "true" };

const read = (file: string): string => readFileSync(join(golden, file), "utf8");

test.each(readdirSync(golden).filter((file) => file.endsWith(".yaml")))(
  "every problem of %s has its place and what to do",
  async (file) => {
    const { problems, warnings } = validateConfig(read(file), file, ENV);
    const lines = [
      ...problems.map((problem) => `problem ${formatProblem(problem)}`),
      ...warnings.map((warning) => `warning ${formatProblem(warning)}`),
    ];
    expect(lines.length).toBeGreaterThan(0);
    await expect(`${lines.join("\n")}\n`).toMatchFileSnapshot(
      join(golden, file.replace(".yaml", ".txt")),
    );
  },
);

test.each(readdirSync(join(root, "config")).filter((file) => file.endsWith(".yaml")))(
  "config/%s is valid, and everything in it is used",
  (file) => {
    const directory = mkdtempSync(join(tmpdir(), "countersign-shipped-"));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    const secrets = writeSecrets(directory);
    const text = readFileSync(join(root, "config", file), "utf8").replaceAll(
      /\/run\/secrets|\/etc\/countersign/g,
      secrets.directory,
    );
    const { problems, warnings } = validateConfig(text, file, SHIPPED_ENV);
    expect({ problems, warnings }).toEqual({ problems: [], warnings: [] });
  },
);

const traces = (exporter: string): string => `
receivers:
  otlp: { protocols: { http: { endpoint: "127.0.0.1:\${env:PORT:-4318}" } } }
exporters:
  ${exporter}
service:
  pipelines:
    traces: { receivers: [otlp], exporters: [${exporter.split(":", 1)[0]}] }
`;

test("variables stand for numbers where a number is wanted, and stay text where text is wanted", () => {
  const numbers = loadConfig(traces('memory: { traces: "${env:TRACES_N}" }'), "f", ENV).config;
  expect(numbers.exporters.get("memory")?.config).toMatchObject({
    traces: 17,
    spans_per_trace: 512,
  });
  expect(numbers.receivers.get("otlp")?.config).toMatchObject({
    protocols: { http: { endpoint: "127.0.0.1:4318" } },
  });
  const text = loadConfig(
    traces(
      'otlp_http: { endpoint: "http://127.0.0.1:1", headers: { a: "${env:TRACES_N}", b: "$$${env:FLAG}" } }',
    ),
    "f",
    ENV,
  ).config;
  expect(text.exporters.get("otlp_http")?.config).toMatchObject({
    headers: { a: "17", b: "$true" },
  });
});

test("a value is never in a problem: it may be a secret", () => {
  const { problems } = validateConfig(
    traces(
      'otlp_http: { endpoint: "${env:TOKEN}", encoding: "${env:TOKEN}", timeout: "${env:TOKEN}" }',
    ),
    "f",
    ENV,
  );
  expect(problems.length).toBe(3);
  expect(JSON.stringify(problems)).not.toContain("s3cret");
});

test("a quoted number is no number: only variables are read as one", () => {
  expect(validateConfig(traces('memory: { traces: "17" }'), "f", ENV).problems).toHaveLength(1);
});

test("a configuration with problems throws CONFIG_INVALID with all of them", () => {
  expect(() => loadConfig(read("settings.yaml"), "settings.yaml", ENV)).toThrow(
    expect.objectContaining({ code: "CONFIG_INVALID", problems: expect.any(Array) as unknown[] }),
  );
});
