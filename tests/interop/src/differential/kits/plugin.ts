// The calls of every kit, in AssemblyScript.
import { Config, Host, LogLevel, Memory, Var } from "@extism/as-pdk";
import { error_set, log_debug } from "@extism/as-pdk/lib/env";

@external("extism:host/user", "reverse")
declare function reverse(input: u64): u64;
@external("extism:host/env", "length")
declare function length(handle: u64): u64;
@external("extism:host/env", "http_request")
declare function http_request(request: u64, body: u64): u64;

export function myAbort(
  message: string | null,
  file: string | null,
  line: u32,
  column: u32,
): void {
  const words = message === null ? "no message" : message!;
  error_set(Memory.allocateString(words).offset);
  unreachable();
}

export function echo(): i32 {
  Host.output(Host.input());
  return 0;
}

export function fail(): i32 {
  error_set(Memory.allocateString(Host.inputString()).offset);
  return 42;
}

export function fail_with_code(): i32 {
  Host.outputString("an output");
  return 17;
}

export function config(): i32 {
  const value = Config.get(Host.inputString());
  Host.outputString(value === null ? "absent" : "present: " + value!);
  return 0;
}

export function set(): i32 {
  const input = Host.inputString();
  const at = input.indexOf("\n");
  const key = at < 0 ? input : input.substring(0, at);
  const value = at < 0 ? "" : input.substring(at + 1);
  Var.set(key, Uint8Array.wrap(String.UTF8.encode(value)));
  return 0;
}

export function get(): i32 {
  const value = Var.get(Host.inputString());
  if (value === null) {
    Host.outputString("absent");
  } else {
    Host.output(value!);
  }
  return 0;
}

export function remove(): i32 {
  Var.remove(Host.inputString());
  return 0;
}

export function log(): i32 {
  const line = Host.inputString();
  log_debug(Memory.allocateString(line).offset);
  Host.log(LogLevel.Info, line);
  Host.log(LogLevel.Warn, line);
  Host.log(LogLevel.Error, line);
  return 0;
}

export function panic(): i32 {
  throw new Error(Host.inputString());
}

export function json(): i32 {
  const words = Host.inputString().split(" ");
  let output = "[";
  for (let index = 0; index < words.length; index++) {
    output += (index > 0 ? "," : "") + '"' + words[index].toLowerCase() + '"';
  }
  Host.outputString(output + "]");
  return 0;
}

export function heavy(): i32 {
  const count = i32(parseInt(Host.inputString()));
  const words = new Array<string>();
  for (let index = 0; index < count; index++) {
    words.push((u64(index) * 0x9E3779B97F4A7C15).toString(16));
  }
  words.sort();
  Host.outputString(count > 0 ? words[0] + " " + words[count - 1] : "none");
  return 0;
}

export function host(): i32 {
  const input = Memory.allocateBytes(Host.input());
  const handle = reverse(input.offset);
  Host.outputMemory(new Memory(handle, length(handle)));
  return 0;
}

export function request(): i32 {
  const request = '{"url":"' + Host.inputString() + '","method":"GET","headers":{}}';
  const handle = http_request(Memory.allocateString(request).offset, 0);
  Host.outputMemory(new Memory(handle, length(handle)));
  return 0;
}
