/* The plugin {{name}}. qmt_plugin.h documents its interface. */
#include <stdlib.h>
#include <string.h>

#include "qmt_plugin.h"

QMT_PLUGIN_DEFINE_ABI;

/* Makes one output of `before`, the bytes and `after`, which qmt_plugin_free frees. */
static int32_t give(int32_t code, const char *before, const uint8_t *bytes, size_t len,
                    const char *after, uint8_t **out, size_t *out_len)
{
    size_t start = strlen(before), end = strlen(after);
    uint8_t *text = malloc(start + len + end + 1);
    if (text == NULL)
        return 1;
    memcpy(text, before, start);
    if (len > 0)
        memcpy(text + start, bytes, len);
    memcpy(text + start + len, after, end);
    *out = text;
    *out_len = start + len + end;
    return code;
}

int32_t qmt_plugin_call(const uint8_t *name, size_t name_len, const uint8_t *input,
                        size_t input_len, uint8_t **out, size_t *out_len)
{
    if (name_len != 5 || memcmp(name, "greet", 5) != 0)
        return give(2, "the plugin has no function of this name", NULL, 0, "", out, out_len);
    if (input_len == 0)
        return give(1, "a greeting requires a name", NULL, 0, "", out, out_len);
    return give(0, "Hello, ", input, input_len, "!", out, out_len);
}

int32_t qmt_plugin_exports(uint8_t **out, size_t *out_len)
{
    return give(0, "greet", NULL, 0, "", out, out_len);
}

void qmt_plugin_free(uint8_t *ptr, size_t len)
{
    (void)len;
    free(ptr);
}
