import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { createTlsFiles } from "./tls-files.ts";

const pem = (text: string): string =>
  `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`;

test("files are read again after ten seconds; what cannot be read then changes nothing", () => {
  const directory = mkdtempSync(join(tmpdir(), "countersign-tls-files-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const caFile = join(directory, "ca.pem");
  writeFileSync(caFile, pem("one"));
  const files = createTlsFiles({ caFile });
  expect(files(0)).toEqual({ ca: pem("one") });
  writeFileSync(caFile, pem("two"));
  expect(files(9_999)).toEqual({ ca: pem("one") });
  expect(files(10_000)).toEqual({ ca: pem("two") });
  writeFileSync(caFile, "half");
  expect(files(20_000)).toEqual({ ca: pem("two") });
  rmSync(caFile);
  expect(files(30_000)).toEqual({ ca: pem("two") });
});
