;; An Extism plugin by hand. It uses the host's memory only, through the kernel's functions.
(module
  (import "extism:host/env" "input_length" (func $input_length (result i64)))
  (import "extism:host/env" "input_load_u8" (func $input_load_u8 (param i64) (result i32)))
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "length" (func $length (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  (import "extism:host/env" "error_set" (func $error_set (param i64)))
  (import "extism:host/env" "config_get" (func $config_get (param i64) (result i64)))

  (memory (export "memory") 1)
  (data (i32.const 0) "Hello, ")       ;; 7 bytes
  (data (i32.const 16) "! (wasm)")     ;; 8 bytes
  (data (i32.const 32) "this export always fails") ;; 24 bytes
  (global $calls (mut i32) (i32.const 0))

  ;; Copies bytes of this module's memory to the host's.
  (func $put (param $to i64) (param $from i32) (param $len i32)
    (local $i i32)
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get $len)))
        (call $store_u8
          (i64.add (local.get $to) (i64.extend_i32_u (local.get $i)))
          (i32.load8_u (i32.add (local.get $from) (local.get $i))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next))))

  ;; Copies the input to the host's memory.
  (func $put_input (param $to i64)
    (local $i i64)
    (block $done
      (loop $next
        (br_if $done (i64.ge_u (local.get $i) (call $input_length)))
        (call $store_u8
          (i64.add (local.get $to) (local.get $i))
          (call $input_load_u8 (local.get $i)))
        (local.set $i (i64.add (local.get $i) (i64.const 1)))
        (br $next))))

  ;; "Hello, <input>! (wasm)"
  (func (export "greet") (result i32)
    (local $len i64) (local $out i64)
    (local.set $len (call $input_length))
    (local.set $out (call $alloc (i64.add (local.get $len) (i64.const 15))))
    (call $put (local.get $out) (i32.const 0) (i32.const 7))
    (call $put_input (i64.add (local.get $out) (i64.const 7)))
    (call $put
      (i64.add (local.get $out) (i64.add (local.get $len) (i64.const 7)))
      (i32.const 16) (i32.const 8))
    (call $output_set (local.get $out) (i64.add (local.get $len) (i64.const 15)))
    (i32.const 0))

  ;; The input.
  (func (export "echo") (result i32)
    (local $out i64)
    (local.set $out (call $alloc (call $input_length)))
    (call $put_input (local.get $out))
    (call $output_set (local.get $out) (call $input_length))
    (i32.const 0))

  ;; The value of the config key that the input names; empty where there is none.
  (func (export "config_value") (result i32)
    (local $key i64) (local $value i64)
    (local.set $key (call $alloc (call $input_length)))
    (call $put_input (local.get $key))
    (local.set $value (call $config_get (local.get $key)))
    (if (i64.ne (local.get $value) (i64.const 0))
      (then
        (call $output_set (local.get $value) (call $length (local.get $value)))))
    (i32.const 0))

  ;; How often this instance was asked to count, as one decimal digit.
  (func (export "count") (result i32)
    (local $out i64)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (local.set $out (call $alloc (i64.const 1)))
    (call $store_u8 (local.get $out)
      (i32.add (i32.const 48) (i32.rem_u (global.get $calls) (i32.const 10))))
    (call $output_set (local.get $out) (i64.const 1))
    (i32.const 0))

  ;; Reports an error.
  (func (export "fail") (result i32)
    (local $text i64)
    (local.set $text (call $alloc (i64.const 24)))
    (call $put (local.get $text) (i32.const 32) (i32.const 24))
    (call $error_set (local.get $text))
    (i32.const 1))

  ;; Breaks off.
  (func (export "trap") (result i32)
    unreachable)

  ;; Never ends.
  (func (export "spin") (result i32)
    (loop $again (br $again))
    unreachable)

  ;; Takes all memory that it can get.
  (func (export "grow") (result i32)
    (block $done
      (loop $next
        (br_if $done (i32.eq (memory.grow (i32.const 16)) (i32.const -1)))
        (br $next)))
    (i32.const 0)))
