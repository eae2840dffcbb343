// Two ways to know that a receiver has what was sent, in a protocol that never says so.
import { type Connection, openConnection } from "./connection.ts";
import type { TargetSource } from "./target.ts";

/** How to deliver. */
export interface DeliveryOptions {
  readonly target: TargetSource;
  readonly connectTimeoutMs: number;
  /** For everything after the connection. */
  readonly timeoutMs: number;
  readonly settleMs: number;
}

/** Sends frames. */
export interface Delivery {
  /** Resolves when they count as delivered. Rejects when that is not known: they may have arrived. */
  deliver(frames: Uint8Array, signal: AbortSignal): Promise<void>;
  /** Ends what is open between deliveries. */
  close(): void;
}

/** It took too long; the outcome is unknown. */
class DeliveryTimeout extends Error {
  readonly code = "DELIVERY_TIMEOUT";
}

/** Between the last byte and our end, so that a receiver that closes by itself is seen to be first: more than a round trip. */
const QUIET_MS = 25;

/**
 * A connection for each delivery, which counts when the receiver read to its end and closed it in turn: its kernel had every byte, and
 * its process took every byte from there.
 */
export function createClosingDelivery(options: DeliveryOptions): Delivery {
  return {
    async deliver(frames, signal) {
      const connection = await open(options, signal);
      await within(connection, options.timeoutMs, signal, async () => {
        await connection.write(frames);
        await connection.standsFor(Math.max(QUIET_MS, connection.connectMs));
        await connection.finish();
      }).finally(() => connection.destroy());
    },
    close: () => undefined,
  };
}

/**
 * One connection for all, and a delivery counts when the kernel has the bytes and the connection stood for a while after. What a receiver
 * had not read when it died later than that is lost.
 */
export function createDrainingDelivery(options: DeliveryOptions): Delivery {
  let known: Connection | undefined;
  let opening: Promise<Connection> | undefined;
  const connection = async (signal: AbortSignal): Promise<Connection> => {
    if (known?.isOpen === true) return known;
    opening ??= open(options, signal).finally(() => void (opening = undefined));
    known = await opening;
    return known;
  };
  return {
    async deliver(frames, signal) {
      const own = await connection(signal);
      // A frame that was begun must be ended, so that who gives up or is too late ends the connection for all.
      await within(own, options.timeoutMs, signal, () => own.write(frames));
      await own.standsFor(options.settleMs);
    },
    close: () => known?.destroy(),
  };
}

async function open(options: DeliveryOptions, signal: AbortSignal): Promise<Connection> {
  return openConnection({
    ...options.target.current(),
    timeoutMs: options.connectTimeoutMs,
    signal,
  });
}

/** Gives work on a connection a limited time; over it, the connection ends. */
async function within(
  connection: Connection,
  timeoutMs: number,
  signal: AbortSignal,
  work: () => Promise<void>,
): Promise<void> {
  const timer = AbortSignal.timeout(timeoutMs);
  const either = AbortSignal.any([signal, timer]);
  const cut = (): void => connection.destroy();
  either.addEventListener("abort", cut, { once: true });
  if (either.aborted) cut();
  try {
    await work();
  } catch (error) {
    throw timer.aborted ? new DeliveryTimeout("not read in time", { cause: error }) : error;
  } finally {
    either.removeEventListener("abort", cut);
  }
}
