import type { CredentialSource } from "@countersign/identity";
import { CountersignError } from "@countersign/model";

/**
 * The credential source that `COUNTERSIGN_CREDENTIAL` names: a helper command, split at blanks, or a JSON array of strings.
 * Not set: undefined. The helper runs, and what runs it is loaded, at the first call that needs a proof.
 *
 * @throws CountersignError CONFIG_INVALID: it names no command. The value is not repeated.
 */
export function credentialCommand(text: string | undefined): CredentialSource | undefined {
  if (text === undefined || text.trim() === "") return undefined;
  const command = wordsOf(text.trim());
  let source: Promise<CredentialSource> | undefined;
  const load = (): Promise<CredentialSource> =>
    (source ??= import("@countersign/identity").then(({ execCredentialSource }) =>
      execCredentialSource(command),
    ));
  return { current: async (audience, signal) => (await load()).current(audience, signal) };
}

function wordsOf(text: string): readonly string[] {
  if (!text.startsWith("[")) return text.split(/\s+/);
  let words: unknown;
  try {
    words = JSON.parse(text);
  } catch {
    words = undefined;
  }
  if (!Array.isArray(words) || !words.every(isWord) || words[0] === undefined || words[0] === "") {
    throw new CountersignError(
      "CONFIG_INVALID",
      "client.credential: COUNTERSIGN_CREDENTIAL must be a command, or a JSON array of strings",
    );
  }
  return words;
}

function isWord(value: unknown): value is string {
  return typeof value === "string" && !value.includes("\0");
}
