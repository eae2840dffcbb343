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
