import { describe, expect, test } from "vitest";
import {
  createNameRules,
  createUriRules,
  overlap,
  parseUriPattern,
  type Rule,
  type UriMatch,
  type UriPattern,
} from "./match.ts";

const rule = (name: string): Rule => ({ name, checks: [], list: [] });

function pattern(text: string): UriPattern {
  const parsed = parseUriPattern(text);
  if (typeof parsed === "string") throw new Error(parsed);
  return parsed;
}

function match(patterns: readonly string[], uri: string, fallback = false): UriMatch | undefined {
  const rules = patterns.map((text) => [pattern(text), rule(text)] as const);
  return createUriRules(rules, fallback ? rule("*") : undefined).find(uri);
}

describe("names", () => {
  const rules = createNameRules(
    new Map([
      ["read", rule("read")],
      ["*", rule("*")],
    ]),
  );

  test("are exact, and * takes the rest", () => {
    expect(rules.find("read")?.name).toBe("read");
    expect(rules.find("Read")?.name).toBe("*");
    expect(rules.find("*")?.name).toBe("*");
    expect(createNameRules(new Map([["read", rule("read")]])).find("constructor")).toBeUndefined();
  });

  test.each(["read\u0000", "read\u0000x", " read", "read\n", "re\u007fad"])(
    "* does not take %j, which a server may shorten to another name",
    (name) => {
      expect(rules.find(name)).toBeUndefined();
      expect(createNameRules(new Map([[name, rule("odd")]])).find(name)?.name).toBe("odd");
    },
  );

  test("only what is spelt out is known", () => {
    expect(rules.knows("read")).toBe(true);
    expect(rules.knows("other")).toBe(false);
    expect(rules.knows("*")).toBe(false);
  });
});

describe("URIs", () => {
  test.each<readonly [readonly string[], string, string | undefined, Record<string, string>]>([
    [["ticket://{id}"], "ticket://T-1", "ticket://{id}", { id: "T-1" }],
    [["ticket://{id}"], "ticket://T-1/x", undefined, {}],
    [["ticket://{id}"], "ticket://", undefined, {}],
    [["ticket://{id}"], "xticket://T-1", undefined, {}],
    [["ticket://{id}"], "TICKET://T-1", undefined, {}],
    [["ticket://{id}"], "ticket://a?b", undefined, {}],
    [["ticket://{id}"], "ticket://a#b", undefined, {}],
    [["ticket://{id}"], "ticket://a\nb", "ticket://{id}", { id: "a\nb" }],
    [
      ["ticket://{id}", "ticket://{id}/comments"],
      "ticket://7/comments",
      "ticket://{id}/comments",
      { id: "7" },
    ],
    [["ticket://{a}/{b}", "ticket://eu/{b}"], "ticket://eu/7", "ticket://eu/{b}", { b: "7" }],
    [
      ["ticket://eu/{b}", "ticket://{a}/{b}"],
      "ticket://us/7",
      "ticket://{a}/{b}",
      { a: "us", b: "7" },
    ],
    [["ticket://{id}", "ticket://index"], "ticket://index", "ticket://index", {}],
    [["note:{id}.md"], "note:a.b.md", "note:{id}.md", { id: "a.b" }],
    [["a.c/{x}"], "abc/1", undefined, {}],
  ])("%j: %s", (patterns, uri, name, variables) => {
    const found = match(patterns, uri);
    expect(found?.rule.name).toBe(name);
    expect(found?.variables ?? {}).toEqual(variables);
  });

  test.each(["..", ".", "%2e%2e", "%2E.", "a%2f..", "..%5Cb", "a%2F%2e%2e%2Fb"])(
    "a variable of %s is ambiguous",
    (value) => {
      expect(match(["note://{id}"], `note://${value}`)).toMatchObject({ ambiguous: true });
    },
  );

  test.each(["...", "a..b", ".hidden", "%2ex", "100%25"])("a variable of %s is not", (value) => {
    expect(match(["note://{id}"], `note://${value}`)).toMatchObject({ ambiguous: false });
  });

  test("* takes what no pattern matched, but no dot segments", () => {
    expect(match(["a://{x}"], "b://1", true)).toMatchObject({
      rule: { name: "*" },
      ambiguous: false,
    });
    expect(match(["a://{x}"], "b://1/../2", true)).toMatchObject({
      rule: { name: "*" },
      ambiguous: true,
    });
  });

  test.each([
    ["DOCS://open/secret", "docs://open/secret"],
    ["docs://open/%73ecret", "docs://open/secret"],
    ["docs://shut/a?x", "docs://shut/{a}"],
    ["docs://shut/a#x", "docs://shut/{a}"],
    ["docs://shut/a/", "docs://shut/{a}"],
    ["docs://shut//a", "docs://shut/{a}"],
    ["do\tcs://shut/a", "docs://shut/{a}"],
    [" docs://shut/a", "docs://shut/{a}"],
  ])("* does not take %j, which a server may read as what %s matches", (uri, stricter) => {
    expect(match([stricter], uri, true)).toMatchObject({ rule: { name: "*" }, ambiguous: true });
  });

  test.each(["docs://open/other", "docs://shut/a/b?x", "docs:///shut/a", "DOCS://open/other"])(
    "* takes %s, which nothing else matches in any spelling",
    (uri) => {
      const found = match(["docs://open/secret", "docs://shut/{a}"], uri, true);
      expect(found).toMatchObject({ rule: { name: "*" }, ambiguous: false });
    },
  );

  test.each([
    "docs://open/%73ecret",
    "docs://open/.\t.",
    "docs://open/..\u000b",
    "docs://open/.. ",
  ])("%j is no plain document, for a server may read it as another", (uri) => {
    expect(match(["docs://open/secret", "docs://open/{a}"], uri)).toMatchObject({
      rule: { name: "docs://open/{a}" },
      ambiguous: true,
    });
  });

  test("a URI over 4,096 characters matches nothing", () => {
    expect(match(["a://{x}"], `a://${"x".repeat(4096)}`, true)).toBeUndefined();
  });

  test.each([
    ["a://{x}-{y}", "two variables in one path segment"],
    ["a://{x}/{x}", "twice"],
    ["a://{x", "unbalanced"],
    ["a://{x y}", "not a plain name"],
    ["a://{uri}", "the whole URI"],
  ])("the pattern %s is refused", (text, problem) => {
    expect(parseUriPattern(text)).toContain(problem);
  });

  test.each([
    ["t://{a}", "t://{b}", true],
    ["t://{a}", "t://{a}/x", false],
    ["t://{a}/x", "t://{b}/y", false],
    ["t://{a}/{b}", "t://{c}/y", true],
    ["t://{a}.md", "t://{b}.txt", false],
    ["t://{a}.md", "t://{b}.x.md", true],
    ["t://x{a}", "t://y{b}", false],
    ["t://{a}/x", "t://x/{b}", true],
    ["t://a{b}c/1", "t://ac/1", false],
  ])("%s and %s overlap: %s", (a, b, expected) => {
    expect(overlap(pattern(a), pattern(b))).toBe(expected);
    expect(overlap(pattern(b), pattern(a))).toBe(expected);
  });
});
