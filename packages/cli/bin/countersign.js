#!/usr/bin/env node
// Plain old syntax on purpose: this file must parse on any Node, to say in one sentence that it is too old.
"use strict";

var wanted = [22, 15];
var have = process.versions.node.split(".").map(Number);
if (have[0] < wanted[0] || (have[0] === wanted[0] && have[1] < wanted[1])) {
  process.stderr.write(
    "countersign needs Node " +
      wanted.join(".") +
      " or newer; this is Node " +
      process.versions.node +
      ".\n",
  );
  process.exitCode = 78;
} else {
  import("../dist/main.js").catch(function (error) {
    var unbuilt =
      error && error.code === "ERR_MODULE_NOT_FOUND" && /dist.main\.js/.test(String(error.message));
    process.stderr.write(
      unbuilt
        ? "countersign is not built here: run pnpm build first.\n"
        : "countersign could not be loaded: " +
            String(error && error.message).split("\n")[0] +
            "\n",
    );
    process.exitCode = 70;
  });
}
