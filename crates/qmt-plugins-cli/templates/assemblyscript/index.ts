// The plugin {{name}}.
import { Host, Memory } from "@extism/as-pdk";
import { error_set } from "@extism/as-pdk/lib/env";

function fail(message: string): i32 {
  error_set(Memory.allocateString(message).offset);
  return 1;
}

// Takes a name and returns a greeting.
export function greet(): i32 {
  const name = Host.inputString();
  if (name.length == 0) return fail("a greeting requires a name");
  Host.outputString("Hello, " + name + "!");
  return 0;
}

// What `throw` and failed assertions call.
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  fail(message === null ? "no message" : message);
  unreachable();
}
