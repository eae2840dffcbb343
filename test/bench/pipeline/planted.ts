// What is hidden in P3's spans, for those who plant it and for the far end that looks for it.

/** First half of every span's id, in hex; the second is its number. */
export const SPAN_ID_PREFIX = "c0ffee11";
/** A key that every span has and that is allowed. */
export const KEPT_KEY = "mcp.session.id";

/** Secrets of nobody, each of a form that the patterns of `p3-otelcol.yaml` know. */
export const SECRETS = [
  "erika.mustermann@mail.example",
  "max+tickets@post.example.org",
  "4111111111111111",
  "5555 5555 5555 4444",
  "3782-822463-10005",
  "6011111111111117",
  "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJlcmlrYSIsImlhdCI6MTc5NTMzODAwM30.c2lnbmF0dXJlLW9mLW5vYm9keS1hdC1hbGwtZm9yLWEtYmVuY2g",
  "AKIAZ3MSJV7QEXAMPLE7",
  "ghp_k7Qw2Zr9Tb4Xc1Vn8Lm5Jh3Gf6Ds0Pa2Yu7E",
] as const;
/** Keys that are not on the list of `p3.yaml`, and what stands in their values. */
export const UNLISTED_KEYS = ["gen_ai.tool.call.arguments", "http.request.header.x_debug"] as const;
export const UNLISTED_VALUE = "nobody-listed-this";
/** What must not arrive. */
export const FORBIDDEN: readonly string[] = [...SECRETS, ...UNLISTED_KEYS, UNLISTED_VALUE];
