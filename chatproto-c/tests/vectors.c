/* The conformance vectors, from a plain text file that tests/c.rs makes of chatproto/vectors/: one
 * record a line, words separated by spaces, strings in hexadecimal, "-" for an empty one.
 *
 *   decode ID MAX_FRAME STRICT END INPUT     and then, for each thing that comes of it:
 *   message NAME IP TO MSG
 *   lengths NAME IP TO MSG
 *   error KIND OFFSET FIELD
 *   done
 *   encode ID NAME IP TO MSG COMPACT PYTHON */
#include "check.h"

typedef struct {
    unsigned char *bytes;
    size_t length;
} blob;

typedef struct {
    char what; /* m, l or e */
    blob strings[4];
    size_t lengths[4];
    char kind[32], field[16];
    unsigned long long offset;
} outcome;

enum { MOST = 64, LINE = 1 << 20 };

static char id[128];

#define HOLDS(condition)                                                                          \
    do {                                                                                          \
        if (!(condition)) fprintf(stderr, "vector %s\n", id);                                     \
        CHECK(condition);                                                                         \
    } while (0)

static int digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

static blob unhex(const char *word) {
    blob blob;
    blob.length = strcmp(word, "-") == 0 ? 0 : strlen(word) / 2;
    blob.bytes = (unsigned char *)malloc(blob.length + 1);
    CHECK(blob.bytes != NULL);
    for (size_t at = 0; at < blob.length; at++) {
        blob.bytes[at] = (unsigned char)(digit(word[2 * at]) * 16 + digit(word[2 * at + 1]));
    }
    return blob;
}

static const char *word(void) {
    const char *found = strtok(NULL, " \n");
    CHECK(found != NULL);
    return found;
}

static const char *kind_of(chatproto_result result) {
    switch (result) {
    case CHATPROTO_UNEXPECTED_BYTE: return "unexpected-byte";
    case CHATPROTO_CONTROL_CHARACTER: return "control-character";
    case CHATPROTO_INVALID_UTF8: return "invalid-utf8";
    case CHATPROTO_TOO_DEEP: return "too-deep";
    case CHATPROTO_TOO_LONG: return "too-long";
    case CHATPROTO_UNEXPECTED_END: return "unexpected-end";
    case CHATPROTO_MISSING_KEY: return "missing-key";
    case CHATPROTO_DUPLICATE_KEY: return "duplicate-key";
    case CHATPROTO_WRONG_TYPE: return "wrong-type";
    case CHATPROTO_LONE_SURROGATE: return "lone-surrogate";
    case CHATPROTO_UNKNOWN_KEY: return "unknown-key";
    case CHATPROTO_NUL_IN_NAME: return "nul-in-name";
    default: return "none";
    }
}

static void check_token(const chatproto_json_str *token, const outcome *expected, int which) {
    size_t length = 0;
    char *text = (char *)malloc(token->raw.len + 1);
    HOLDS(text != NULL);
    HOLDS(chatproto_json_str_unescape(token, text, token->raw.len, &length) == CHATPROTO_OK);
    if (expected->what == 'l') {
        HOLDS(length == expected->lengths[which]);
    } else {
        HOLDS(length == expected->strings[which].length);
        HOLDS(memcmp(text, expected->strings[which].bytes, length) == 0);
    }
    free(text);
}

static void check(chatproto_result result, const chatproto_message_ref *message,
                  const outcome *expected) {
    if (expected->what != 'e') {
        HOLDS(result == CHATPROTO_OK);
        check_token(&message->name, expected, 0);
        check_token(&message->ip, expected, 1);
        check_token(&message->to, expected, 2);
        check_token(&message->msg, expected, 3);
        return;
    }
    chatproto_error_detail detail;
    detail.size = sizeof detail;
    WORKS(chatproto_last_error_detail(&detail));
    HOLDS(strcmp(kind_of(result), expected->kind) == 0);
    HOLDS(detail.result == result && detail.offset == expected->offset);
    HOLDS(is(detail.field, strcmp(expected->field, "-") == 0 ? "" : expected->field));
}

/* Decodes the input in pieces of so many bytes. */
static void decode(blob input, size_t piece, size_t max_frame, bool strict, const char *end,
                   const outcome *expected, int count) {
    chatproto_decoder *decoder = NULL;
    chatproto_message_ref message;
    WORKS(chatproto_decoder_new(max_frame, strict, &decoder));
    int found = 0;
    bool failed = false;
    for (size_t at = 0; at < input.length && !failed; at += piece) {
        size_t length = input.length - at < piece ? input.length - at : piece;
        WORKS(chatproto_decoder_feed(decoder, input.bytes + at, length));
        chatproto_result result;
        while ((result = chatproto_decoder_next(decoder, &message)) != CHATPROTO_NEED_MORE) {
            HOLDS(found < count);
            check(result, &message, &expected[found++]);
            if (result >= 20 && result < 40) {
                HOLDS(chatproto_decoder_next(decoder, &message) == result);
                failed = true;
                break;
            }
        }
    }
    HOLDS(found == count);
    chatproto_result finished = chatproto_decoder_finish(decoder);
    if (failed) {
        HOLDS(strcmp(end, "failed") == 0 && finished != CHATPROTO_OK);
    } else {
        HOLDS((finished == CHATPROTO_OK) == (strcmp(end, "complete") == 0));
    }
    chatproto_decoder_free(decoder);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    FILE *file = fopen(argv[1], "r");
    CHECK(file != NULL);
    char *line = (char *)malloc(LINE);
    outcome *expected = (outcome *)calloc(MOST, sizeof *expected);
    CHECK(line != NULL && expected != NULL);
    int decoded = 0, encoded = 0, count = 0;
    size_t max_frame = 0;
    bool strict = false;
    char end[16] = "";
    blob input = {NULL, 0};
    while (fgets(line, LINE, file) != NULL) {
        const char *what = strtok(line, " \n");
        CHECK(what != NULL);
        if (strcmp(what, "decode") == 0) {
            snprintf(id, sizeof id, "%s", word());
            max_frame = (size_t)strtoull(word(), NULL, 10);
            strict = strcmp(word(), "true") == 0;
            snprintf(end, sizeof end, "%s", word());
            input = unhex(word());
            count = 0;
        } else if (strcmp(what, "message") == 0) {
            CHECK(count < MOST);
            expected[count].what = 'm';
            for (int at = 0; at < 4; at++) expected[count].strings[at] = unhex(word());
            count++;
        } else if (strcmp(what, "lengths") == 0) {
            CHECK(count < MOST);
            expected[count].what = 'l';
            for (int at = 0; at < 4; at++) {
                expected[count].lengths[at] = (size_t)strtoull(word(), NULL, 10);
            }
            count++;
        } else if (strcmp(what, "error") == 0) {
            CHECK(count < MOST);
            expected[count].what = 'e';
            snprintf(expected[count].kind, sizeof expected->kind, "%s", word());
            expected[count].offset = strtoull(word(), NULL, 10);
            snprintf(expected[count].field, sizeof expected->field, "%s", word());
            count++;
        } else if (strcmp(what, "done") == 0) {
            decode(input, input.length + 1, max_frame, strict, end, expected, count);
            decode(input, input.length / 2 + 1, max_frame, strict, end, expected, count);
            if (input.length < 4000) {
                decode(input, 1, max_frame, strict, end, expected, count);
                decode(input, 7, max_frame, strict, end, expected, count);
            }
            if (count == 1 && max_frame == 65536 && !strict && strcmp(end, "complete") == 0) {
                chatproto_message_ref message;
                check(chatproto_decode(input.bytes, input.length, &message), &message, expected);
            }
            for (int at = 0; at < count; at++) {
                for (int which = 0; expected[at].what == 'm' && which < 4; which++) {
                    free(expected[at].strings[which].bytes);
                }
            }
            free(input.bytes);
            decoded++;
        } else {
            CHECK(strcmp(what, "encode") == 0);
            snprintf(id, sizeof id, "%s", word());
            blob strings[6];
            for (int at = 0; at < 6; at++) strings[at] = unhex(word());
            chatproto_str texts[4];
            for (int at = 0; at < 4; at++) {
                texts[at].ptr = (const char *)strings[at].bytes;
                texts[at].len = strings[at].length;
            }
            chatproto_fields fields = {texts[0], texts[1], texts[2], texts[3]};
            size_t length = 0;
            GIVES(CHATPROTO_BUFFER_TOO_SMALL, chatproto_encode(&fields, NULL, 0, &length));
            HOLDS(length == strings[4].length + 1);
            WORKS(chatproto_encode(&fields, line, LINE, &length));
            HOLDS(memcmp(line, strings[4].bytes, length - 1) == 0 && line[length - 1] == '\n');
            WORKS(chatproto_encode_python(&fields, line, LINE, &length));
            HOLDS(length == strings[5].length && memcmp(line, strings[5].bytes, length) == 0);
            for (int at = 0; at < 6; at++) free(strings[at].bytes);
            encoded++;
        }
    }
    fclose(file);
    free(line);
    free(expected);
    printf("%d decoded, %d encoded\n", decoded, encoded);
    CHECK(decoded > 400 && encoded > 20);
    return 0;
}
