;; Runs programs over Extism's plug-in ABI: `prepare` takes one as its input, `run` runs it on
;; another input and returns its code, `trace` gives out what the functions of the ABI answered.
;;
;; A program is a number of steps (4 bytes, padded to 32), then steps of 32 bytes each, then text.
;; A step is the number of an operation, two slots (4 bytes each, 4 unused), and two numbers. Slots
;; hold handles; `step.rs` lists the operations in the order of the table below.
(module
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "free" (func $free (param i64)))
  (import "extism:host/env" "length" (func $length (param i64) (result i64)))
  (import "extism:host/env" "length_unsafe" (func $length_unsafe (param i64) (result i64)))
  (import "extism:host/env" "load_u8" (func $load_u8 (param i64) (result i32)))
  (import "extism:host/env" "load_u64" (func $load_u64 (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
  (import "extism:host/env" "store_u64" (func $store_u64 (param i64 i64)))
  (import "extism:host/env" "input_set" (func $input_set (param i64 i64)))
  (import "extism:host/env" "input_length" (func $input_length (result i64)))
  (import "extism:host/env" "input_offset" (func $input_offset (result i64)))
  (import "extism:host/env" "input_load_u8" (func $input_load_u8 (param i64) (result i32)))
  (import "extism:host/env" "input_load_u64" (func $input_load_u64 (param i64) (result i64)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  (import "extism:host/env" "output_offset" (func $output_offset (result i64)))
  (import "extism:host/env" "output_length" (func $output_length (result i64)))
  (import "extism:host/env" "error_set" (func $error_set (param i64)))
  (import "extism:host/env" "error_get" (func $error_get (result i64)))
  (import "extism:host/env" "reset" (func $reset))
  (import "extism:host/env" "config_get" (func $config_get (param i64) (result i64)))
  (import "extism:host/env" "var_get" (func $var_get (param i64) (result i64)))
  (import "extism:host/env" "var_set" (func $var_set (param i64 i64)))
  (import "extism:host/env" "log_trace" (func $log_trace (param i64)))
  (import "extism:host/env" "log_debug" (func $log_debug (param i64)))
  (import "extism:host/env" "log_info" (func $log_info (param i64)))
  (import "extism:host/env" "log_warn" (func $log_warn (param i64)))
  (import "extism:host/env" "log_error" (func $log_error (param i64)))
  (import "extism:host/env" "get_log_level" (func $get_log_level (result i32)))
  (import "extism:host/env" "http_request" (func $http_request (param i64 i64) (result i64)))
  (import "extism:host/env" "http_status_code" (func $http_status_code (result i32)))
  (import "extism:host/user" "reverse" (func $reverse (param i64) (result i64)))

  ;; 0: slots. 0x10000: the program. 0x40000: the trace.
  (memory (export "memory") 8)
  (global $noted (mut i32) (i32.const 0))
  (global $done (mut i32) (i32.const 0))
  (global $code (mut i32) (i32.const 0))

  (func $slot (param $index i32) (result i64)
    (i64.load (i32.shl (i32.and (local.get $index) (i32.const 31)) (i32.const 3))))
  (func $set (param $index i32) (param $value i64)
    (i64.store
      (i32.shl (i32.and (local.get $index) (i32.const 31)) (i32.const 3))
      (local.get $value)))
  (func $note (param $value i64)
    (if (i32.ge_u (global.get $noted) (i32.const 4096)) (then (return)))
    (i64.store
      (i32.add (i32.const 0x40000) (i32.shl (global.get $noted) (i32.const 3)))
      (local.get $value))
    (global.set $noted (i32.add (global.get $noted) (i32.const 1))))
  (func $note32 (param $value i32) (call $note (i64.extend_i32_u (local.get $value))))
  ;; Where blocks lie is no part of the ABI; whether there is one is.
  (func $keep (param $index i32) (param $handle i64)
    (call $set (local.get $index) (local.get $handle))
    (call $note32 (i64.ne (local.get $handle) (i64.const 0))))
  (func $at (param $index i32) (param $offset i64) (result i64)
    (i64.add (call $slot (local.get $index)) (local.get $offset)))

  (type $operation (func (param $a i32) (param $b i32) (param $x i64) (param $y i64)))
  (table funcref (elem
    $op_return $op_text $op_fill $op_free $op_length $op_load_u8 $op_load_u64 $op_store_u8
    $op_store_u64 $op_sum $op_input_length $op_input_load_u8 $op_input_load_u64 $op_input_offset
    $op_output_set $op_error_set $op_error_get $op_output_get $op_config_get $op_var_get
    $op_var_set $op_log $op_log_level $op_reset $op_reverse $op_http_request $op_http_status
    $op_unreachable $op_clear $op_copy $op_input_set $op_length_unsafe))

  (func $op_return (type $operation) (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (global.set $code (i32.wrap_i64 (local.get $x)))
    (global.set $done (i32.const 1)))
  (func $op_text (type $operation) (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (local $handle i64) (local $index i64)
    (local.set $handle (call $alloc (local.get $y)))
    (call $keep (local.get $a) (local.get $handle))
    (if (i64.eqz (local.get $handle)) (then (return)))
    (loop $next
      (call $store_u8
        (i64.add (local.get $handle) (local.get $index))
        (i32.load8_u offset=0x10000 (i32.wrap_i64 (i64.add (local.get $x) (local.get $index)))))
      (local.set $index (i64.add (local.get $index) (i64.const 1)))
      (br_if $next (i64.lt_u (local.get $index) (local.get $y)))))
  (func $op_fill (type $operation) (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (local $handle i64) (local $index i64)
    (local.set $handle (call $alloc (local.get $x)))
    (call $keep (local.get $a) (local.get $handle))
    (if (i64.eqz (local.get $handle)) (then (return)))
    (block $end
      (loop $next
        (br_if $end (i64.gt_u (i64.add (local.get $index) (i64.const 8)) (local.get $x)))
        (call $store_u64
          (i64.add (local.get $handle) (local.get $index))
          (i64.mul (i64.add (local.get $y) (local.get $index)) (i64.const 0x9E3779B97F4A7C15)))
        (local.set $index (i64.add (local.get $index) (i64.const 8)))
        (br $next)))
    (block $end
      (loop $next
        (br_if $end (i64.ge_u (local.get $index) (local.get $x)))
        (call $store_u8
          (i64.add (local.get $handle) (local.get $index))
          (i32.wrap_i64 (i64.add (local.get $y) (local.get $index))))
        (local.set $index (i64.add (local.get $index) (i64.const 1)))
        (br $next))))
  (func $op_free (type $operation) (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (call $free (call $at (local.get $a) (local.get $x))))
  (func $op_length (type $operation) (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (call $note (call $length (call $at (local.get $a) (local.get $x)))))
  (func $op_load_u8 (type $operation) (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (call $note32 (call $load_u8 (call $at (local.get $a) (local.get $x)))))
  (func $op_load_u64 (type $operation) (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (call $note (call $load_u64 (call $at (local.get $a) (local.get $x)))))
  (func $op_store_u8 (type $operation) (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (call $store_u8 (call $at (local.get $a) (local.get $x)) (i32.wrap_i64 (local.get $y))))
  (func $op_store_u64 (type $operation) (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (call $store_u64 (call $at (local.get $a) (local.get $x)) (local.get $y)))
  ;; The length of a block, and FNV-1a of its bytes, by words first.
  (func $op_sum (type $operation) (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (local $handle i64) (local $end i64) (local $index i64) (local $sum i64)
    (local.set $handle (call $slot (local.get $a)))
    (local.set $end (call $length (local.get $handle)))
    (local.set $sum (i64.const 0xCBF29CE484222325))
    (block $last
      (loop $next
        (br_if $last (i64.gt_u (i64.add (local.get $index) (i64.const 8)) (local.get $end)))
        (local.set $sum
          (i64.mul
            (i64.xor
              (local.get $sum)
              (call $load_u64 (i64.add (local.get $handle) (local.get $index))))
            (i64.const 0x100000001B3)))
        (local.set $index (i64.add (local.get $index) (i64.const 8)))
        (br $next)))
    (block $last
      (loop $next
        (br_if $last (i64.ge_u (local.get $index) (local.get $end)))
        (local.set $sum
          (i64.mul
            (i64.xor
              (local.get $sum)
              (i64.extend_i32_u
                (call $load_u8 (i64.add (local.get $handle) (local.get $index)))))
            (i64.const 0x100000001B3)))
        (local.set $index (i64.add (local.get $index) (i64.const 1)))
        (br $next)))
    (call $note (local.get $end))
    (call $note (local.get $sum)))
  (func $op_input_length (type $operation)
    (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (call $note (call $input_length)))
  (func $op_input_load_u8 (type $operation)
    (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (call $note32 (call $input_load_u8 (local.get $x))))
  (func $op_input_load_u64 (type $operation)
    (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (call $note (call $input_load_u64 (local.get $x))))
  (func $op_input_offset (type $operation)
    (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (call $keep (local.get $a) (call $input_offset)))
  (func $op_output_set (type $operation)
    (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (call $output_set (call $at (local.get $a) (local.get $x)) (local.get $y)))
  (func $op_error_set (type $operation)
    (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (call $error_set (call $at (local.get $a) (local.get $x))))
  (func $op_error_get (type $operation)
    (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (call $note32 (i64.eq (call $error_get) (call $slot (local.get $a)))))
  (func $op_output_get (type $operation)
    (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (call $note32 (i64.eq (call $output_offset) (call $slot (local.get $a))))
    (call $note (call $output_length)))
  (func $op_config_get (type $operation)
    (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (call $keep (local.get $a) (call $config_get (call $slot (local.get $b)))))
  (func $op_var_get (type $operation) (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (call $keep (local.get $a) (call $var_get (call $slot (local.get $b)))))
  (func $op_var_set (type $operation) (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (call $var_set (call $slot (local.get $a)) (call $slot (local.get $b))))
  (func $op_log (type $operation) (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (local $handle i64)
    (local.set $handle (call $at (local.get $a) (local.get $y)))
    (block $error (block $warn (block $info (block $debug (block $trace
      (br_table $trace $debug $info $warn $error (i32.wrap_i64 (local.get $x))))
      (return (call $log_trace (local.get $handle))))
      (return (call $log_debug (local.get $handle))))
      (return (call $log_info (local.get $handle))))
      (return (call $log_warn (local.get $handle))))
    (call $log_error (local.get $handle)))
  (func $op_log_level (type $operation) (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (call $note32 (call $get_log_level)))
  (func $op_reset (type $operation) (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (call $reset))
  (func $op_reverse (type $operation) (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (call $keep (local.get $a) (call $reverse (call $slot (local.get $b)))))
  (func $op_http_request (type $operation)
    (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (call $keep
      (local.get $a)
      (call $http_request (call $slot (local.get $b)) (call $slot (i32.wrap_i64 (local.get $x))))))
  (func $op_http_status (type $operation)
    (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (call $note32 (call $http_status_code)))
  (func $op_unreachable (type $operation)
    (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (unreachable))
  (func $op_clear (type $operation) (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (call $set (local.get $a) (i64.const 0)))
  (func $op_copy (type $operation) (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (call $set (local.get $a) (call $slot (local.get $b))))
  (func $op_input_set (type $operation) (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (call $input_set (call $slot (local.get $a)) (local.get $x)))
  (func $op_length_unsafe (type $operation)
    (param $a i32) (param $b i32) (param $x i64) (param $y i64)
    (call $note (call $length_unsafe (call $slot (local.get $a)))))

  (func (export "prepare")
    (local $index i64) (local $length i64)
    (local.set $length (call $input_length))
    (block $end
      (loop $next
        (br_if $end (i64.ge_u (local.get $index) (local.get $length)))
        (i32.store8 offset=0x10000
          (i32.wrap_i64 (local.get $index))
          (call $input_load_u8 (local.get $index)))
        (local.set $index (i64.add (local.get $index) (i64.const 1)))
        (br $next)))
    (global.set $noted (i32.const 0)))

  (func (export "run") (result i32)
    (local $step i32) (local $end i32)
    (memory.fill (i32.const 0) (i32.const 0) (i32.const 256))
    (global.set $done (i32.const 0))
    (global.set $code (i32.const 0))
    (local.set $step (i32.const 0x10020))
    (local.set $end
      (i32.add (local.get $step) (i32.shl (i32.load (i32.const 0x10000)) (i32.const 5))))
    (block $last
      (loop $next
        (br_if $last (global.get $done))
        (br_if $last (i32.ge_u (local.get $step) (local.get $end)))
        (call_indirect (type $operation)
          (i32.load offset=4 (local.get $step))
          (i32.load offset=8 (local.get $step))
          (i64.load offset=16 (local.get $step))
          (i64.load offset=24 (local.get $step))
          (i32.load (local.get $step)))
        (local.set $step (i32.add (local.get $step) (i32.const 32)))
        (br $next)))
    (global.get $code))

  (func (export "trace")
    (local $handle i64) (local $index i32)
    (local.set $handle (call $alloc (i64.extend_i32_u (i32.shl (global.get $noted) (i32.const 3)))))
    (block $end
      (loop $next
        (br_if $end (i32.ge_u (local.get $index) (global.get $noted)))
        (call $store_u64
          (i64.add (local.get $handle) (i64.extend_i32_u (i32.shl (local.get $index) (i32.const 3))))
          (i64.load offset=0x40000 (i32.shl (local.get $index) (i32.const 3))))
        (local.set $index (i32.add (local.get $index) (i32.const 1)))
        (br $next)))
    (call $output_set
      (local.get $handle)
      (i64.extend_i32_u (i32.shl (global.get $noted) (i32.const 3))))))
