/* Writes a file as soon as it is opened: what a loader must not let happen before it is sure. */
#include <stdio.h>

#ifndef QMT_TEST_MARKER
#error "QMT_TEST_MARKER names the file"
#endif

__attribute__((constructor)) static void on_open(void) {
    FILE *file = fopen(QMT_TEST_MARKER, "w");
    if (file != NULL) {
        fputs("opened", file);
        fclose(file);
    }
}
