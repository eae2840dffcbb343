// An epoch as its process left it when it died: written by the real writer, its lease given back.
import { readFileSync, writeFileSync } from "node:fs";
import type { CountersignError } from "@countersign/model";
import { type Claim, claimNumber } from "../claim.ts";
import { systemClock } from "../clock.ts";
import { type EpochWriter, openEpochWriter } from "../epoch-writer.ts";
import { type JournalFs, nodeFs } from "../fs.ts";
import { decision, EPOCH_INFO } from "./journal-fixture.ts";

/** Of every epoch that is made here, but for its number. */
export const EMITTER = "origin";

/** Hex form of an epoch with this number. */
export function epochId(number: number): string {
  return number.toString(16).padStart(32, "0");
}

/** The next epoch of the emitter, open for writing. */
export async function openEpoch(
  emitterPath: string,
  segmentBytes = 1_000_000,
  fs: JournalFs = nodeFs,
): Promise<{ readonly writer: EpochWriter; readonly claim: Claim }> {
  await nodeFs.makeDirectories(emitterPath);
  const claim = await claimNumber(nodeFs, emitterPath);
  const writer = await openEpochWriter({
    fs,
    epochPath: claim.path,
    header: {
      emitter: EMITTER,
      epoch: epochId(claim.number),
      epochNumber: claim.number,
      tenant: EPOCH_INFO.tenant,
      service: { name: "tickets" },
      producer: "0.1.0",
    },
    clock: systemClock,
    segmentBytes,
    maxWaiting: 10_000,
    maxWaitingBytes: 10_000_000,
    gatherMs: 10,
    onDurable: () => undefined,
    onFault: (error: CountersignError) => {
      throw error;
    },
  });
  return { writer, claim };
}

/** An epoch with `events` decisions; returns its directory. */
export async function deadEpoch(
  emitterPath: string,
  events: number,
  segmentBytes?: number,
): Promise<string> {
  const { writer, claim } = await openEpoch(emitterPath, segmentBytes);
  // One after another where they are to have segments of their own.
  if (segmentBytes === undefined) {
    await Promise.all(Array.from({ length: events }, () => writer.append(decision())));
  }
  for (let n = writer.events; n < events; n++) await writer.append(decision());
  await writer.close();
  await claim.lease.release();
  return claim.path;
}

/** Flips a bit of a file, as a disk might. */
export function spoilByte(file: string, at: number): void {
  const bytes = readFileSync(file);
  bytes[at] = (bytes[at] as number) ^ 1;
  writeFileSync(file, bytes);
}
