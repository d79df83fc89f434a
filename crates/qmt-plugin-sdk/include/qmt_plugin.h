/*
 * qmt_plugin.h, version 1: what a native plugin implements so that a host can call it.
 *
 * A plugin is a shared library that exports the functions below. All of them may be called from
 * any thread, and several at once. Nothing may unwind across them: a C++ plugin catches its
 * exceptions, a Rust plugin uses the crate qmt-plugin-sdk, which catches panics. The host checks the
 * signature and the mark below before it opens the library, so before a constructor runs.
 *
 * Memory: the plugin allocates its outputs and frees them in qmt_plugin_free. Arguments of the host
 * are valid until the function returns. Texts are UTF-8, with a length and without a final zero.
 *
 * Link with `-fPIC -Wl,-z,noexecstack`, without RPATH or RUNPATH. Libraries other than
 * the C, C++ and OpenMP runtimes are refused unless the host or its operator allows them.
 */
#ifndef QMT_PLUGIN_H
#define QMT_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QMT_PLUGIN_ABI_VERSION 1u

#if defined(_WIN32)
#define QMT_PLUGIN_EXPORT __declspec(dllexport)
#elif defined(__GNUC__)
#define QMT_PLUGIN_EXPORT __attribute__((visibility("default"), used))
#else
#define QMT_PLUGIN_EXPORT
#endif

/* Returns QMT_PLUGIN_ABI_VERSION. QMT_PLUGIN_DEFINE_ABI defines it. */
QMT_PLUGIN_EXPORT uint32_t qmt_plugin_abi_version(void);

/*
 * Calls the function named `export_name` with `input`. Returns 0 and sets *out and *out_len to the
 * output, or returns another number and sets them to an error message. The host sets *out to NULL and
 * *out_len to 0 before the call; a plugin without an output leaves them so.
 */
QMT_PLUGIN_EXPORT int32_t qmt_plugin_call(const uint8_t *export_name, size_t export_len,
                                          const uint8_t *input, size_t input_len,
                                          uint8_t **out, size_t *out_len);

/* Frees an output of qmt_plugin_call or qmt_plugin_exports, with its length. */
QMT_PLUGIN_EXPORT void qmt_plugin_free(uint8_t *ptr, size_t len);

/* Optional: sets the output to the names that qmt_plugin_call takes, one per line. Returns 0. */
QMT_PLUGIN_EXPORT int32_t qmt_plugin_exports(uint8_t **out, size_t *out_len);

/*
 * Optional: receives the configuration, a JSON object of strings, once, before the first call.
 * Returns 0, or another number to refuse it; the plugin is then not loaded.
 */
QMT_PLUGIN_EXPORT int32_t qmt_plugin_configure(const uint8_t *json, size_t json_len);

/* The mark by which a host knows the version before it opens the library. */
struct qmt_plugin_abi_mark {
    uint8_t magic[8];
    uint32_t version;
};

/* Write this once, in one source file of the plugin. */
#ifdef __cplusplus
#define QMT_PLUGIN_DEFINE_ABI_LINKAGE extern "C"
#else
#define QMT_PLUGIN_DEFINE_ABI_LINKAGE
#endif
#define QMT_PLUGIN_DEFINE_ABI                                                                     \
    QMT_PLUGIN_DEFINE_ABI_LINKAGE QMT_PLUGIN_EXPORT const struct qmt_plugin_abi_mark               \
        qmt_plugin_abi = {{'Q', 'M', 'T', 'A', 'B', 'I', 0, 0}, QMT_PLUGIN_ABI_VERSION};           \
    QMT_PLUGIN_DEFINE_ABI_LINKAGE uint32_t qmt_plugin_abi_version(void)                            \
    {                                                                                              \
        return QMT_PLUGIN_ABI_VERSION;                                                             \
    }                                                                                              \
    struct qmt_plugin_abi_mark /* so that the macro takes a semicolon */

#ifdef __cplusplus
}
#endif

#endif
