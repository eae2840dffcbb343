import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { brotliDecompressSync, gunzipSync, inflateSync } from "node:zlib";

/** A secret in one of the forms that bytes take on their way to a disk or a wire. */
export interface Needle {
  readonly name: string;
  readonly bytes: Buffer;
}

/** A needle, and where it was. */
export interface Leak {
  readonly where: string;
  readonly needle: string;
}

/** Every form of a text that is searched for: plain, base64 at each of three alignments, hex, URL-encoded, UTF-16, escaped. */
export function needlesOf(label: string, secret: string): Needle[] {
  const utf8 = Buffer.from(secret, "utf8");
  const little = Buffer.from(secret, "utf16le");
  const percent = [...utf8].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
  const texts: Record<string, string> = {
    plain: secret,
    lower: secret.toLowerCase(),
    hex: utf8.toString("hex"),
    HEX: utf8.toString("hex").toUpperCase(),
    "url-encoded": encodeURIComponent(secret),
    "form-encoded": new URLSearchParams({ s: secret }).toString().slice(2),
    "%xx": percent,
    "%XX": percent.toUpperCase(),
    "\\u escaped": Array.from(secret)
      .map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`)
      .join(""),
    "object id": [...utf8].map(encodedByte).join(""),
    ...base64Forms(utf8),
  };
  const needles = Object.entries(texts).map(([name, text]) => ({
    name: `${label} (${name})`,
    bytes: Buffer.from(text, "utf8"),
  }));
  return [
    ...needles,
    { name: `${label} (UTF-16LE)`, bytes: little },
    { name: `${label} (UTF-16BE)`, bytes: Buffer.from(little).swap16() },
  ];
}

/** The middle of the base64 text at each alignment: what does not depend on the bytes around the secret. */
function base64Forms(secret: Buffer): Record<string, string> {
  const forms: Record<string, string> = {};
  for (const before of [0, 1, 2]) {
    const padded = Buffer.concat([Buffer.alloc(before), secret]);
    const start = Math.ceil((before * 8) / 6);
    const end = Math.floor((padded.length * 8) / 6);
    const text = padded.toString("base64").slice(start, end);
    forms[`base64+${before}`] = text;
    forms[`base64url+${before}`] = text.replaceAll("+", "-").replaceAll("/", "_");
  }
  return forms;
}

/** As our own object ids would carry it. */
function encodedByte(byte: number): string {
  const character = String.fromCharCode(byte);
  return /[A-Za-z0-9/_|+-]/.test(character)
    ? character
    : `=${byte.toString(16).toUpperCase().padStart(2, "0")}`;
}

/** All leaks in some bytes, compressed or not. */
export function searchBytes(where: string, bytes: Buffer, needles: readonly Needle[]): Leak[] {
  const layers: [string, Buffer][] = [[where, bytes], ...unpacked(where, bytes)];
  return layers.flatMap(([place, content]) =>
    needles
      .filter((needle) => content.includes(needle.bytes))
      .map((needle) => ({ where: place, needle: needle.name })),
  );
}

function unpacked(where: string, bytes: Buffer): [string, Buffer][] {
  const found: [string, Buffer][] = [];
  for (const unpack of [gunzipSync, inflateSync, brotliDecompressSync]) {
    try {
      found.push([`${where} (${unpack.name})`, unpack(bytes)]);
    } catch {
      // not compressed like that
    }
  }
  return found;
}

/** All leaks in names and contents of a directory's files. */
export function searchDirectory(
  directory: string,
  needles: readonly Needle[],
): { files: number; leaks: Leak[] } {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
  const leaks = entries.flatMap((entry) => {
    const path = join(entry.parentPath, entry.name);
    const inName = searchBytes(`name of ${path}`, Buffer.from(path), needles);
    return entry.isFile() ? [...inName, ...searchBytes(path, readFileSync(path), needles)] : inName;
  });
  return { files: entries.filter((entry) => entry.isFile()).length, leaks };
}
