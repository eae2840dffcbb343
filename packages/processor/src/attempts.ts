import { isIPv6 } from "node:net";

/** Bounds how often an address may present a wrong credential. */
export interface Attempts {
  /** Milliseconds until this address may try again; 0: now. */
  waitMs(address: string): number;
  failed(address: string): void;
}

/** Wrong credentials of one address at once, and how long it takes to get one back. */
export interface AttemptLimits {
  readonly burst: number;
  readonly refillMs: number;
  /** Addresses that are remembered; the one that failed longest ago is forgotten first. */
  readonly maxAddresses: number;
}

/** Counts failures by address; an IPv6 network of 64 bits is one address. */
export function createAttempts(limits: AttemptLimits, now: () => number = Date.now): Attempts {
  return new BoundedAttempts(limits, now);
}

interface Failures {
  readonly count: number;
  readonly atMs: number;
}

class BoundedAttempts implements Attempts {
  readonly #limits: AttemptLimits;
  readonly #now: () => number;
  readonly #failures = new Map<string, Failures>();

  constructor(limits: AttemptLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
  }

  waitMs(address: string): number {
    const { burst, refillMs } = this.#limits;
    const over = this.#count(networkOf(address)) - (burst - 1);
    return over <= 0 ? 0 : Math.ceil(over * refillMs);
  }

  failed(address: string): void {
    const network = networkOf(address);
    const count = this.#count(network) + 1;
    this.#failures.delete(network);
    this.#failures.set(network, { count, atMs: this.#now() });
    if (this.#failures.size <= this.#limits.maxAddresses) return;
    const [oldest] = this.#failures.keys();
    this.#failures.delete(oldest as string);
  }

  #count(network: string): number {
    const known = this.#failures.get(network);
    if (known === undefined) return 0;
    return Math.max(0, known.count - (this.#now() - known.atMs) / this.#limits.refillMs);
  }
}

/** An IPv4 address, or the first 64 bits of an IPv6 address. */
export function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined || !isIPv6(address)) return mapped ?? address;
  const [head = "", tail] = address.split("%", 1)[0]?.split("::") ?? [];
  const groups = head === "" ? [] : head.split(":");
  const rest = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - groups.length - rest.length);
  const all = [...groups, ...Array.from({ length: zeros }, () => "0"), ...rest];
  return all
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(":");
}
