/* Everything that needs no socket: results, messages, one frame, a stream, encoding, and what
 * becomes of NULL, of wrong sizes and of a defect. */
#include "check.h"

#define FRAME "{\"from\":{\"name\":\"al\\u0069ce\",\"ip\":\"::1\"},\"to\":\"bob\",\"msg\":\"hi\\n\"}"

/* Exists in the library that the tests link, and only there. */
#ifdef CHATPROTO_TEST_PANIC
#ifdef __cplusplus
extern "C"
#endif
    chatproto_result
    chatproto_test_panic(chatproto_decoder *decoder);
#endif

static void versions_and_results(void) {
    CHECK(strcmp(chatproto_version(), CHATPROTO_VERSION) == 0);
    char version[32];
    snprintf(version, sizeof version, "%d.%d.%d", CHATPROTO_VERSION_MAJOR, CHATPROTO_VERSION_MINOR,
             CHATPROTO_VERSION_PATCH);
    CHECK(strcmp(version, CHATPROTO_VERSION) == 0);
    CHECK(strcmp(chatproto_result_str(CHATPROTO_OK), "done") == 0);
    CHECK(strcmp(chatproto_result_str(12345), "unknown result") == 0);
    /* the numbers are for ever */
    CHECK(CHATPROTO_OK == 0 && CHATPROTO_NULL_POINTER == 1 && CHATPROTO_INVALID_ARGUMENT == 2);
    CHECK(CHATPROTO_NOT_UTF8 == 3 && CHATPROTO_BUFFER_TOO_SMALL == 4 && CHATPROTO_PANICKED == 5);
    CHECK(CHATPROTO_POISONED == 6 && CHATPROTO_NEED_MORE == 7 && CHATPROTO_WRONG_STATE == 8);
    CHECK(CHATPROTO_UNEXPECTED_BYTE == 20 && CHATPROTO_CONTROL_CHARACTER == 21);
    CHECK(CHATPROTO_INVALID_UTF8 == 22 && CHATPROTO_TOO_DEEP == 23 && CHATPROTO_TOO_LONG == 24);
    CHECK(CHATPROTO_UNEXPECTED_END == 25 && CHATPROTO_MISSING_KEY == 40);
    CHECK(CHATPROTO_DUPLICATE_KEY == 41 && CHATPROTO_WRONG_TYPE == 42);
    CHECK(CHATPROTO_LONE_SURROGATE == 43 && CHATPROTO_UNKNOWN_KEY == 44);
    CHECK(CHATPROTO_NUL_IN_NAME == 45 && CHATPROTO_INVALID_NAME == 60 && CHATPROTO_REFUSED == 61);
    CHECK(CHATPROTO_TIMEOUT == 62 && CHATPROTO_CLOSED == 63 && CHATPROTO_FRAME_TOO_LONG == 64);
    CHECK(CHATPROTO_IO == 65 && CHATPROTO_QUEUE_FULL == 66 && CHATPROTO_LISTEN == 80);
    CHECK(CHATPROTO_LIMITS == 81 && CHATPROTO_ENDPOINT == 82 && CHATPROTO_SERVER_FAILED == 83);
}

static void the_last_error_is_a_sentence(void) {
    CHECK(chatproto_last_error().len == 0 && chatproto_last_error().ptr != NULL);
    chatproto_error_detail detail;
    detail.size = sizeof detail;
    WORKS(chatproto_last_error_detail(&detail));
    CHECK(detail.result == CHATPROTO_OK && detail.sentence.len == 0);

    chatproto_message_ref message;
    const char *bad = "{\"from\":{\"name\":\"a\",\"ip\":5},\"to\":\"c\",\"msg\":\"d\"}";
    GIVES(CHATPROTO_WRONG_TYPE, chatproto_decode(bad, strlen(bad), &message));
    CHECK(message.to.raw.ptr != NULL && message.to.raw.len == 0 && !message.to.escaped);
    CHECK(is(chatproto_last_error(), "`from.ip` must be a string (byte 25 of the object)"));
    CHECK(chatproto_last_error().ptr[chatproto_last_error().len] == '\0');
    WORKS(chatproto_last_error_detail(&detail));
    CHECK(detail.result == CHATPROTO_WRONG_TYPE && detail.offset == 25);
    CHECK(detail.offset_in_frame == 25 && is(detail.field, "from.ip"));
    CHECK(detail.sentence.ptr == chatproto_last_error().ptr);

    GIVES(CHATPROTO_NULL_POINTER, chatproto_last_error_detail(NULL));
    CHECK(is(chatproto_last_error(), "`detail` is NULL"));
    WORKS(chatproto_decode(FRAME, strlen(FRAME), &message));
    CHECK(is(chatproto_last_error(), "`detail` is NULL"));
}

/* A program that was compiled with the header of a later version has a larger struct. */
static void the_details_of_an_error_can_grow(void) {
    struct {
        chatproto_error_detail detail;
        uint64_t later;
        uint64_t behind;
    } newer;
    chatproto_message_ref message;
    GIVES(CHATPROTO_MISSING_KEY, chatproto_decode("{}", 2, &message));
    memset(&newer, 0x55, sizeof newer);
    newer.detail.size = sizeof newer.detail + sizeof newer.later;
    WORKS(chatproto_last_error_detail(&newer.detail));
    CHECK(newer.detail.result == CHATPROTO_MISSING_KEY && newer.later == 0);
    CHECK(newer.detail.size == sizeof newer.detail + sizeof newer.later);
    CHECK(newer.behind == UINT64_C(0x5555555555555555));
    newer.detail.size = 0;
    GIVES(CHATPROTO_INVALID_ARGUMENT, chatproto_last_error_detail(&newer.detail));
    CHECK(is(chatproto_last_error(),
             "`detail` has the size 0: set it to `sizeof`, or take the default options"));
    CHECK(newer.detail.result == CHATPROTO_MISSING_KEY);
}

static void two_objects_are_not_one(void) {
    chatproto_message_ref ref;
    chatproto_message *message;
    GIVES(CHATPROTO_UNEXPECTED_BYTE, chatproto_decode(FRAME FRAME, 2 * strlen(FRAME), &ref));
    CHECK(contains(chatproto_last_error(), "a second object begins at byte 65, but exactly one"));
    GIVES(CHATPROTO_UNEXPECTED_BYTE,
          chatproto_message_decode(FRAME "\n" FRAME, 2 * strlen(FRAME) + 1, &message));
    CHECK(contains(chatproto_last_error(), "a second object begins at byte 66, but exactly one"));
}

static void a_frame_is_decoded_in_place(void) {
    const char frame[] = " " FRAME "\n";
    chatproto_message_ref message;
    WORKS(chatproto_decode(frame, strlen(frame), &message));
    CHECK(is(message.name.raw, "al\\u0069ce") && message.name.escaped);
    CHECK(is(message.ip.raw, "::1") && is(message.to.raw, "bob") && !message.to.escaped);
    CHECK(message.to.raw.ptr > frame && message.to.raw.ptr < frame + sizeof frame);

    char buffer[16];
    size_t length = 99;
    GIVES(CHATPROTO_BUFFER_TOO_SMALL, chatproto_json_str_unescape(&message.name, NULL, 0, &length));
    CHECK(length == 5);
    GIVES(CHATPROTO_BUFFER_TOO_SMALL,
          chatproto_json_str_unescape(&message.name, buffer, 4, &length));
    CHECK(length == 5);
    WORKS(chatproto_json_str_unescape(&message.name, buffer, 5, &length));
    CHECK(length == 5 && memcmp(buffer, "alice", 5) == 0);
    WORKS(chatproto_json_str_unescape(&message.msg, buffer, sizeof buffer, &length));
    CHECK(length == 3 && memcmp(buffer, "hi\n", 3) == 0);
    WORKS(chatproto_json_str_unescape(&message.to, buffer, sizeof buffer, &length));
    CHECK(length == 3 && memcmp(buffer, "bob", 3) == 0);
    GIVES(CHATPROTO_BUFFER_TOO_SMALL, chatproto_json_str_unescape(&message.to, buffer, 2, &length));
    CHECK(length == 3);

    chatproto_json_str forged = {str("\\ud800"), true};
    GIVES(CHATPROTO_INVALID_ARGUMENT,
          chatproto_json_str_unescape(&forged, buffer, sizeof buffer, &length));
    CHECK(length == 0);
    forged.raw = str("\\n");
    GIVES(CHATPROTO_NULL_POINTER, chatproto_json_str_unescape(&forged, NULL, 5, &length));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_json_str_unescape(NULL, buffer, 5, &length));
    CHECK(length == 0);
    GIVES(CHATPROTO_NULL_POINTER, chatproto_json_str_unescape(&message.to, buffer, 5, NULL));

    GIVES(CHATPROTO_NULL_POINTER, chatproto_decode(NULL, 5, &message));
    CHECK(message.to.raw.len == 0);
    GIVES(CHATPROTO_NULL_POINTER, chatproto_decode(frame, strlen(frame), NULL));
    GIVES(CHATPROTO_UNEXPECTED_END, chatproto_decode(NULL, 0, &message));
    GIVES(CHATPROTO_INVALID_ARGUMENT, chatproto_decode(frame, SIZE_MAX, &message));
    GIVES(CHATPROTO_UNEXPECTED_END, chatproto_decode(frame, 20, &message));
    GIVES(CHATPROTO_UNEXPECTED_BYTE, chatproto_decode(FRAME "x", strlen(FRAME) + 1, &message));
}

static void a_message_is_made_read_and_freed(void) {
    chatproto_message *message = NULL;
    chatproto_fields fields = fields_of("alice", "::1", "bob", ""), read;
    WORKS(chatproto_message_new(&fields, &message));
    WORKS(chatproto_message_read(message, &read));
    CHECK(is(read.name, "alice") && is(read.ip, "::1") && is(read.to, "bob"));
    CHECK(read.msg.len == 0 && read.msg.ptr != NULL && read.name.ptr != fields.name.ptr);
    GIVES(CHATPROTO_NULL_POINTER, chatproto_message_read(NULL, &read));
    CHECK(read.name.len == 0 && read.name.ptr != NULL);
    GIVES(CHATPROTO_NULL_POINTER, chatproto_message_read(message, NULL));
    chatproto_message_free(message);

    fields.msg.ptr = NULL; /* an empty one may be NULL */
    WORKS(chatproto_message_new(&fields, &message));
    chatproto_message_free(message);
    fields.msg.len = 3;
    GIVES(CHATPROTO_NULL_POINTER, chatproto_message_new(&fields, &message));
    CHECK(message == NULL && is(chatproto_last_error(), "`msg` is NULL"));
    fields.msg = str("ab\xff");
    GIVES(CHATPROTO_NOT_UTF8, chatproto_message_new(&fields, &message));
    CHECK(message == NULL && is(chatproto_last_error(), "`msg` is not UTF-8 at byte 2"));
    fields.msg.len = SIZE_MAX;
    GIVES(CHATPROTO_INVALID_ARGUMENT, chatproto_message_new(&fields, &message));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_message_new(NULL, &message));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_message_new(&fields, NULL));

    WORKS(chatproto_message_decode(FRAME, strlen(FRAME), &message));
    WORKS(chatproto_message_read(message, &read));
    CHECK(is(read.name, "alice") && is(read.msg, "hi\n"));
    chatproto_message_free(message);
    GIVES(CHATPROTO_MISSING_KEY, chatproto_message_decode("{}", 2, &message));
    CHECK(message == NULL);
    GIVES(CHATPROTO_NULL_POINTER, chatproto_message_decode(NULL, 2, &message));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_message_decode("{}", 2, NULL));
    chatproto_message_free(NULL);
}

static void encoding_takes_two_calls(void) {
    chatproto_fields fields = fields_of("alice", "::1", "bob", "\xc3\xa9\"");
    const char *wire = "{\"from\":{\"name\":\"alice\",\"ip\":\"::1\"},\"to\":\"bob\",\"msg\":"
                       "\"\xc3\xa9\\\"\"}\n";
    const char *python = "{\"from\": {\"name\": \"alice\", \"ip\": \"::1\"}, \"to\": \"bob\", "
                         "\"msg\": \"\\u00e9\\\"\"}";
    size_t length = 99;
    GIVES(CHATPROTO_BUFFER_TOO_SMALL, chatproto_encode(&fields, NULL, 0, &length));
    CHECK(length == strlen(wire));
    char *buffer = (char *)malloc(length); /* not a byte more */
    CHECK(buffer != NULL);
    buffer[0] = 'x';
    GIVES(CHATPROTO_BUFFER_TOO_SMALL, chatproto_encode(&fields, buffer, length - 1, &length));
    CHECK(length == strlen(wire) && buffer[0] == 'x');
    WORKS(chatproto_encode(&fields, buffer, length, &length));
    CHECK(length == strlen(wire) && memcmp(buffer, wire, length) == 0);
    free(buffer);

    char large[256];
    WORKS(chatproto_encode_python(&fields, large, sizeof large, &length));
    CHECK(length == strlen(python) && memcmp(large, python, length) == 0);

    GIVES(CHATPROTO_NULL_POINTER, chatproto_encode(NULL, large, sizeof large, &length));
    CHECK(length == 0);
    GIVES(CHATPROTO_NULL_POINTER, chatproto_encode(&fields, NULL, sizeof large, &length));
    CHECK(length == 0);
    GIVES(CHATPROTO_NULL_POINTER, chatproto_encode(&fields, large, sizeof large, NULL));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_encode_python(NULL, large, sizeof large, &length));
    fields.to = str("\xff");
    GIVES(CHATPROTO_NOT_UTF8, chatproto_encode(&fields, large, sizeof large, &length));
    CHECK(length == 0);
}

static void a_decoder_is_fed_and_drained(void) {
    chatproto_decoder *decoder = NULL;
    chatproto_message_ref message;
    WORKS(chatproto_decoder_new(0, false, &decoder));
    GIVES(CHATPROTO_NEED_MORE, chatproto_decoder_next(decoder, &message));
    const char *stream = FRAME "\n" FRAME "{}" FRAME;
    WORKS(chatproto_decoder_feed(decoder, stream, 10));
    GIVES(CHATPROTO_NEED_MORE, chatproto_decoder_next(decoder, &message));
    CHECK(message.to.raw.len == 0);
    WORKS(chatproto_decoder_feed(decoder, stream + 10, strlen(stream) - 10));
    GIVES(CHATPROTO_WRONG_STATE, chatproto_decoder_finish(decoder));
    for (int turn = 0; turn < 4; turn++) {
        if (turn == 2) {
            GIVES(CHATPROTO_MISSING_KEY, chatproto_decoder_next(decoder, &message));
            continue;
        }
        WORKS(chatproto_decoder_next(decoder, &message));
        CHECK(is(message.to.raw, "bob") && is(message.msg.raw, "hi\\n") && message.msg.escaped);
    }
    GIVES(CHATPROTO_NEED_MORE, chatproto_decoder_next(decoder, &message));
    WORKS(chatproto_decoder_finish(decoder));
    WORKS(chatproto_decoder_feed(decoder, NULL, 0));
    WORKS(chatproto_decoder_feed(decoder, "{]", 2));
    GIVES(CHATPROTO_UNEXPECTED_BYTE, chatproto_decoder_next(decoder, &message));
    WORKS(chatproto_decoder_feed(decoder, FRAME, strlen(FRAME)));
    GIVES(CHATPROTO_UNEXPECTED_BYTE, chatproto_decoder_next(decoder, &message));
    GIVES(CHATPROTO_UNEXPECTED_BYTE, chatproto_decoder_finish(decoder));
    chatproto_decoder_free(decoder);

    WORKS(chatproto_decoder_new(32, true, &decoder));
    WORKS(chatproto_decoder_feed(decoder, FRAME, strlen(FRAME)));
    GIVES(CHATPROTO_TOO_LONG, chatproto_decoder_next(decoder, &message));
    chatproto_decoder_free(decoder);
    WORKS(chatproto_decoder_new(0, false, &decoder));
    WORKS(chatproto_decoder_feed(decoder, FRAME, 7));
    GIVES(CHATPROTO_NEED_MORE, chatproto_decoder_next(decoder, &message));
    GIVES(CHATPROTO_UNEXPECTED_END, chatproto_decoder_finish(decoder));

    GIVES(CHATPROTO_NULL_POINTER, chatproto_decoder_feed(decoder, NULL, 1));
    GIVES(CHATPROTO_INVALID_ARGUMENT, chatproto_decoder_feed(decoder, FRAME, SIZE_MAX));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_decoder_next(decoder, NULL));
    chatproto_decoder_free(decoder);
    GIVES(CHATPROTO_NULL_POINTER, chatproto_decoder_feed(NULL, FRAME, 1));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_decoder_next(NULL, &message));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_decoder_finish(NULL));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_decoder_new(0, false, NULL));
    GIVES(CHATPROTO_INVALID_ARGUMENT, chatproto_decoder_new(SIZE_MAX, false, &decoder));
    CHECK(decoder == NULL);
    chatproto_decoder_free(NULL);
}

static void a_defect_stays_inside(void) {
#ifdef CHATPROTO_TEST_PANIC
    chatproto_decoder *decoder = NULL;
    chatproto_message_ref message;
    WORKS(chatproto_decoder_new(0, false, &decoder));
    GIVES(CHATPROTO_PANICKED, chatproto_test_panic(decoder));
    CHECK(contains(chatproto_last_error(), "on purpose"));
    GIVES(CHATPROTO_POISONED, chatproto_decoder_next(decoder, &message));
    CHECK(message.to.raw.len == 0 && message.to.raw.ptr != NULL);
    GIVES(CHATPROTO_POISONED, chatproto_decoder_feed(decoder, FRAME, 1));
    GIVES(CHATPROTO_POISONED, chatproto_decoder_finish(decoder));
    GIVES(CHATPROTO_POISONED, chatproto_test_panic(decoder));
    chatproto_decoder_free(decoder);
    GIVES(CHATPROTO_NULL_POINTER, chatproto_test_panic(NULL));
#endif
}

int main(void) {
    versions_and_results();
    the_last_error_is_a_sentence();
    the_details_of_an_error_can_grow();
    two_objects_are_not_one();
    a_frame_is_decoded_in_place();
    a_message_is_made_read_and_freed();
    encoding_takes_two_calls();
    a_decoder_is_fed_and_drained();
    a_defect_stays_inside();
    return 0;
}
