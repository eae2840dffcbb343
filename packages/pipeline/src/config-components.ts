import { parseComponentId } from "./component-id.ts";
import { nearestName } from "@countersign/model/document";
import type { ErrorObject } from "ajv/dist/2020.js";
import type { ConfigAdvice, Configured } from "./configured.ts";
import type { Expanded } from "./config-expand.ts";
import { type ConfigPath, type ConfigReport, pathText } from "./config-report.ts";
import { errorPath, validateSettings } from "./config-schema.ts";
import { inlineSecrets } from "./config-secrets.ts";
import { type ConfigShape, SECTION } from "./config-shape.ts";
import type { ComponentKind, ComponentSpec, ConfigFault, Reference } from "./spec.ts";

/** Configured components of one kind, by id. */
type ComponentsOf<Kind extends ComponentKind> = ReadonlyMap<
  string,
  Configured<Extract<ComponentSpec, { kind: Kind }>>
>;

/** Every component of a configuration that could be understood, used or not. */
export interface CheckedComponents {
  readonly of: { readonly [Kind in ComponentKind]: ComponentsOf<Kind> };
  /** Named by another component, by where it stands. */
  readonly references: readonly (Reference & {
    readonly from: { kind: ComponentKind; id: string };
  })[];
}

interface Context {
  readonly specs: readonly ComponentSpec[];
  readonly expanded: Expanded;
  readonly report: ConfigReport;
  readonly advice: ConfigAdvice;
}

const KINDS: readonly ComponentKind[] = [
  "receiver",
  "processor",
  "exporter",
  "connector",
  "extension",
  "client",
];

/** Checks each component's type, settings, and the components that it names. */
export function checkComponents(shape: ConfigShape, context: Context): CheckedComponents {
  const all = new Map<ComponentKind, Map<string, Configured<ComponentSpec>>>();
  for (const kind of KINDS) {
    const section = new Map<string, Configured<ComponentSpec>>();
    for (const [id, settings] of shape.sections[kind]) {
      const component = configure({ kind, id, settings }, context);
      if (component !== undefined) section.set(id, component);
    }
    all.set(kind, section);
  }
  const of = Object.fromEntries(all) as unknown as CheckedComponents["of"];
  return { of, references: checkReferences(of, shape, context.report) };
}

interface Item {
  readonly kind: ComponentKind;
  readonly id: string;
  readonly settings: unknown;
}

function configure(item: Item, context: Context): Configured<ComponentSpec> | undefined {
  const { kind, id, settings } = item;
  const { specs, expanded, report } = context;
  const path = [SECTION[kind], id];
  const type = parseComponentId(id)?.type ?? "";
  const spec = specs.find((one) => one.kind === kind && (kind === "client" || one.type === type));
  if (spec === undefined) {
    report.keyProblem(
      path,
      `no ${kind} of type ${type} in this build`,
      typeFix(kind, type, context),
    );
    return undefined;
  }
  const validated = validateSettings(settings, spec.config, { paths: expanded.whole, base: path });
  report.schema(path, withoutAdvised(validated, { spec, path, context }));
  for (const secret of inlineSecrets(spec.config, settings)) {
    const at = [...path, ...secret];
    if (expanded.filled.has(pathText(at))) continue;
    const fix = "take it from `${env:NAME}` or `${file:/path}`";
    report.warning(at, "a secret stands in the file itself", fix);
  }
  if (validated.errors.length === 0) {
    reportFaults(spec.check?.(validated.config as never) ?? [], path, report);
  }
  return { id, spec, config: validated.config, files: filesBelow(path, expanded) };
}

function typeFix(kind: ComponentKind, type: string, { specs, advice }: Context): string {
  const advised = advice.components[kind]?.[type];
  if (advised !== undefined) return advised;
  const elsewhere = specs.find((one) => one.type === type && one.kind !== "client");
  if (elsewhere !== undefined) {
    return `move it: its place is under \`${SECTION[elsewhere.kind]}\``;
  }
  const types = specs.filter((one) => one.kind === kind).map((one) => one.type);
  if (types.length === 0) return "remove it";
  const near = nearestName(type, types);
  const others = `use one of: ${types.join(", ")}`;
  return near === undefined ? others : `did you mean ${near}? Else ${others}`;
}

/** Reports settings that are known elsewhere with what to do instead; gives the other errors. */
function withoutAdvised(
  { config, errors }: { readonly config: unknown; readonly errors: readonly ErrorObject[] },
  of: { readonly spec: ComponentSpec; readonly path: ConfigPath; readonly context: Context },
): readonly ErrorObject[] {
  const { spec, path, context } = of;
  return errors.filter((error) => {
    const name = (error.params as { readonly additionalProperty?: string }).additionalProperty;
    if (name === undefined) return true;
    const below = [...errorPath(error, config), name];
    const key = pathText(below);
    const { settings } = context.advice;
    const fix = settings[`${spec.kind}/${spec.type}.${key}`] ?? settings[`${spec.kind}/*.${key}`];
    if (fix === undefined) return true;
    context.report.keyProblem([...path, ...below], "is not a setting of this build", fix);
    return false;
  });
}

function reportFaults(
  faults: readonly ConfigFault[],
  base: ConfigPath,
  report: ConfigReport,
): void {
  for (const { path, message, fix, severity } of faults) {
    const at = [...base, ...path];
    if (severity === "warning") report.warning(at, message, fix);
    else report.problem(at, message, fix);
  }
}

function filesBelow(base: ConfigPath, { files }: Expanded): ReadonlyMap<string, string> {
  const start = `${pathText(base)}.`;
  return new Map(
    [...files].flatMap(([path, file]) =>
      path.startsWith(start) ? [[path.slice(start.length), file]] : [],
    ),
  );
}

function checkReferences(
  of: CheckedComponents["of"],
  shape: ConfigShape,
  report: ConfigReport,
): CheckedComponents["references"] {
  const found: (Reference & { from: { kind: ComponentKind; id: string } })[] = [];
  for (const kind of KINDS) {
    for (const [id, { spec, config }] of of[kind]) {
      for (const reference of safeReferences(spec, config)) {
        found.push({ ...reference, from: { kind, id } });
        checkReference(reference, { path: [SECTION[kind], id, ...reference.path], shape, report });
      }
    }
  }
  return found;
}

/** Settings with problems may lack what `references` looks at. */
function safeReferences(spec: ComponentSpec, config: unknown): readonly Reference[] {
  try {
    return (spec.references?.(config as never) ?? []).filter(({ id }) => typeof id === "string");
  } catch {
    return [];
  }
}

function checkReference(
  { id, kind, types }: Reference,
  { path, shape, report }: { path: ConfigPath; shape: ConfigShape; report: ConfigReport },
): void {
  const type = parseComponentId(id)?.type;
  const fitting = [...shape.sections[kind].keys()].filter(
    (one) => types === undefined || types.includes(parseComponentId(one)?.type ?? ""),
  );
  if (fitting.includes(id)) return;
  const what = shape.sections[kind].has(id)
    ? `${kind} ${id} is of type ${type}, not ${types?.join(" or ")}`
    : `no ${kind} is called ${id}`;
  const fix =
    fitting.length === 0
      ? `add one under \`${SECTION[kind]}\``
      : `use one of: ${fitting.join(", ")}`;
  report.problem(path, what, fix);
}
