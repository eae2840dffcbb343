/** What the agent does for each human, and the verdict that each call must get. */
import { PLANTED_TEXT } from "./planted.ts";

/** One call of the scenario. */
export interface Step {
  readonly human: "alice" | "bob";
  readonly server: "tickets" | "files";
  readonly tool: string;
  readonly arguments: Readonly<Record<string, unknown>>;
  readonly expect: { readonly decision: "allow" | "deny"; readonly reason: string };
  /** Why, in a few words; printed. */
  readonly because: string;
}

/** How surely each server knows the human: the agent signs its calls to ours, the guard in front of the other proves a login. */
export const ASSURANCE = { tickets: "call_bound", files: "token_bound" } as const;

const allowed = { decision: "allow", reason: "permitted" } as const;
const forbidden = { decision: "deny", reason: "forbidden" } as const;
const unmapped = { decision: "deny", reason: "unmapped" } as const;

const ALICE: readonly Step[] = [
  step("alice", "tickets.read_ticket", { id: "T-1001" }, allowed, "she owns it"),
  step("alice", "tickets.read_ticket", { id: "T-2001" }, allowed, "her queue holds it"),
  step(
    "alice",
    "tickets.move_ticket",
    { id: "T-1001", team: "eu", queue: "billing" },
    allowed,
    "two checks: she may edit the ticket and add to the queue",
  ),
  step(
    "alice",
    "tickets.close_many",
    { ids: ["T-1001", "T-1002"] },
    allowed,
    "two checks, both hold",
  ),
  step(
    "alice",
    "tickets.add_comment",
    { id: "T-1001", text: PLANTED_TEXT },
    allowed,
    "the comment holds a card number, an address and a key; the record does not",
  ),
  step("alice", "tickets.refund", { id: "T-1001", amount: 50 }, allowed, "within her limit"),
  step("alice", "tickets.refund", { id: "T-1001", amount: 500 }, forbidden, "over her limit"),
  step("alice", "tickets.export_tickets", {}, unmapped, "the policy does not name this tool"),
  step("alice", "files.read_text_file", { path: "handbook.txt" }, allowed, "she is a reader"),
  step(
    "alice",
    "files.write_file",
    { path: "customers.txt", content: PLANTED_TEXT },
    allowed,
    "she is a writer; the content stays between her and the server",
  ),
  step("alice", "files.read_text_file", { path: "customers.txt" }, allowed, "writers read"),
  step(
    "alice",
    "files.read_text_file",
    { path: "../../etc/passwd" },
    { decision: "deny", reason: "resource_invalid" },
    "the path leaves the root",
  ),
  step(
    "alice",
    "files.list_allowed_directories",
    {},
    unmapped,
    "the policy does not name this tool",
  ),
];

const BOB: readonly Step[] = [
  step("bob", "tickets.read_ticket", { id: "T-1001" }, allowed, "he is a viewer"),
  step("bob", "tickets.read_ticket", { id: "T-2001" }, forbidden, "he is nobody to this ticket"),
  step(
    "bob",
    "tickets.close_many",
    { ids: ["T-1001", "T-1002"] },
    forbidden,
    "viewers do not close",
  ),
  step(
    "bob",
    "tickets.add_comment",
    { id: "T-1001", text: PLANTED_TEXT },
    forbidden,
    "viewers do not comment; what he wanted to say is not in the record either",
  ),
  step(
    "bob",
    "tickets.export_tickets",
    { note: PLANTED_TEXT },
    unmapped,
    "the policy does not name this tool",
  ),
  step("bob", "files.read_text_file", { path: "handbook.txt" }, allowed, "he is a reader"),
  step(
    "bob",
    "files.read_text_file",
    { path: "customers.txt" },
    forbidden,
    "only its writer reads it",
  ),
];

function step(
  human: Step["human"],
  target: `${Step["server"]}.${string}`,
  args: Step["arguments"],
  ...[expect, because]: [Step["expect"], string]
): Step {
  const [server, tool] = target.split(".") as [Step["server"], string];
  return { human, server, tool, arguments: args, expect, because };
}

/** The steps of one human, in order. */
export function stepsOf(human: string): readonly Step[] {
  return human === "alice" ? ALICE : BOB;
}
