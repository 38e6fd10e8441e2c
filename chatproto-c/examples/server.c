/* A server with an endpoint of its own: `/count` says how often it was asked. It runs until its
 * standard input ends.
 *
 *     ./server [ADDRESS:PORT] */
#include <chatproto.h>
#include <pthread.h>
#include <stdio.h>

typedef struct {
    pthread_mutex_t lock;
    unsigned asked;
} counter;

/* Called on threads of the server's, several at once. */
static void count(void *user_data, const chatproto_request *request, chatproto_answer *answer) {
    counter *counted = (counter *)user_data;
    pthread_mutex_lock(&counted->lock);
    unsigned asked = ++counted->asked;
    pthread_mutex_unlock(&counted->lock);
    char text[128];
    int length = snprintf(text, sizeof text, "%.*s, this was question %u.", (int)request->user.len,
                          request->user.ptr, asked);
    chatproto_str reply = {text, (size_t)length};
    chatproto_answer_text(answer, reply);
}

int main(int argc, char **argv) {
    counter counted = {PTHREAD_MUTEX_INITIALIZER, 0};
    chatproto_endpoint endpoint = {chatproto_str_of("/count"),
                                   chatproto_str_of("Says how often it was asked."), count, &counted};
    chatproto_server_options options = chatproto_server_options_default();
    options.address = chatproto_str_of(argc > 1 ? argv[1] : "127.0.0.1:65432");
    options.endpoints = &endpoint;
    options.endpoint_count = 1;
    chatproto_server *server;
    chatproto_str address;
    if (chatproto_server_start(&options, &server) != CHATPROTO_OK) {
        fprintf(stderr, "server: %s\n", chatproto_last_error().ptr);
        return 1;
    }
    chatproto_server_address(server, &address);
    printf("listening on %.*s\n", (int)address.len, address.ptr);
    fflush(stdout);
    while (getchar() != EOF) {
    }
    chatproto_server_free(server); /* from here on nobody calls `count` */
    return 0;
}
