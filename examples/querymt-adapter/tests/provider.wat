;; A provider as a Wasm plugin. It has the messages of its callers for requests: `chat` returns the
;; response, `chat_stream` its body in parts.
(module
  (import "extism:host/env" "input_offset" (func $input (result i64)))
  (import "extism:host/env" "length" (func $length (param i64) (result i64)))
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store (param i64 i32)))
  (import "extism:host/env" "output_set" (func $output (param i64 i64)))
  (import "extism:host/env" "error_set" (func $error (param i64)))
  (import "extism:host/user" "qmt_http_request" (func $request (param i64) (result i64)))
  (import "extism:host/user" "qmt_http_stream_open" (func $open (param i64) (result i64)))
  (import "extism:host/user" "qmt_http_stream_next" (func $next (param i64) (result i64)))
  (import "extism:host/user" "qmt_http_stream_close" (func $close (param i64)))
  (import "extism:host/user" "qmt_yield_chunk" (func $yield (param i64)))
  (import "extism:host/user" "qmt_log" (func $log (param i64)))
  (memory 1)
  (data (i32.const 0) "greeter")
  (data (i32.const 16) "http://localhost/")
  (data (i32.const 64) "{\"level\":3,\"target\":\"provider\",\"message\":\"the Wasm plugin logs\"}")
  (data (i32.const 192) "{\"payload\":{\"kind\":\"rate_limited\",\"retry_after_secs\":7}}")

  ;; Copies a text of this memory into a block of the host's.
  (func $text (param $from i32) (param $length i32) (result i64)
    (local $block i64) (local $at i32)
    (local.set $block (call $alloc (i64.extend_i32_u (local.get $length))))
    (loop $more
      (call $store
        (i64.add (local.get $block) (i64.extend_i32_u (local.get $at)))
        (i32.load8_u (i32.add (local.get $from) (local.get $at))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $at) (local.get $length))))
    (local.get $block))
  (func $answer (param $block i64)
    (call $output (local.get $block) (call $length (local.get $block))))

  (func (export "name") (call $answer (call $text (i32.const 0) (i32.const 7))))
  (func (export "base_url") (call $answer (call $text (i32.const 16) (i32.const 17))))

  ;; Fails for `null`, whose four bytes are no request.
  (func (export "chat") (result i32)
    (call $log (call $text (i32.const 64) (i32.const 64)))
    (if (i64.eq (call $length (call $input)) (i64.const 4))
      (then
        (call $error (call $text (i32.const 192) (i32.const 56)))
        (return (i32.const 1))))
    (call $answer (call $request (call $input)))
    (i32.const 0))

  (func (export "chat_stream") (result i32)
    (local $stream i64) (local $part i64)
    (local.set $stream (call $open (call $input)))
    (block $end
      (loop $more
        (local.set $part (call $next (local.get $stream)))
        (br_if $end (i64.eqz (local.get $part)))
        (call $yield (local.get $part))
        (br $more)))
    (call $close (local.get $stream))
    (i32.const 0)))
