/* Judges the objects of the standard input: prints who wrote to whom, and what is wrong with the
 * others.
 *
 *     ./decode < FILE */
#include <chatproto.h>
#include <stdio.h>
#include <stdlib.h>

/* Prints a token, as JSON spells it: escapes keep control characters off the terminal. */
static void print(chatproto_json_str token, const char *end) {
    printf("\"%.*s\"%s", (int)token.raw.len, token.raw.ptr, end);
}

int main(void) {
    char input[16384];
    size_t count;
    chatproto_decoder *decoder;
    chatproto_message_ref message;
    chatproto_result result = chatproto_decoder_new(0, false, &decoder);
    int wrong = 0;
    while ((count = fread(input, 1, sizeof input, stdin)) > 0) {
        result = chatproto_decoder_feed(decoder, input, count);
        while (result != CHATPROTO_NEED_MORE) {
            result = chatproto_decoder_next(decoder, &message);
            if (result == CHATPROTO_OK) {
                print(message.name, " to ");
                print(message.to, ": ");
                print(message.msg, "\n");
            } else if (result != CHATPROTO_NEED_MORE) {
                wrong = 1;
                fprintf(stderr, "decode: %s\n", chatproto_last_error().ptr);
                if (result < 40) goto end; /* not a stream of objects any more */
            }
        }
    }
    if (chatproto_decoder_finish(decoder) != CHATPROTO_OK) {
        wrong = 1;
        fprintf(stderr, "decode: %s\n", chatproto_last_error().ptr);
    }
end:
    chatproto_decoder_free(decoder);
    return wrong;
}
