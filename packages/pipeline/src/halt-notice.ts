import type { Logger } from "@countersign/model";
import type { ComponentState } from "./spec.ts";

/** An outage of days says so every ten minutes, not with every attempt. */
const REMIND_MS = 600_000;

/** Tells the log when an exporter halts, now and then while that lasts, and when it goes on. Takes every report of it. */
export function createHaltNotice(
  log: Logger,
  now: () => number = () => performance.now(),
): (state: ComponentState) => void {
  let halted: { readonly sinceMs: number; toldMs: number } | undefined;
  return ({ state, detail = "it says no more" }) => {
    if (state !== "failed") {
      if (halted !== undefined && state === "ok") {
        log.info("delivers again", { haltedSeconds: seconds(now() - halted.sinceMs) });
        halted = undefined;
      }
      return;
    }
    const atMs = now();
    if (halted !== undefined && atMs - halted.toldMs < REMIND_MS) return;
    const sinceMs = halted?.sinceMs ?? atMs;
    halted = { sinceMs, toldMs: atMs };
    log.error("halted: nothing is delivered until this is mended, and nothing is lost meanwhile", {
      reason: detail,
      haltedSeconds: seconds(atMs - sinceMs),
    });
  };
}

const seconds = (ms: number): number => Math.round(ms / 1000);
