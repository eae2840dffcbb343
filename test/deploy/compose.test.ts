import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { findTool } from "./found-tool.ts";

interface Service {
  image?: string;
  build?: { dockerfile: string; target: string };
  network_mode?: string;
  ports?: string[];
  read_only?: boolean;
  cap_drop?: string[];
  security_opt?: string[];
  healthcheck?: { test?: string[]; disable?: boolean };
  volumes?: string[];
}

const deploy = join(import.meta.dirname, "..", "..", "deploy");
const file = join(deploy, "compose.yaml");
const services = (
  parse(readFileSync(file, "utf8"), { merge: true }) as { services: Record<string, Service> }
).services;
const names = Object.keys(services);
const keys = { COUNTERSIGN_SPICEDB_TOKEN: "k", COUNTERSIGN_CONSOLE_TOKEN: "t" };
const compose = findTool("docker-compose");

function config(env: Record<string, string>): { status: number | null; stderr: string } {
  return spawnSync(compose as string, ["--file", file, "--profile", "*", "config", "--quiet"], {
    encoding: "utf8",
    env: { PATH: process.env["PATH"] ?? "", HOME: "/nonexistent", ...env },
  });
}

test.skipIf(compose === undefined)("compose accepts the file", () => {
  expect(config(keys)).toMatchObject({ status: 0, stderr: "" });
});

test.skipIf(compose === undefined).each(Object.keys(keys))(
  "it does not start without %s",
  (key) => {
    const { status, stderr } = config({ ...keys, [key]: "" });
    expect(status).not.toBe(0);
    expect(stderr).toContain(key);
  },
);

test("it has SpiceDB, Kafka, Jaeger, the processor and the demonstration", () => {
  expect(names).toEqual(
    expect.arrayContaining(["spicedb", "kafka", "jaeger", "processor", "demo"]),
  );
});

test.each(names)("%s is pinned to one version", (name) => {
  const { image, build } = services[name] as Service;
  expect(image).toMatch(build === undefined ? /:v?\d+\.\d+\.\d+/ : /^countersign(-demo)?:dev$/);
});

test.each(names)("%s is published on loopback only", (name) => {
  for (const port of services[name]?.ports ?? []) expect(port).toMatch(/^127\.0\.0\.1:\d+:\d+$/);
});

test.each(names)("%s has no capabilities and cannot gain any", (name) => {
  const service = services[name] as Service;
  expect(service.cap_drop).toEqual(["ALL"]);
  expect(service.security_opt).toEqual(["no-new-privileges:true"]);
});

test.each(names.filter((name) => name !== "kafka"))("%s has a read-only root", (name) => {
  expect(services[name]?.read_only).toBe(true);
});

test.each(names.filter((name) => name !== "processor"))(
  "%s says how it is, or that it does not",
  (name) => {
    const { healthcheck } = services[name] as Service;
    expect(healthcheck?.test !== undefined || healthcheck?.disable === true).toBe(true);
  },
);

test("what has no authentication listens in the shared namespace, on loopback", () => {
  for (const name of ["spicedb", "processor", "demo"]) {
    expect(services[name]?.network_mode).toBe("service:pod");
    expect(services[name]?.ports).toBeUndefined();
  }
  expect(JSON.stringify(services["spicedb"])).toContain("--grpc-addr=127.0.0.1:50051");
});
