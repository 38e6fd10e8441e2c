/* The six names of the contract module. */
#include "check.h"

static void messages_have_pythons_form(void) {
    const char *expected = "{\"from\": {\"name\": \"al\\\"ice\", \"ip\": \"::1\"}, \"to\": \"bob\", "
                           "\"msg\": \"\\u00e9\"}";
    char buffer[128];
    size_t length = 99;
    GIVES(CHATPROTO_BUFFER_TOO_SMALL,
          chatproto_create_json_msg(str("al\"ice"), str("::1"), str("bob"), str("\xc3\xa9"), NULL, 0,
                                    &length));
    CHECK(length == strlen(expected));
    WORKS(chatproto_create_json_msg(str("al\"ice"), str("::1"), str("bob"), str("\xc3\xa9"), buffer,
                                    sizeof buffer, &length));
    CHECK(length == strlen(expected) && memcmp(buffer, expected, length) == 0);
    GIVES(CHATPROTO_NOT_UTF8, chatproto_create_json_msg(str("\xff"), str(""), str(""), str(""), buffer,
                                                        sizeof buffer, &length));
    CHECK(length == 0);
    GIVES(CHATPROTO_NULL_POINTER,
          chatproto_create_json_msg(str(""), str(""), str(""), str(""), buffer, 9, NULL));

    chatproto_str value;
    WORKS(chatproto_decode_json_msg(expected, strlen(expected), &value));
    CHECK(is(value, expected));
}

static void any_json_is_a_value(void) {
    static const char *const values[] = {
        "5",    "-2.5e1", "\"x\\n\"", "null", "true", "[]", "{}", "[1, {\"a\": [null]}]",
        "{\"a\":1,\"a\":2}", "\"\\ud800\"", "1e999", "\"\xc3\xa9\"", "123456789012345678901234567890"};
    char data[64];
    chatproto_str value;
    for (size_t at = 0; at < sizeof values / sizeof values[0]; at++) {
        int length = snprintf(data, sizeof data, " \t\r\n%s\n", values[at]);
        WORKS(chatproto_decode_json_msg(data, (size_t)length, &value));
        CHECK(is(value, values[at]));
        CHECK(value.ptr == data + 4); /* nothing is copied */
    }
    static char deep[200000];
    memset(deep, '[', sizeof deep / 2);
    memset(deep + sizeof deep / 2, ']', sizeof deep / 2);
    WORKS(chatproto_decode_json_msg(deep, sizeof deep, &value));
    CHECK(value.len == sizeof deep);
}

static void what_is_not_json_is_none(void) {
    static const char *const data[] = {"",    "hello", "{}{}", "[1,]", "{\"a\":1", "NaN", "-Infinity",
                                       "01",  "1.",    "+1",   "'a'",  "\"\t\"",  "{1:2}",
                                       "\xef\xbb\xbf{}", "\"\\x41\"", "\xc2\xa0""1", " "};
    chatproto_str value;
    for (size_t at = 0; at < sizeof data / sizeof data[0]; at++) {
        WORKS(chatproto_decode_json_msg(data[at], strlen(data[at]), &value));
        CHECK(value.len == 0 && value.ptr != NULL);
    }
    WORKS(chatproto_decode_json_msg(NULL, 0, &value));
    GIVES(CHATPROTO_NOT_UTF8, chatproto_decode_json_msg("\"caf\xc3\"", 6, &value));
    CHECK(value.len == 0 && is(chatproto_last_error(), "`data` is not UTF-8 at byte 4"));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_decode_json_msg(NULL, 1, &value));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_decode_json_msg("1", 1, NULL));
}

static void the_other_names(void) {
    char address[16];
    size_t length = 0;
    CHECK(CHATPROTO_PORT == 65432 && strcmp(CHATPROTO_ENCODING, "utf-8") == 0);
    CHECK(strcmp(chatproto_get_standard_json(), "{\"from\": {\"name\": \"string\", \"ip\": \"string\"}, "
                                                "\"to\": \"string\", \"msg\": \"string\"}") == 0);
    WORKS(chatproto_get_local_ip(address, sizeof address, &length));
    CHECK(length >= strlen("1.1.1.1") && length < sizeof address);
    int dots = 0;
    for (size_t at = 0; at < length; at++) dots += address[at] == '.';
    CHECK(dots == 3);
    GIVES(CHATPROTO_BUFFER_TOO_SMALL, chatproto_get_local_ip(NULL, 0, &length));
    CHECK(length >= strlen("1.1.1.1"));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_get_local_ip(address, sizeof address, NULL));
}

int main(void) {
    messages_have_pythons_form();
    any_json_is_a_value();
    what_is_not_json_is_none();
    the_other_names();
    return 0;
}
