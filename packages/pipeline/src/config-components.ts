import { parseComponentId } from "./component-id.ts";
import type { Configured } from "./config.ts";
import type { Expanded } from "./config-expand.ts";
import { type ConfigPath, type ConfigReport, pathText } from "./config-report.ts";
import { validateSettings } from "./config-schema.ts";
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

function configure(
  item: { kind: ComponentKind; id: string; settings: unknown },
  { specs, expanded, report }: Context,
): Configured<ComponentSpec> | undefined {
  const { kind, id, settings } = item;
  const path = [SECTION[kind], id];
  const type = parseComponentId(id)?.type;
  const spec = specs.find((one) => one.kind === kind && (kind === "client" || one.type === type));
  if (spec === undefined) {
    const types = specs.filter((one) => one.kind === kind).map((one) => one.type);
    const fix = types.length === 0 ? "remove it" : `use one of: ${types.join(", ")}`;
    report.keyProblem(path, `no ${kind} of type ${type} in this build`, fix);
    return undefined;
  }
  const validated = validateSettings(settings, spec.config, { paths: expanded.whole, base: path });
  report.schema(path, validated.errors);
  if (validated.errors.length === 0) {
    reportFaults(spec.check?.(validated.config as never) ?? [], path, report);
  }
  return { id, spec, config: validated.config, files: filesBelow(path, expanded) };
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
