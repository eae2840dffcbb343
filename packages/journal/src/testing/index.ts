export {
  type Call,
  createFaultyFs,
  failNth,
  type Fault,
  type FaultPlan,
  type FaultyFs,
  type Operation,
  systemError,
} from "./faulty-fs.ts";
export {
  type Behaviour,
  type OtlpReceiver,
  type ReceivedBatch,
  type ReceivedEvent,
  type Reply,
  startOtlpReceiver,
} from "./otlp-receiver.ts";
