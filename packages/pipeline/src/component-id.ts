/** `type` or `type/name`. */
export interface ComponentId {
  readonly type: string;
  readonly name?: string;
}

const ID = /^([a-z][a-z0-9_]{0,62})(?:\/([A-Za-z0-9][A-Za-z0-9_.-]{0,62}))?$/;

/** The parts of a component's id; undefined if it is none. */
export function parseComponentId(id: string): ComponentId | undefined {
  const match = ID.exec(id);
  if (match === null) return undefined;
  const [, type, name] = match;
  return name === undefined ? { type: type as string } : { type: type as string, name };
}
