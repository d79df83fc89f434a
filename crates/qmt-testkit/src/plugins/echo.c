/*
 * A native plugin with the C ABI of qmt_plugin.h, version 1: it answers as the Wasm one does.
 * It includes no header, so that it compiles wherever there is a C compiler.
 */
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default"), used))
#endif

/* The mark by which a host knows the version before it opens the library. */
EXPORT const struct {
    uint8_t magic[8];
    uint32_t version;
} qmt_plugin_abi = {{'Q', 'M', 'T', 'A', 'B', 'I', 0, 0}, 1};

EXPORT uint32_t qmt_plugin_abi_version(void) { return 1; }

static atomic_uint calls;
static char *config;

static int is(const char *name, const uint8_t *text, size_t len) {
    return strlen(name) == len && memcmp(name, text, len) == 0;
}

static int32_t answer(const char *before, const uint8_t *input, size_t len, const char *after,
                      uint8_t **out, size_t *out_len) {
    size_t first = strlen(before), last = strlen(after);
    uint8_t *text = malloc(first + len + last + 1);
    if (text == NULL) return 3;
    memcpy(text, before, first);
    if (len > 0) memcpy(text + first, input, len);
    memcpy(text + first + len, after, last);
    *out = text;
    *out_len = first + len + last;
    return 0;
}

/* Finds "key":"value" in the configuration: a plain value, without escapes. */
static int32_t config_value(const uint8_t *key, size_t len, uint8_t **out, size_t *out_len) {
    const char *at = config;
    while (at != NULL && (at = strchr(at, '"')) != NULL) {
        const char *text = ++at;
        if (strncmp(text, (const char *)key, len) == 0 && strncmp(text + len, "\":\"", 3) == 0) {
            const char *value = text + len + 3, *end = strchr(value, '"');
            if (end == NULL) break;
            return answer("", (const uint8_t *)value, (size_t)(end - value), "", out, out_len);
        }
    }
    return answer("", NULL, 0, "", out, out_len);
}

EXPORT int32_t qmt_plugin_call(const uint8_t *export_name, size_t export_len, const uint8_t *input,
                               size_t input_len, uint8_t **out, size_t *out_len) {
    if (is("greet", export_name, export_len))
        return answer("Hello, ", input, input_len, "! (native)", out, out_len);
    if (is("echo", export_name, export_len))
        return answer("", input, input_len, "", out, out_len);
    if (is("config_value", export_name, export_len))
        return config_value(input, input_len, out, out_len);
    if (is("count", export_name, export_len)) {
        uint8_t digit = (uint8_t)('0' + (atomic_fetch_add(&calls, 1) + 1) % 10);
        return answer("", &digit, 1, "", out, out_len);
    }
    if (is("fail", export_name, export_len)) {
        answer("this export always fails", NULL, 0, "", out, out_len);
        return 2;
    }
    answer("no such export", NULL, 0, "", out, out_len);
    return 1;
}

EXPORT void qmt_plugin_free(uint8_t *pointer, size_t len) {
    (void)len;
    free(pointer);
}

EXPORT int32_t qmt_plugin_exports(uint8_t **out, size_t *out_len) {
    return answer("greet\necho\nconfig_value\ncount\nfail", NULL, 0, "", out, out_len);
}

EXPORT int32_t qmt_plugin_configure(const uint8_t *json, size_t json_len) {
    config = malloc(json_len + 1);
    if (config == NULL) return 1;
    memcpy(config, json, json_len);
    config[json_len] = '\0';
    return 0;
}

/* For hosts with an ABI of their own. */
EXPORT int32_t qmt_test_add(int32_t a, int32_t b) { return a + b; }
EXPORT const char qmt_test_name[] = "echo";
