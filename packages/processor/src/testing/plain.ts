/** proto3 does not write defaults, JSON does: without them two forms of a message are the same. */
export function plain(value: unknown, parent = ""): unknown {
  if (Array.isArray(value)) return value.map((one) => plain(one, parent));
  if (typeof value !== "object" || value === null) return value;
  const inValue = parent === "value" || parent === "values" || parent === "body";
  return Object.fromEntries(
    Object.entries(value)
      .map(([name, one]) => [name, plain(one, name)] as const)
      .filter(([name, one]) => (inValue && name !== "key") || !isDefault(name, one)),
  );
}

function isDefault(name: string, value: unknown): boolean {
  if (name === "value") return false;
  if (value === "" || value === 0 || value === "0" || value === undefined) return true;
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}
