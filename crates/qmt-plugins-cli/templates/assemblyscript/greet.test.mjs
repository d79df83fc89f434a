// Calls the built module with the command `qmt-plugins`.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";

function greet(name) {
  const run = ["run", "./plugin.wasm", "greet", "--input", name];
  return spawnSync("qmt-plugins", run, { encoding: "utf8" });
}

test("a greeting has the name", () => {
  assert.equal(greet("Ada").stdout, "Hello, Ada!");
  assert.match(greet("").stderr, /requires a name/);
});
