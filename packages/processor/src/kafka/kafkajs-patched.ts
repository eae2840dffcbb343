// kafkajs 2.2.4 with three faults mended when it is loaded. The files of the package stay as they are, so this works for whoever
// installs the published processor, with any package manager. It is tied to the one version that it was proven with.
//
// 1. `RequestQueue.scheduleCheckPendingRequests` sets a timer when there is nothing to wait for, with a negative delay: newer
//    Nodes warn (TimeoutNegativeWarning), every Node takes it for 1 ms, and each connection wakes up a thousand times a second.
// 2. The metadata parser throws away the whole answer when one partition has no leader. So one leaderless partition keeps a
//    client from learning where the leaders of all the others are.
// 3. `BrokerPool.withBroker` swallows why every broker refused: a user without a right on its group sees "no coordinator found".
import { createRequire } from "node:module";
import { zstdCompress, zstdDecompress } from "node:zlib";
import { promisify } from "node:util";
import { CountersignError } from "@countersign/model";
import type * as KafkaJs from "kafkajs";
import { FASTER } from "./kafkajs-faster.ts";

/** The library, without its types' default export. */
export type KafkaJsModule = typeof KafkaJs;

const VERSION = "2.2.4";
const require = createRequire(import.meta.url);

let loaded: KafkaJsModule | undefined;

/** Loads the library on first use, and mends it. Throws BUG when it is another version. */
export function loadKafkajs(): KafkaJsModule {
  if (loaded !== undefined) return loaded;
  const { version } = require("kafkajs/package.json") as { version: string };
  if (version !== VERSION) {
    throw new CountersignError(
      "BUG",
      `kafka: kafkajs ${version} is installed, but this build mends and was proven with ${VERSION}; install that version`,
    );
  }
  for (const replacement of FASTER) replace(replacement);
  mendTimers();
  mendMetadata();
  mendRefusals();
  const kafkajs = require("kafkajs") as KafkaJsModule;
  addZstd(kafkajs);
  loaded = kafkajs;
  return kafkajs;
}

/** Whoever requires the module after this gets what is put into its place. */
function replace({ path, make }: (typeof FASTER)[number]): void {
  const original = require(path) as never;
  const cached = require.cache[require.resolve(path)];
  if (cached !== undefined) cached.exports = make(original);
}

interface RequestQueue {
  readonly pending: readonly unknown[];
  readonly throttledUntil: number;
  throttleCheckTimeoutId: NodeJS.Timeout | null;
  checkPendingRequests(): void;
  scheduleCheckPendingRequests(): void;
}

const CHECK_MS = 10;

function mendTimers(): void {
  const { prototype } = require("kafkajs/src/network/requestQueue/index.js") as {
    prototype: RequestQueue;
  };
  prototype.scheduleCheckPendingRequests = schedule;
}

/** Whoever puts a request into `pending` asks again, so with nothing pending there is nothing to do. */
function schedule(this: RequestQueue): void {
  if (this.throttleCheckTimeoutId !== null || this.pending.length === 0) return;
  const throttledMs = this.throttledUntil - Date.now();
  this.throttleCheckTimeoutId = setTimeout(
    () => {
      this.throttleCheckTimeoutId = null;
      this.checkPendingRequests();
    },
    throttledMs > 0 ? throttledMs : CHECK_MS,
  );
}

interface Metadata {
  readonly topicMetadata: readonly {
    readonly partitionMetadata: { partitionErrorCode: number; leader: number }[];
  }[];
}

type Parse = (data: Metadata) => Promise<Metadata>;

/** LEADER_NOT_AVAILABLE, REPLICA_NOT_AVAILABLE, LISTENER_NOT_FOUND: the state of one partition, not of the answer. */
const PARTITION_STATES: ReadonlySet<number> = new Set([5, 9, 72]);
const METADATA_VERSIONS = [0, 1, 2, 3, 4, 5, 6];

function mendMetadata(): void {
  for (const version of METADATA_VERSIONS) {
    const response = require(`kafkajs/src/protocol/requests/metadata/v${version}/response.js`) as {
      parse: Parse;
    };
    const parse = response.parse;
    response.parse = (data) => {
      for (const { partitionMetadata } of data.topicMetadata) {
        for (const partition of partitionMetadata) {
          // With leader -1 the library does not find a broker, and asks again: for this partition alone.
          if (PARTITION_STATES.has(partition.partitionErrorCode)) partition.partitionErrorCode = 0;
        }
      }
      return parse(data);
    };
  }
}

interface BrokerPool {
  readonly brokers: Readonly<Record<string, unknown>>;
  findBroker(of: { nodeId: string }): Promise<unknown>;
  withBroker: (
    call: (of: { nodeId: string; broker: unknown }) => Promise<unknown>,
  ) => Promise<unknown>;
}

function mendRefusals(): void {
  const { prototype } = require("kafkajs/src/cluster/brokerPool.js") as { prototype: BrokerPool };
  const { withBroker } = prototype;
  prototype.withBroker = async function tell(call) {
    let reason: unknown;
    const answer = await withBroker.call(this, async (of) => {
      try {
        return await call(of);
      } catch (error) {
        reason = error;
        throw error;
      }
    });
    // The library says null when no broker did it.
    if (answer === null && reason instanceof Error) throw reason;
    return answer;
  };
}

/** zstd comes with Node; the library leaves the place for it open. */
function addZstd({ CompressionCodecs, CompressionTypes }: KafkaJsModule): void {
  const compress = promisify(zstdCompress);
  const decompress = promisify(zstdDecompress);
  CompressionCodecs[CompressionTypes.ZSTD] = () => ({
    compress: ({ buffer }: { buffer: Buffer }) => compress(buffer),
    decompress: (buffer: Buffer) => decompress(buffer),
  });
}
