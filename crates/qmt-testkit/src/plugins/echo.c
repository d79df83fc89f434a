/* A native plugin with the small C ABI: answers as the Wasm one does. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

#ifndef QMT_TEST_ABI
#define QMT_TEST_ABI 1
#endif

static uint32_t calls = 0;

EXPORT uint32_t qmt_plugin_abi_version(void) { return QMT_TEST_ABI; }

static int is(const char *name, const char *text, size_t len) {
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

EXPORT int32_t qmt_plugin_call(const char *export_name, size_t export_len, const uint8_t *input,
                               size_t input_len, uint8_t **out, size_t *out_len) {
    if (is("greet", export_name, export_len))
        return answer("Hello, ", input, input_len, "! (native)", out, out_len);
    if (is("echo", export_name, export_len))
        return answer("", input, input_len, "", out, out_len);
    if (is("count", export_name, export_len)) {
        uint8_t digit = (uint8_t)('0' + ++calls % 10);
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

/* For hosts with an ABI of their own. */
EXPORT int32_t qmt_test_add(int32_t a, int32_t b) { return a + b; }
EXPORT const char qmt_test_name[] = "echo";
