import type { StdioSession } from "./stdio-session.ts";

/** One tool as the server describes it. Every string is the server's own and may be hostile. */
export interface OfferedTool {
  readonly name: string;
  readonly readOnly: boolean;
  /**
   * Arguments that may name a resource: the required strings and arrays of strings (`paths[*]`), or, without any, the
   * optional ones.
   */
  readonly textArguments: readonly string[];
}

/** What a server offers. */
export interface Offer {
  readonly tools: readonly OfferedTool[];
  readonly resources: readonly string[];
  readonly templates: readonly string[];
  readonly prompts: readonly string[];
  /** Whether a list was cut at its limit. */
  readonly cut: boolean;
}

const MAX_PAGES = 50;
const MAX_ENTRIES = 1_000;
type Entry = Record<string, unknown>;

/** Asks a server for all that it lists; a list that it does not have is empty. At most 1,000 entries a list are read. */
export async function askOffer(session: StdioSession): Promise<Offer> {
  const has = (name: string): boolean => session.capabilities[name] !== undefined;
  const none: Entry[] = [];
  const tools = has("tools") ? await list(session, "tools/list", "tools") : none;
  const resources = has("resources") ? await list(session, "resources/list", "resources") : none;
  const templates = has("resources")
    ? await list(session, "resources/templates/list", "resourceTemplates")
    : none;
  const prompts = has("prompts") ? await list(session, "prompts/list", "prompts") : none;
  return {
    tools: tools.flatMap(toTool),
    resources: resources.flatMap((entry) => text(entry["uri"])),
    templates: templates.flatMap((entry) => text(entry["uriTemplate"])),
    prompts: prompts.flatMap((entry) => text(entry["name"])),
    cut: [tools, resources, templates, prompts].some((entries) => entries.length >= MAX_ENTRIES),
  };
}

async function list(session: StdioSession, method: string, member: string): Promise<Entry[]> {
  const entries: Entry[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < MAX_PAGES && entries.length < MAX_ENTRIES; page++) {
    const result = await session.ask(method, cursor === undefined ? {} : { cursor });
    const found = result?.[member];
    if (Array.isArray(found)) entries.push(...found.filter(isEntry));
    const next = result?.["nextCursor"];
    if (typeof next !== "string" || next === "") break;
    cursor = next;
  }
  return entries.slice(0, MAX_ENTRIES);
}

function toTool(entry: Entry): OfferedTool[] {
  const name = entry["name"];
  if (typeof name !== "string") return [];
  const schema = isEntry(entry["inputSchema"]) ? entry["inputSchema"] : {};
  const properties = isEntry(schema["properties"]) ? schema["properties"] : {};
  const required = Array.isArray(schema["required"]) ? schema["required"] : [];
  const texts = Object.keys(properties).filter((key) => placeholder(key, properties[key]) !== "");
  const needed = texts.filter((key) => required.includes(key));
  const annotations = isEntry(entry["annotations"]) ? entry["annotations"] : {};
  return [
    {
      name,
      readOnly: annotations["readOnlyHint"] === true,
      textArguments: (needed.length > 0 ? needed : texts).map((key) =>
        placeholder(key, properties[key]),
      ),
    },
  ];
}

/** `path` for a string, `paths[*]` for an array of strings, and nothing for whatever else. */
function placeholder(key: string, property: unknown): string {
  if (!isEntry(property)) return "";
  if (property["type"] === "string") return key;
  const { items } = property;
  return property["type"] === "array" && isEntry(items) && items["type"] === "string"
    ? `${key}[*]`
    : "";
}

function isEntry(value: unknown): value is Entry {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(value: unknown): string[] {
  return typeof value === "string" ? [value] : [];
}
