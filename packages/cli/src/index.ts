export { EXIT, CliError, exitCodeOf } from "./exit.ts";
export { run } from "./program.ts";
