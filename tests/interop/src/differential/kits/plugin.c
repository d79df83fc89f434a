/* The calls of every kit, in C without a library. As with the functions of Extism's kit for C,
 * the input is read by its handle, keys are freed again although the host has freed them, and an
 * empty output is the null handle. */
typedef unsigned long long u64;
typedef unsigned char u8;

#define ENV(name) __attribute__((import_module("extism:host/env"), import_name(name))) extern
#define USER(name) __attribute__((import_module("extism:host/user"), import_name(name))) extern
#define EXPORT(name) __attribute__((export_name(name)))

ENV("alloc") u64 ext_alloc(u64);
ENV("free") void ext_free(u64);
ENV("length_unsafe") u64 ext_length(u64);
ENV("load_u8") u8 ext_load_u8(u64);
ENV("load_u64") u64 ext_load_u64(u64);
ENV("store_u8") void ext_store_u8(u64, u8);
ENV("store_u64") void ext_store_u64(u64, u64);
ENV("input_offset") u64 ext_input_offset(void);
ENV("output_set") void ext_output_set(u64, u64);
ENV("error_set") void ext_error_set(u64);
ENV("config_get") u64 ext_config_get(u64);
ENV("var_get") u64 ext_var_get(u64);
ENV("var_set") void ext_var_set(u64, u64);
ENV("log_debug") void ext_log_debug(u64);
ENV("log_info") void ext_log_info(u64);
ENV("log_warn") void ext_log_warn(u64);
ENV("log_error") void ext_log_error(u64);
ENV("http_request") u64 ext_http_request(u64, u64);
ENV("http_status_code") int ext_http_status_code(void);
USER("reverse") u64 reverse(u64);

#define BUFFER_SIZE (2u << 20)
static u8 buffer[BUFFER_SIZE];

/* Reads a block by words, then by bytes. */
static u64 load(u64 handle) {
  u64 length = ext_length(handle), at = 0;
  if (length > BUFFER_SIZE) length = BUFFER_SIZE;
  for (; at + 8 <= length; at += 8) *(u64 *)(buffer + at) = ext_load_u64(handle + at);
  for (; at < length; at++) buffer[at] = ext_load_u8(handle + at);
  return length;
}

static u64 store(const u8 *bytes, u64 length) {
  u64 handle = ext_alloc(length), at = 0;
  for (; at + 8 <= length; at += 8) ext_store_u64(handle + at, *(const u64 *)(bytes + at));
  for (; at < length; at++) ext_store_u8(handle + at, bytes[at]);
  return handle;
}

static void output(const char *text) {
  u64 length = 0;
  while (text[length]) length++;
  ext_output_set(store((const u8 *)text, length), length);
}

static u64 input(void) { return load(ext_input_offset()); }

EXPORT("echo") int echo(void) {
  u64 length = input();
  ext_output_set(store(buffer, length), length);
  return 0;
}

EXPORT("fail") int fail(void) {
  u64 length = input();
  ext_error_set(store(buffer, length));
  return 42;
}

EXPORT("fail_with_code") int fail_with_code(void) {
  output("an output");
  return 17;
}

static int give(u64 handle) {
  if (!handle)
    output("absent");
  else
    ext_output_set(handle, ext_length(handle));
  return 0;
}

EXPORT("config") int config(void) {
  u64 key = store(buffer, input());
  u64 length = load(ext_config_get(key));
  ext_free(key);
  ext_output_set(store(buffer, length), length);
  return 0;
}

EXPORT("set") int set(void) {
  u64 length = input(), at = 0;
  while (at < length && buffer[at] != '\n') at++;
  u64 key = store(buffer, at);
  u64 value = at < length ? store(buffer + at + 1, length - at - 1) : 0;
  ext_var_set(key, value);
  ext_free(value);
  ext_free(key);
  return 0;
}

EXPORT("get") int get(void) { return give(ext_var_get(store(buffer, input()))); }

EXPORT("remove") int remove_variable(void) {
  ext_var_set(store(buffer, input()), 0);
  return 0;
}

EXPORT("log") int log_lines(void) {
  u64 length = input();
  void (*levels[])(u64) = {ext_log_debug, ext_log_info, ext_log_warn, ext_log_error};
  for (int level = 0; level < 4; level++) {
    u64 line = store(buffer, length);
    levels[level](line);
    ext_free(line);
  }
  return 0;
}

EXPORT("panic") int panic(void) { __builtin_trap(); }

/* Sums up and shows as many numbers as memory has bytes, some of them late. */
EXPORT("heavy") int heavy(void) {
  static u64 sum;
  for (u64 round = 0; round < 8; round++)
    for (u64 at = 0; at < BUFFER_SIZE; at++) {
      buffer[at] = (u8)(at * 31 + round + buffer[at / 2]);
      sum = sum * 33 + buffer[at];
    }
  u64 handle = ext_alloc(8);
  ext_output_set(handle, 8);
  ext_store_u64(handle, sum);
  return 0;
}

EXPORT("host") int host(void) { return give(reverse(store(buffer, input()))); }

EXPORT("request") int request(void) {
  static const char before[] = "{\"url\":\"", behind[] = "\",\"method\":\"GET\",\"headers\":{}}";
  u64 length = input(), handle;
  handle = ext_alloc(sizeof before - 1 + length + sizeof behind - 1);
  u64 at = handle;
  for (u64 index = 0; index < sizeof before - 1; index++) ext_store_u8(at++, (u8)before[index]);
  for (u64 index = 0; index < length; index++) ext_store_u8(at++, buffer[index]);
  for (u64 index = 0; index < sizeof behind - 1; index++) ext_store_u8(at++, (u8)behind[index]);
  give(ext_http_request(handle, 0));
  return ext_http_status_code();
}
