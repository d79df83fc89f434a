/* Calls the plugin as a host does. */
#include <stdio.h>
#include <string.h>

#include "qmt_plugin.h"

static int check(const char *input, int32_t code, const char *expected)
{
    uint8_t *out = NULL;
    size_t len = 0;
    int32_t returned = qmt_plugin_call((const uint8_t *)"greet", 5, (const uint8_t *)input,
                                       strlen(input), &out, &len);
    int good = returned == code && len == strlen(expected) && memcmp(out, expected, len) == 0;
    if (!good)
        printf("greet(\"%s\") returned %d and \"%.*s\"\n", input, returned, (int)len, out);
    qmt_plugin_free(out, len);
    return good;
}

int main(void)
{
    int good = check("Ada", 0, "Hello, Ada!");
    return check("", 1, "a greeting requires a name") && good ? 0 : 1;
}
