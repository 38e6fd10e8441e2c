/* What the test programs share: checks that say where they failed, and a few short forms.
 *
 * The programs are C11 and C++17 at the same time. */
#ifndef CHECK_H
#define CHECK_H

#include <chatproto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                          \
    do {                                                                                          \
        if (!(condition)) {                                                                       \
            fprintf(stderr, "%s:%d: %s\n(last error: %s)\n", __FILE__, __LINE__, #condition,      \
                    chatproto_last_error().ptr);                                                  \
            exit(1);                                                                              \
        }                                                                                         \
    } while (0)

/* Checks that a call gives the result. */
#define GIVES(expected, call)                                                                     \
    do {                                                                                          \
        chatproto_result result_ = (call);                                                        \
        if (result_ != (expected)) {                                                              \
            fprintf(stderr, "%s:%d: %s\ngave %d (%s), not %s\n(last error: %s)\n", __FILE__,      \
                    __LINE__, #call, (int)result_, chatproto_result_str(result_), #expected,      \
                    chatproto_last_error().ptr);                                                  \
            exit(1);                                                                              \
        }                                                                                         \
    } while (0)

#define WORKS(call) GIVES(CHATPROTO_OK, call)

static inline chatproto_str str(const char *text) { return chatproto_str_of(text); }

static inline bool is(chatproto_str string, const char *text) {
    return string.len == strlen(text) && memcmp(string.ptr, text, string.len) == 0;
}

static inline bool contains(chatproto_str string, const char *text) {
    size_t length = strlen(text);
    for (size_t at = 0; at + length <= string.len; at++) {
        if (memcmp(string.ptr + at, text, length) == 0) return true;
    }
    return false;
}

static inline chatproto_fields fields_of(const char *name, const char *ip, const char *to,
                                         const char *msg) {
    chatproto_fields fields;
    fields.name = str(name);
    fields.ip = str(ip);
    fields.to = str(to);
    fields.msg = str(msg);
    return fields;
}

#endif
