import { loadPolicy } from "@countersign/gate";
import { expect, test } from "vitest";
import type { Offer } from "./offer.ts";
import { policySkeleton } from "./skeleton.ts";

const nothing: Offer = { tools: [], resources: [], templates: [], prompts: [], cut: false };
const hostile = [
  'a"b',
  "line\nbreak",
  "tools: {}",
  "\u2028x",
  "#",
  "${env:HOME}",
  "\u202Ex",
  "'",
  "*/",
  "a: b",
  "\\",
];

test.each([
  ["nothing", nothing],
  ["a tool", { ...nothing, tools: [{ name: "read", readOnly: true, textArguments: ["path"] }] }],
  [
    "hostile names",
    {
      ...nothing,
      tools: hostile.map((name) => ({ name, readOnly: false, textArguments: [name] })),
      resources: hostile,
      templates: hostile,
      prompts: hostile,
      cut: true,
    },
  ],
])("is a valid policy that maps nothing: %s", (_name, offer) => {
  const text = policySkeleton("urn:mcp:x", offer);
  const { policy } = loadPolicy(text, "skeleton.yaml", {});
  expect(policy.server).toBe("urn:mcp:x");
  expect(policy.mode).toBe("enforce");
  // eslint-disable-next-line no-control-regex
  expect(text).not.toMatch(/[\u0000-\u0009\u000B-\u001F\u007F-\u009F\u2028\u202E]/);
});

test("uncommenting issuers and process makes logins count", () => {
  const text = policySkeleton("urn:mcp:x", nothing)
    .replace("# issuers:", "issuers:")
    .replace("# process:", "process:");
  const { identity } = loadPolicy(text, "skeleton.yaml", {}).policy;
  expect(identity.issuers).toMatchObject([{ clients: ["countersign-cli"] }]);
  expect(identity.process).toEqual({ exec: ["countersign", "credential"] });
});

test("uncommenting a line maps that tool", () => {
  const text = policySkeleton("urn:mcp:x", {
    ...nothing,
    tools: [{ name: "read", readOnly: true, textArguments: ["path"] }],
  })
    .replace("tools: {}", "tools:")
    .replace('#  "read"', '  "read"')
    .replace("TYPE:", "file:");
  expect(() => loadPolicy(text, "skeleton.yaml", {})).not.toThrow();
  expect(text).toContain('"read": { permission: read, resource: "file:{arguments.path}" }');
});

test("a tool with two resources has a check for each, an array one for each element", () => {
  const text = policySkeleton("urn:mcp:files", {
    ...nothing,
    tools: [
      { name: "move", readOnly: false, textArguments: ["source", "destination"] },
      { name: "read_all", readOnly: true, textArguments: ["paths[*]"] },
    ],
  });
  expect(text).toContain(
    `#  "move":\n#    - { permission: write, resource: "TYPE:{arguments.source}" }\n#    - { permission: write, resource: "TYPE:{arguments.destination}" }\n`,
  );
  expect(text).toContain(
    `#  "read_all": { permission: read, resource: "TYPE:{arguments.paths[*]}" }`,
  );
});
