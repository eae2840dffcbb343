// The frame of a configuration: sections, ids, pipelines. What a component makes of its settings is its own affair.
import { nearestName } from "@countersign/model/document";
import { parseComponentId } from "./component-id.ts";
import type { ConfigPath, ConfigReport } from "./config-report.ts";
import type { ComponentKind } from "./spec.ts";
import { parseDuration } from "./units.ts";

/** A pipeline as written. */
export interface PipelineShape {
  readonly id: string;
  readonly receivers: readonly string[];
  readonly processors: readonly string[];
  readonly exporters: readonly string[];
  readonly onFull: "refuse" | "drop";
}

/** The frame of a configuration. */
export interface ConfigShape {
  readonly sections: Readonly<Record<ComponentKind, ReadonlyMap<string, unknown>>>;
  readonly extensions: readonly string[];
  readonly pipelines: readonly PipelineShape[];
  readonly deadLetter?: string;
  readonly quarantine?: string;
  readonly receipts?: string;
  readonly drainTimeoutMs: number;
}

/** Section of each kind. */
export const SECTION: Readonly<Record<ComponentKind, string>> = {
  receiver: "receivers",
  processor: "processors",
  exporter: "exporters",
  connector: "connectors",
  extension: "extensions",
  client: "clients",
};

const TOP = [...Object.values(SECTION), "service"];
const SERVICE = [
  "extensions",
  "dead_letter",
  "quarantine",
  "receipts",
  "drain_timeout",
  "pipelines",
];
const PIPELINE = ["receivers", "processors", "exporters", "on_full"];

/** Whoever stops a service (a supervisor, Kubernetes) waits a while and then kills it. */
const DRAIN_MS = { least: 1000, default: 10_000, most: 10 * 60_000 } as const;

type Fields = Readonly<Record<string, unknown>>;

/** Checks the frame. Undefined when there is nothing to go on with. */
export function checkShape(value: unknown, report: ConfigReport): ConfigShape | undefined {
  const root = fields(value, [], report);
  if (root === undefined) return undefined;
  known(root, TOP, [], report);
  const service = fields(root["service"], ["service"], report);
  if (service === undefined) return undefined;
  known(service, SERVICE, ["service"], report);
  const section = (kind: ComponentKind): ReadonlyMap<string, unknown> =>
    sectionOf(root[SECTION[kind]], SECTION[kind], report);
  const deadLetter = idAt(service["dead_letter"], ["service", "dead_letter"], report);
  const quarantine = idAt(service["quarantine"], ["service", "quarantine"], report);
  const receipts = idAt(service["receipts"], ["service", "receipts"], report);
  return {
    sections: {
      receiver: section("receiver"),
      processor: section("processor"),
      exporter: section("exporter"),
      connector: section("connector"),
      extension: section("extension"),
      client: section("client"),
    },
    extensions: ids(service["extensions"], ["service", "extensions"], report),
    pipelines: pipelinesOf(service["pipelines"], report),
    drainTimeoutMs: drainOf(service["drain_timeout"], report),
    ...(deadLetter === undefined ? {} : { deadLetter }),
    ...(quarantine === undefined ? {} : { quarantine }),
    ...(receipts === undefined ? {} : { receipts }),
  };
}

function fields(value: unknown, path: ConfigPath, report: ConfigReport): Fields | undefined {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields;
  const where = path.length === 0 ? "the configuration" : `\`${path.join(".")}\``;
  const problem =
    value === undefined || value === null ? "is missing or empty" : "is not a mapping";
  report.problem(path, `${where} ${problem}`, "write `key: value` lines below it");
  return undefined;
}

function known(
  value: Fields,
  names: readonly string[],
  path: ConfigPath,
  report: ConfigReport,
): void {
  for (const key of Object.keys(value)) {
    if (names.includes(key)) continue;
    report.keyProblem([...path, key], "unknown key", keyFix(key, names, path));
  }
}

/** Keys of the Collector's frame that this one has not, by path. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  "service.telemetry":
    "remove it: metrics are served by the extension `metrics`, logs go to stderr, and its own traces follow the OTEL_* variables",
  pipelines: "indent it below `service`",
};

function keyFix(key: string, names: readonly string[], path: ConfigPath): string {
  const elsewhere = ELSEWHERE[[...path, key].join(".")];
  if (elsewhere !== undefined) return elsewhere;
  const near = nearestName(key, names);
  if (near !== undefined) return `did you mean ${near}?`;
  const indent = path.length === 0 ? ", or indent it below the section that it belongs to" : "";
  return `use one of: ${names.join(", ")}${indent}`;
}

function sectionOf(
  value: unknown,
  name: string,
  report: ConfigReport,
): ReadonlyMap<string, unknown> {
  if (value === undefined || value === null) return new Map();
  const entries = Object.entries(fields(value, [name], report) ?? {});
  for (const [id] of entries) {
    if (parseComponentId(id) === undefined) {
      report.keyProblem(
        [name, id],
        "not a component id",
        "use `type` or `type/name`, for example `file/siem`",
      );
    }
  }
  return new Map(entries.filter(([id]) => parseComponentId(id) !== undefined));
}

function ids(value: unknown, path: ConfigPath, report: ConfigReport): readonly string[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) {
    report.problem(path, "not a list", "write a list of component ids: [otlp, otlp/tls]");
    return [];
  }
  const seen = new Set<string>();
  for (const [index, item] of value.entries()) {
    // A text that can be no id is not there either: who looks for it says what is near.
    const id = typeof item === "string" ? item : idAt(item, [...path, index], report);
    if (id === undefined) continue;
    if (seen.has(id))
      report.problem([...path, index], `${id} is listed twice`, "remove one of the two");
    seen.add(id);
  }
  return [...seen];
}

function idAt(value: unknown, path: ConfigPath, report: ConfigReport): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "string" && parseComponentId(value) !== undefined) return value;
  report.problem(path, "not a component id", "use `type` or `type/name`, for example `file/siem`");
  return undefined;
}

function drainOf(value: unknown, report: ConfigReport): number {
  if (value === undefined) return DRAIN_MS.default;
  const ms = typeof value === "string" ? parseDuration(value) : undefined;
  if (ms !== undefined && ms >= DRAIN_MS.least && ms <= DRAIN_MS.most) return ms;
  const message =
    ms === undefined ? "not a duration" : "not a time that a stop can be given: 1s to 10m";
  report.problem(
    ["service", "drain_timeout"],
    message,
    "write it with its unit, for example `30s`",
  );
  return DRAIN_MS.default;
}

function pipelinesOf(value: unknown, report: ConfigReport): readonly PipelineShape[] {
  const path = ["service", "pipelines"];
  const all = Object.entries(fields(value, path, report) ?? {});
  return all.flatMap(([id, pipeline]) => {
    const shape = pipelineOf(id, pipeline, [...path, id], report);
    return shape === undefined ? [] : [shape];
  });
}

function pipelineFix(type: string | undefined): string {
  if (type === "logs") {
    return "events come as log records, and their pipelines are called `decisions`; send other logs to a Collector";
  }
  if (type === "metrics" || type === "profiles") return `remove it: send ${type} to a Collector`;
  return "name it `traces`, `decisions`, or `<signal>/<name>`";
}

function pipelineOf(
  id: string,
  value: unknown,
  path: ConfigPath,
  report: ConfigReport,
): PipelineShape | undefined {
  const type = parseComponentId(id)?.type;
  if (type !== "traces" && type !== "decisions") {
    report.keyProblem(path, "not a pipeline of this build", pipelineFix(type));
    return undefined;
  }
  const pipeline = fields(value, path, report);
  if (pipeline === undefined) return undefined;
  known(pipeline, PIPELINE, path, report);
  const onFull = pipeline["on_full"] ?? "refuse";
  if (onFull !== "refuse" && onFull !== "drop") {
    report.problem([...path, "on_full"], "not a way to be full", "use `refuse` or `drop`");
  } else if (onFull === "drop" && type !== "traces") {
    report.problem(
      [...path, "on_full"],
      "decisions are never dropped",
      "remove `on_full: drop`: it is legal in traces pipelines only",
    );
  }
  return {
    id,
    receivers: ids(pipeline["receivers"], [...path, "receivers"], report),
    processors: ids(pipeline["processors"], [...path, "processors"], report),
    exporters: ids(pipeline["exporters"], [...path, "exporters"], report),
    onFull: onFull === "drop" ? "drop" : "refuse",
  };
}
