/* One of a ring: takes a message and hands it on.
 *
 *     talk ADDRESS NAME NEXT */
#include "check.h"

int main(int argc, char **argv) {
    CHECK(argc == 4);
    chatproto_client *client = NULL;
    chatproto_message *message = NULL;
    chatproto_fields fields;
    WORKS(chatproto_client_connect(str(argv[1]), str(argv[2]), 10000, &client));
    WORKS(chatproto_client_recv(client, 30000, &message));
    WORKS(chatproto_message_read(message, &fields));
    char text[256];
    int length = snprintf(text, sizeof text, "%.*s, C", (int)fields.msg.len, fields.msg.ptr);
    chatproto_str msg = {text, (size_t)length};
    WORKS(chatproto_client_send(client, str(argv[3]), msg));
    chatproto_message_free(message);
    WORKS(chatproto_client_close(client));
    return 0;
}
