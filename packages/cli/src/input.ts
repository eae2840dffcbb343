import { readdirSync } from "node:fs";
import { open } from "node:fs/promises";
import { CliError, EXIT } from "./exit.ts";

const WHY: Readonly<Record<string, string>> = {
  ENOENT: "it is not there",
  EISDIR: "it is a directory, not a file",
  EACCES: "this user may not read it (EACCES)",
};

/**
 * The text of a file that the user named.
 *
 * @param maxBytes A larger file is refused, not cut.
 * @throws CliError `EXIT.noInput` when it cannot be read, `EXIT.failed` when it is too large.
 */
export async function readInput(file: string, maxBytes: number): Promise<string> {
  try {
    const handle = await open(file, "r");
    try {
      const { size } = await handle.stat();
      if (size > maxBytes) throw tooLarge(file, maxBytes);
      return await handle.readFile("utf8");
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw noInput(file, error);
  }
}

/** Standard input to its end. @throws CliError `EXIT.failed` when it is longer than `maxBytes`. */
export async function readStandardInput(maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw tooLarge("standard input", maxBytes);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** The code of the system error that keeps this user from listing a directory; undefined when it can be listed. */
export function unlistable(directory: string): string | undefined {
  try {
    readdirSync(directory);
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "unknown error";
  }
}

/** Rejects with `EXIT.noInput` when a file that is needed later cannot be opened now. */
export async function requireInput(file: string): Promise<void> {
  try {
    await (await open(file, "r")).close();
  } catch (error) {
    throw noInput(file, error);
  }
}

function noInput(file: string, cause: unknown): CliError {
  const code = (cause as NodeJS.ErrnoException).code ?? "unknown error";
  const why = WHY[code] ?? code;
  return new CliError(EXIT.noInput, `cannot read ${file}: ${why}`, { cause });
}

function tooLarge(what: string, maxBytes: number): CliError {
  return new CliError(EXIT.failed, `${what} is larger than ${maxBytes} bytes`);
}
