// Reads vitest's JSON report and prints the count alone on the last line. A test file that could not be loaded, and a run
// that failed without saying why (types, an unhandled error), are failures too.
// Usage: node count.mjs REPORT EXIT_STATUS
import { readFileSync } from "node:fs";

const say = (line) => process.stdout.write(`${line}\n`);
const [file, status] = process.argv.slice(2);

let report = {
  numPassedTests: 0,
  numFailedTests: 0,
  numPendingTests: 0,
  numTodoTests: 0,
  testResults: [],
};
try {
  report = JSON.parse(readFileSync(file, "utf8"));
} catch {
  say("no test report was written");
}
const unloaded = report.testResults.filter(
  (suite) =>
    suite.status === "failed" && !suite.assertionResults.some((test) => test.status === "failed"),
);
for (const suite of unloaded) say(`could not run: ${suite.name}`);
const skipped = report.numPendingTests + (report.numTodoTests ?? 0);
if (skipped > 0) say(`${skipped} skipped`);

let failed = report.numFailedTests + unloaded.length;
if (failed === 0 && status !== "0") {
  say(`the run failed outside a test (exit ${status})`);
  failed = 1;
}
say(`${report.numPassedTests} passed, ${failed} failed`);
