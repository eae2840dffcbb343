// The guard as a proxy of a bench that holds other proxies: copy it into that bench's `proxies/`.
import { writeFileSync } from "node:fs";
import { join } from "node:path";

const POLICY = `version: 1
server: urn:mcp:bench
tenant: bench
mode: enforce
durability: journal
identity: { minimum: asserted, subject: "user:{human.subject}" }
authorizer: { relationships: ["tool:echo#use@user:bench"] }
tools:
  echo: { permission: use, resource: "tool:echo" }
lists: filter
default: deny
`;

export default {
  title: "countersign guard: every decision on disk before the call",
  baseline: "direct",
  command: ({ server, dir, node }) => {
    const policy = join(dir, "policy.yaml");
    writeFileSync(policy, POLICY);
    const cli = join(process.env.COUNTERSIGN_ROOT ?? ".", "packages/cli/bin/countersign.js");
    return {
      command: node,
      args: [cli, "guard", "--policy", policy, "--", ...server],
      env: { COUNTERSIGN_STATE_DIR: join(dir, "state"), COUNTERSIGN_ASSERTED_HUMAN: "bench" },
    };
  },
};
