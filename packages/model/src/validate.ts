// The two forms of the event schema, precompiled (see scripts/validators.ts).
import type { CountersignEvent } from "./event.ts";
import { kindOf } from "./names.ts";
import * as closed from "./schema/closed.generated.ts";
import * as open from "./schema/open.generated.ts";
import type { Validator } from "./schema/runtime.ts";

/** What is wrong, and where. Never a value. */
export interface SchemaProblem {
  /** JSON pointer into the event; empty for the event itself. */
  readonly path: string;
  readonly message: string;
}

function validate(
  event: unknown,
  validators: Readonly<Record<string, Validator>>,
): SchemaProblem[] {
  if (typeof event !== "object" || event === null) return [{ path: "", message: "must be object" }];
  const kind = "type" in event ? kindOf(event.type) : undefined;
  const validator = kind === undefined ? undefined : validators[kind];
  if (validator === undefined)
    return [{ path: "/type", message: "is no kind of event known here" }];
  if (validator(event)) return [];
  return (validator.errors ?? []).map((error) => ({
    path: pathOf(error.instancePath),
    message: error.message ?? `fails ${error.keyword}`,
  }));
}

/** Names of unknown members are the sender's text: bound, and only what a pointer needs. */
function pathOf(pointer: string): string {
  return pointer.slice(0, 256).replaceAll(/[^\w/~.-]/g, "?");
}

/** What keeps an event from being sealed: an empty list for one that an emitter may seal. Stops at the first problem. */
export function validateClosed(event: unknown): SchemaProblem[] {
  return validate(event, closed);
}

/** Whether an event is valid by the open schema and has nothing that this version does not know. */
export function isWhollyKnown(event: CountersignEvent): boolean {
  const kind = kindOf(event.type);
  return kind !== undefined && kind in open && validateClosed(event).length === 0;
}

/**
 * What keeps an event out at intake. Unknown members and unknown reasons of a known major pass (contract, section 8), as
 * does `withheld`; an unknown kind or major does not. Stops at the first problem.
 */
export function validateOpen(event: unknown): SchemaProblem[] {
  return validate(event, open);
}
