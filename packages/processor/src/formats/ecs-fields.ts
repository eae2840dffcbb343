// What the kinds have in common in ECS. Everything is taken member by member: what a later version adds to an event passes
// unmapped (contract, section 8), and grows no index. Members that are `undefined` are left out by JSON.
import type { Chain, ServerInfo } from "@countersign/model";
import { unformula } from "./text.ts";

/** Part of a document. */
export type Bag = Readonly<Record<string, unknown>>;

/** What a kind adds: members of `event`, other fields of ECS, and what goes under `countersign`. */
export interface EcsFields {
  readonly event: Bag;
  readonly root: Bag;
  readonly ours: Bag;
}

/** Place in the chain. */
export function chainOf(chain: Chain | undefined): Bag | undefined {
  if (chain === undefined) return undefined;
  return { emitter: chain.emitter, epoch: chain.epoch, seq: chain.seq, prev: chain.prev };
}

/** The MCP server: what the policy calls it, and what it says of itself. */
export function serverOf({ id, name, version }: ServerInfo): Bag {
  return { id, name: described(name), version: described(version) };
}

/** The same in ECS, where a service has a name. */
export function targetOf({ id, name, version }: ServerInfo): Bag {
  return { target: { id, name: described(name) ?? id, version: described(version) } };
}

/** Text that describes: no spreadsheet takes it for a formula. */
export function described(text: string | undefined): string | undefined {
  return text === undefined ? undefined : unformula(text);
}
