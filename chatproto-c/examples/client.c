/* Joins, says hello to everybody, and prints what comes.
 *
 *     ./client NAME [ADDRESS:PORT] */
#include <chatproto.h>
#include <stdio.h>

/* What others write may contain anything: only printable ASCII goes to the terminal. */
static void print(chatproto_str text) {
    for (size_t at = 0; at < text.len; at++) {
        unsigned char c = (unsigned char)text.ptr[at];
        if (c >= 0x20 && c != 0x7f) putchar(c);
    }
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "alice";
    const char *address = argc > 2 ? argv[2] : "127.0.0.1:65432";
    chatproto_client *client;
    chatproto_message *message;
    chatproto_fields fields;
    chatproto_result result =
        chatproto_client_connect(chatproto_str_of(address), chatproto_str_of(name), 10000, &client);
    if (result == CHATPROTO_OK) {
        chatproto_client_welcome(client, &fields);
        print(fields.msg);
        putchar('\n');
        result = chatproto_client_send(client, chatproto_str_of("/shout"),
                                       chatproto_str_of("hello, everybody"));
    }
    while (result == CHATPROTO_OK) {
        fflush(stdout);
        result = chatproto_client_recv(client, -1, &message);
        if (result != CHATPROTO_OK) break;
        chatproto_message_read(message, &fields);
        print(fields.name);
        printf(": ");
        print(fields.msg);
        putchar('\n');
        chatproto_message_free(message);
    }
    if (result != CHATPROTO_CLOSED) fprintf(stderr, "client: %s\n", chatproto_last_error().ptr);
    chatproto_client_free(client);
    return result == CHATPROTO_CLOSED ? 0 : 1;
}
