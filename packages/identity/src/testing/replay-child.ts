// A process of its own that uses proofs: `replay-child.ts DIRECTORY NOW_MS FROM TO GO_FILE`. It waits for the file, so that two
// start together, prints one letter for each proof (f, r or x for full) and then stays until it is killed.
import { existsSync, writeSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { createReplayGuard } from "../replay.ts";

const [directory = "", now = "", from = "", to = "", goFile = ""] = process.argv.slice(2);
const nowMs = Number(now);
const guard = createReplayGuard({ directory });
writeSync(1, "ready\n");
while (!existsSync(goFile)) await wait(1);
let answers = "";
for (let index = Number(from); index < Number(to); index += 1) {
  const iatSeconds = Math.floor(nowMs / 1000) - (index % 50);
  const answer = guard.use({ jkt: "key", jti: `proof-${index}`, iatSeconds }, nowMs);
  answers += answer === "full" ? "x" : answer.charAt(0);
}
writeSync(1, `${answers}\n`);
setInterval(() => undefined, 60_000);
