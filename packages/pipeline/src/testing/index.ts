export { exporterContract } from "./exporter-contract.ts";
export type { ExporterFixture } from "./exporter-contract.ts";
