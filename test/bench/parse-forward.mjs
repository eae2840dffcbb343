// A floor: a proxy that parses and writes every line again, both ways, and decides nothing.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

const [command, ...args] = process.argv.slice(2);
const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
const forward = (from, to) =>
  createInterface({ input: from }).on("line", (line) =>
    to.write(`${JSON.stringify(JSON.parse(line))}\n`),
  );
forward(process.stdin, child.stdin).on("close", () => child.stdin.end());
forward(child.stdout, process.stdout);
child.on("exit", (code) => process.exit(code ?? 1));
