import { decodeObjectId, isObjectId } from "@countersign/model";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { resolveContext, resolveIds, type ResourceOptions } from "./resource.ts";
import {
  type Filter,
  type ObjectTemplate,
  parseObjectTemplate,
  parseTemplate,
  type TemplateRules,
} from "./template.ts";

const RULES: TemplateRules = {
  roots: new Set(["arguments", "name"]),
  filters: new Set<Filter>(["raw", "path", "lower"]),
  each: true,
};

function template(text: string): ObjectTemplate {
  const parsed = parseObjectTemplate(text, RULES);
  if (!parsed.ok) throw new Error(parsed.problem);
  return parsed.template;
}

function ids(text: string, args: unknown, options?: ResourceOptions): readonly string[] | string {
  return resolveIds(template(text), { arguments: args, name: "n" }, options);
}

const ROOT = { root: "/srv/tickets" };

describe("ids", () => {
  test.each<readonly [string, unknown, unknown]>([
    ["ticket:{arguments.id}", { id: "T-1042" }, ["T-1042"]],
    ["ticket:{arguments.id}", { id: "alice@example.com" }, ["alice=40example=2Ecom"]],
    ["ticket:{arguments.id}", { id: "*" }, ["=2A"]],
    ["ticket:{arguments.id}", { id: "a=b" }, ["a=3Db"]],
    ["ticket:{arguments.id}", { id: "é" }, ["=C3=A9"]],
    ["ticket:{arguments.id}", { id: 7 }, ["7"]],
    ["ticket:{arguments.id}", { id: -0 }, ["0"]],
    ["ticket:{arguments.a.b.c}", { a: { b: { c: "x" } } }, ["x"]],
    [
      "queue:{arguments.team}/{arguments.queue}",
      { team: "r&d", queue: "billing.eu" },
      ["r=26d/billing=2Eeu"],
    ],
    [
      "queue:{arguments.team}/{arguments.queue}",
      { team: "a/b", queue: "c|d+e" },
      ["a=2Fb/c=7Cd=2Be"],
    ],
    ["prompt:{name}", {}, ["n"]],
    ["org:main", {}, ["main"]],
    ["org:a=2Eb/{name}", {}, ["a=2Eb/n"]],
    ["ticket:{arguments.id|lower}", { id: "ABCÄ" }, ["abc=C3=84"]],
    ["ticket:{arguments.id|raw}", { id: "a=40b/c" }, ["a=40b/c"]],
  ])("%s of %j is %j", (text, args, expected) => {
    expect(ids(text, args)).toEqual(expected);
  });

  test.each<readonly [string, unknown]>([
    ["ticket:{arguments.id}", {}],
    ["ticket:{arguments.id}", { id: "" }],
    ["ticket:{arguments.id}", { id: null }],
    ["ticket:{arguments.id}", { id: true }],
    ["ticket:{arguments.id}", { id: 1.5 }],
    ["ticket:{arguments.id}", { id: 2 ** 53 }],
    ["ticket:{arguments.id}", { id: ["T-1"] }],
    ["ticket:{arguments.id}", { id: { toString: "x" } }],
    ["ticket:{arguments.id}", { id: "\ud800" }],
    ["ticket:{arguments.id}", { id: "x".repeat(1025) }],
    ["ticket:{arguments.id}", { id: "é".repeat(171) }],
    ["ticket:{arguments.constructor.name}", {}],
    ["ticket:{arguments.__proto__.x}", {}],
    ["ticket:{arguments.id.length}", { id: "abc" }],
    ["ticket:{arguments.ids.0}", { ids: ["a"] }],
    ["ticket:{arguments.id|raw}", { id: "a@b" }],
    ["ticket:{arguments.id|raw}", { id: "*" }],
    ["queue:{arguments.a|raw}/{arguments.b}", { a: "x/y", b: "z" }],
    ["ticket:{arguments.ids[*]}", {}],
    ["ticket:{arguments.ids[*]}", { ids: "T-1" }],
    ["ticket:{arguments.ids[*]}", { ids: ["T-1", ""] }],
    ["ticket:{arguments.ids[*].id}", { ids: ["T-1"] }],
  ])("%s of %j is refused", (text, args) => {
    expect(ids(text, args)).toBe("resource_invalid");
  });

  test("what a caller did not send is not found in a prototype", () => {
    const inherited: unknown = Object.create({ id: "T-1" });
    expect(ids("ticket:{arguments.id}", inherited)).toBe("resource_invalid");
  });

  test("[*]: distinct elements, 1 to 32", () => {
    const text = "ticket:{arguments.ids[*]}";
    expect(ids(text, { ids: ["a", "b", "a", 7, "7"] })).toEqual(["a", "b", "7"]);
    expect(ids(text, { ids: [] })).toBe("no_checks");
    expect(ids(text, { ids: Array.from({ length: 32 }, (_, index) => index) })).toHaveLength(32);
    expect(ids(text, { ids: Array.from({ length: 33 }, (_, index) => index) })).toBe(
      "too_many_checks",
    );
    expect(ids(text, { ids: Array.from({ length: 10_000 }, () => "same") })).toEqual(["same"]);
    expect(ids(text, { ids: Array.from({ length: 10_001 }, () => "same") })).toBe(
      "too_many_checks",
    );
  });

  test("[*] with members, and the same list twice, goes element by element", () => {
    const args = {
      moves: [
        { team: "a", queue: "1" },
        { team: "b", queue: "2" },
      ],
    };
    expect(ids("queue:{arguments.moves[*].team}/{arguments.moves[*].queue}", args)).toEqual([
      "a/1",
      "b/2",
    ]);
  });
});

describe("properties", () => {
  const value = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.string(),
    fc.webUrl(),
    fc.emailAddress(),
    fc.string({ unit: fc.constantFrom("a", "/", "|", "+", "=", "2", "F"), maxLength: 4 }),
  );

  test("whatever is not refused is an object id, and names its value", () => {
    fc.assert(
      fc.property(value, (id) => {
        const found = ids("ticket:{arguments.id}", { id });
        const refusable = id === "" || !id.isWellFormed() || Buffer.byteLength(id) > 341;
        const good = isObjectId(found[0] ?? "") && decodeObjectId(found[0] ?? "") === id;
        expect(found === "resource_invalid" ? refusable : good).toBe(true);
      }),
    );
  });

  test("two calls name one object only if they mean the same: pairs cannot be forged", () => {
    fc.assert(
      fc.property(value, value, value, value, (a, b, c, d) => {
        const one = ids("queue:{arguments.a}/{arguments.b}", { a, b });
        const other = ids("queue:{arguments.a}/{arguments.b}", { a: c, b: d });
        fc.pre(typeof one !== "string" && typeof other !== "string");
        expect(one[0] === other[0]).toBe(a === c && b === d);
      }),
    );
  });

  test("|path never leaves its root, and always gives a normal path", () => {
    const piece = fc.constantFrom("..", ".", "a", "b.txt", "", "~", "...", "..a");
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), fc.boolean(), (pieces, absolute) => {
        const found = ids(
          "file:{arguments.path|path}",
          { path: (absolute ? "/srv/tickets/" : "") + pieces.join("/") },
          ROOT,
        );
        fc.pre(typeof found !== "string");
        const path = decodeObjectId(found[0] as string);
        expect(path === ROOT.root || path.startsWith(`${ROOT.root}/`)).toBe(true);
        expect(path.slice(1)).not.toMatch(/(^|\/)\.{0,2}(\/|$)/);
      }),
    );
  });
});

describe("|path", () => {
  test.each([
    ["a.txt", "/srv/tickets/a.txt"],
    ["/srv/tickets/a/b", "/srv/tickets/a/b"],
    ["a/../b", "/srv/tickets/b"],
    ["./a//b/", "/srv/tickets/a/b"],
    ["/srv/tickets", "/srv/tickets"],
    ["...", "/srv/tickets/..."],
  ])("%j is %j", (path, expected) => {
    const found = ids("file:{arguments.path|path}", { path }, ROOT);
    expect(typeof found === "string" ? found : decodeObjectId(found[0] as string)).toBe(expected);
  });

  test.each([
    "..",
    "../x",
    "a/../../x",
    "/etc/passwd",
    "/srv/tickets/../x",
    "/srv/ticketsandmore",
    "~/x",
    "~root",
    " ../x",
    "x ",
    '"/etc/passwd"',
    "'x'",
    "file:///etc/passwd",
    "C:/x",
    "C:\\x",
    "a\\..\\..\\b",
    "a\u0000b",
    "a\nb",
    "",
  ])("%j is refused", (path) => {
    expect(ids("file:{arguments.path|path}", { path }, ROOT)).toBe("resource_invalid");
  });

  test("a root of / takes everything absolute", () => {
    expect(ids("file:{arguments.path|path}", { path: "/etc/hosts" }, { root: "/" })).toEqual([
      "/etc/hosts",
    ]);
  });

  test("without a root nothing is a path", () => {
    expect(ids("file:{arguments.path|path}", { path: "a" })).toBe("resource_invalid");
  });
});

function context(source: string, args: unknown): unknown {
  const parsed = parseTemplate(source, {
    ...RULES,
    filters: new Set<Filter>(["number", "lower"]),
    each: false,
  });
  if (!parsed.ok) throw new Error(parsed.problem);
  return resolveContext(new Map([["key", parsed.template]]), { arguments: args })?.["key"];
}

describe("context", () => {
  test.each<readonly [string, unknown, unknown]>([
    ["{arguments.a}", { a: "x" }, "x"],
    ["{arguments.a}", { a: "" }, ""],
    ["{arguments.a}", { a: true }, true],
    ["{arguments.a}", { a: 1.5 }, 1.5],
    ["{arguments.a|number}", { a: 99.5 }, 99.5],
    ["{arguments.a|number}", { a: "99.5" }, 99.5],
    ["{arguments.a|number}", { a: "-3" }, -3],
    ["{arguments.a|lower}", { a: "EU" }, "eu"],
    ["region-{arguments.a}", { a: "eu" }, "region-eu"],
  ])("%s of %j is %j", (source, args, expected) => {
    expect(context(source, args)).toBe(expected);
  });

  test.each<readonly [string, unknown]>([
    ["{arguments.a}", {}],
    ["{arguments.a}", { a: null }],
    ["{arguments.a}", { a: [1] }],
    ["{arguments.a}", { a: {} }],
    ["{arguments.a}", { a: "\udfff" }],
    ["{arguments.a}", { a: "x".repeat(4096) }],
    ["{arguments.a|number}", { a: "0x10" }],
    ["{arguments.a|number}", { a: "1e9" }],
    ["{arguments.a|number}", { a: "010" }],
    ["{arguments.a|number}", { a: " 1" }],
    ["{arguments.a|number}", { a: "" }],
    ["{arguments.a|number}", { a: true }],
    ["{arguments.a|number}", { a: Number.NaN }],
    ["{arguments.a|lower}", { a: 7 }],
  ])("%s of %j is refused", (source, args) => {
    expect(context(source, args)).toBeUndefined();
  });
});

describe("templates that are refused at load", () => {
  test.each([
    ["ticket", "no type"],
    ["{arguments.type}:x", "placeholder in the type"],
    ["Ticket:x", "type outside"],
    ["ticket:", "empty id"],
    ["ticket:a.b", "cannot hold"],
    ["ticket:a=2e", "cannot hold"],
    ["ticket:{arguments.id", "unbalanced"],
    ["ticket:{arguments.id}}", "unbalanced"],
    ["ticket:{}", "root.member"],
    ["ticket:{arguments id}", "root.member"],
    ["ticket:{human.subject}", "known here: arguments, name"],
    ["ticket:{arguments.id|upper}", "unknown filter"],
    ["ticket:{arguments.id|raw|path}", "put |raw last"],
    ["ticket:{arguments.id|raw|lower}", "put |raw last"],
    ["ticket:{arguments.id|number}", "unknown filter"],
    ["ticket:{arguments.a}{arguments.b}", "without / | or +"],
    ["ticket:{arguments.a}-{arguments.b}", "without / | or +"],
    ["ticket:{arguments.a[*].b[*]}", "two [*]"],
    ["ticket:{arguments.a[*]}/{arguments.b[*]}", "two lists"],
    ["ticket:{arguments.a|lower|lower|lower|lower}", "more than 3 filters"],
    [`ticket:${"x".repeat(1025)}`, "longer than"],
  ])("%s", (text, problem) => {
    const parsed = parseObjectTemplate(text, RULES);
    expect(parsed.ok ? "" : parsed.problem).toContain(problem);
  });
});
