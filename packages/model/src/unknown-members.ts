// What an event has that this version does not know (contract, section 8): an emitter may be newer than the processor. Such members
// pass, byte for byte, and no format maps them; but they are counted, and looked at for leaks like any free text.
import type { CountersignEvent } from "./event.ts";
import { kindOf } from "./names.ts";
import eventSchema from "./schema/event.schema.json" with { type: "json" };

/** A member without a place in the schema. */
export interface UnknownMember {
  /** Path of the object that has it, `data.call`. The member's own name is the sender's text. */
  readonly parent: string;
  readonly name: string;
  readonly value: unknown;
}

/** As much of JSON Schema as our own schemas use to say which members there are. */
interface Shape {
  readonly [keyword: string]: unknown;
  readonly $ref?: string;
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly items?: Shape;
}

const DEFINITIONS = "#/$defs/";
const shapes: Readonly<Record<string, Shape>> = eventSchema.$defs;

/** All of them, in an event that is valid by the open schema. */
export function unknownMembers(event: CountersignEvent): readonly UnknownMember[] {
  const shape = shapes[`event_${kindOf(event.type)}`];
  return shape === undefined ? [] : [...strangersIn(event, shape, "")];
}

function* strangersIn(value: unknown, at: Shape, path: string): Generator<UnknownMember> {
  const shape = at.$ref === undefined ? at : (shapes[at.$ref.slice(DEFINITIONS.length)] ?? {});
  if (Array.isArray(value)) {
    const { items } = shape;
    if (items === undefined) return;
    for (const [index, item] of value.entries()) {
      yield* strangersIn(item, items, `${path}[${index}]`);
    }
    return;
  }
  const { properties } = shape;
  if (properties === undefined || typeof value !== "object" || value === null) return;
  for (const [name, member] of Object.entries(value)) {
    const known = Object.hasOwn(properties, name) ? properties[name] : undefined;
    if (known === undefined) yield { parent: path, name, value: member };
    else yield* strangersIn(member, known, path === "" ? name : `${path}.${name}`);
  }
}
