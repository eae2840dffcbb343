/** What the address holds: the filter, and which decision is open. Reload, back, and a link to a colleague keep it. */
export interface PageState {
  /** API parameters of the filter, only those that are set. */
  readonly filter: Readonly<Record<string, string>>;
  /** Id of the open decision. */
  readonly open?: string;
}

/** Parameters of the filter, in the order in which they are written. */
const FILTER_PARAMETERS = [
  "q",
  "decision",
  "since",
  "until",
  "reason",
  "human",
  "issuer",
  "tool",
  "method",
  "server",
  "emitter",
  "resource",
  "trace",
] as const;

/** Reads the address; what it does not know is left out. */
export function readState(search: string): PageState {
  const query = new URLSearchParams(search);
  const filter: Record<string, string> = {};
  for (const name of FILTER_PARAMETERS) {
    const value = query.get(name);
    if (value !== null && value !== "") filter[name] = value;
  }
  const open = query.get("open");
  return open === null || open === "" ? { filter } : { filter, open };
}

/** The address of a state, as `/` or `/?…`. */
export function stateAddress(state: PageState): string {
  const query = filterQuery(state.filter);
  if (state.open !== undefined) query.set("open", state.open);
  const text = query.toString();
  return text === "" ? "/" : `/?${text}`;
}

/** The filter as API parameters. */
export function filterQuery(filter: Readonly<Record<string, string>>): URLSearchParams {
  const query = new URLSearchParams();
  for (const name of FILTER_PARAMETERS) {
    const value = filter[name];
    if (value !== undefined) query.set(name, value);
  }
  return query;
}

/** The filter with one parameter set, or, with an empty value, without it. */
export function withParameter(
  filter: Readonly<Record<string, string>>,
  name: string,
  value: string,
): Record<string, string> {
  const next = { ...filter };
  if (value === "") delete next[name];
  else next[name] = value;
  return next;
}
