export { exporterContract } from "./exporter-contract.ts";
export type { ContractCheck, DestinationMood, ExporterFixture } from "./exporter-contract.ts";
