/* Clients over WebSocket. argv is the URL of a chat server, and that of a server which behaves as
 * the path says (see c.rs). */
#include "check.h"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

static chatproto_client *join(const char *url, const char *name) {
    chatproto_client *client = NULL;
    WORKS(chatproto_client_connect(str(url), str(name), 10000, &client));
    return client;
}

/* Receives one message, which must be this. */
static void expect(const chatproto_client *client, const char *name, const char *part,
                   size_t length) {
    chatproto_message *message = NULL;
    chatproto_fields fields;
    WORKS(chatproto_client_recv(client, 10000, &message));
    WORKS(chatproto_message_read(message, &fields));
    CHECK(is(fields.name, name) && contains(fields.msg, part) && fields.msg.len >= length);
    chatproto_message_free(message);
}

/* Waits for the next result of an event loop other than CHATPROTO_NEED_MORE. */
static chatproto_result next_in_loop(const chatproto_client *client, chatproto_message **message) {
    chatproto_result result;
    while ((result = chatproto_client_next(client, message)) == CHATPROTO_NEED_MORE) {
        unsigned events = 0;
        int timeout_ms = 0;
        struct pollfd wanted = {-1, 0, 0};
        WORKS(chatproto_client_fd(client, &wanted.fd));
        WORKS(chatproto_client_events(client, &events));
        WORKS(chatproto_client_timeout_ms(client, &timeout_ms));
        if (events & CHATPROTO_READABLE) wanted.events |= POLLIN;
        if (events & CHATPROTO_WRITABLE) wanted.events |= POLLOUT;
        CHECK(poll(&wanted, 1, timeout_ms < 0 ? 10000 : timeout_ms) > 0 || timeout_ms >= 0);
        result = chatproto_client_process(client);
        if (result != CHATPROTO_OK) return result;
    }
    return result;
}

static void a_conversation(const char *url) {
    static char text[60001];
    chatproto_client *alice = join(url, "alice"), *bob = join(url, "bob"), *other = NULL;
    /* of each length of a frame's header */
    for (size_t length = 60000; length > 0; length /= 40) {
        memset(text, 'x', length);
        text[length] = '\0';
        WORKS(chatproto_client_send(alice, str("bob"), str(text)));
        expect(bob, "alice", "x", length);
        WORKS(chatproto_client_queue(bob, str("alice"), str(text)));
        chatproto_message *message = NULL;
        WORKS(next_in_loop(alice, &message));
        chatproto_message_free(message);
    }
    GIVES(CHATPROTO_REFUSED, chatproto_client_connect(str(url), str("bob"), 10000, &other));
    CHECK(other == NULL && contains(chatproto_last_error(), "bob"));
    GIVES(CHATPROTO_INVALID_NAME, chatproto_client_connect(str(url), str("/bob"), 10000, &other));
    WORKS(chatproto_client_send(alice, str("/nick"), str("alice smith")));
    expect(alice, "SERVER", "alice smith", 0);

    /* all that was sent arrives before the connection is closed, and the name is free then */
    for (int turn = 0; turn < 100; turn++) {
        WORKS(chatproto_client_send(alice, str("bob"), str("bye")));
    }
    WORKS(chatproto_client_close(alice));
    for (int turn = 0; turn < 100; turn++) expect(bob, "alice smith", "bye", 0);
    alice = join(url, "alice smith");
    chatproto_client_free(alice);
    WORKS(chatproto_client_close(bob));
}

static void *send_many(void *argument) {
    for (int turn = 0; turn < 200; turn++) {
        WORKS(chatproto_client_send((chatproto_client *)argument, str("carol"), str("echo")));
    }
    return NULL;
}

static void threads_share_a_client(const char *url) {
    chatproto_client *client = join(url, "carol");
    pthread_t senders[2];
    for (int at = 0; at < 2; at++) {
        CHECK(pthread_create(&senders[at], NULL, send_many, client) == 0);
    }
    for (int turn = 0; turn < 400; turn++) expect(client, "carol", "echo", 0);
    for (int at = 0; at < 2; at++) CHECK(pthread_join(senders[at], NULL) == 0);
    WORKS(chatproto_client_shutdown(client));
    GIVES(CHATPROTO_CLOSED, chatproto_client_send(client, str("carol"), str("late")));
    chatproto_client_free(client);
}

typedef struct {
    const char *path;
    chatproto_result result;
    const char *sentence;
} case_of;

/* The server does not open the WebSocket. */
static void who_does_not_open_it_is_explained(const char *strange) {
    static const case_of cases[] = {
        {"/200", CHATPROTO_WEBSOCKET, "with 200 OK: <html> (check the path of the URL)"},
        {"/403", CHATPROTO_WEBSOCKET, "with 403 Forbidden (ask the server's operator who may"},
        {"/421", CHATPROTO_WEBSOCKET, "with 421 Odd (check the host name of the URL)"},
        {"/503", CHATPROTO_WEBSOCKET, "with 503 Busy (try again later)"},
        {"/mail", CHATPROTO_WEBSOCKET, "this port does not speak WebSocket (it answered: 220 mail"},
        {"/half", CHATPROTO_WEBSOCKET, "closed the connection during the WebSocket handshake: "},
        {"/nothing", CHATPROTO_WEBSOCKET, "closed the connection during the WebSocket handshake"},
        {"/other-key", CHATPROTO_WEBSOCKET, "Sec-WebSocket-Accept does not answer this handshake"},
        {"/endless", CHATPROTO_WEBSOCKET, "has more than 8192 bytes"},
        {"/unwelcome", CHATPROTO_CLOSED, "is closed (close code 1013, try again later)"},
        {"/masked-first", CHATPROTO_WEBSOCKET, "a server must not mask its WebSocket frames"},
        {"/text", CHATPROTO_UNEXPECTED_BYTE, "an object must begin with"},
        {"/silent", CHATPROTO_TIMEOUT, "took longer than 200 ms"},
    };
    for (size_t at = 0; at < sizeof cases / sizeof cases[0]; at++) {
        chatproto_client *client = NULL;
        char url[64];
        snprintf(url, sizeof url, "%s%s", strange, cases[at].path);
        int timeout_ms = cases[at].result == CHATPROTO_TIMEOUT ? 200 : 10000;
        GIVES(cases[at].result,
              chatproto_client_connect(str(url), str("alice"), timeout_ms, &client));
        CHECK(client == NULL && contains(chatproto_last_error(), cases[at].sentence));
    }
}

/* The server welcomes alice, says "hi", and then violates a rule or closes. */
static void an_end_is_told_after_the_messages(const char *strange) {
    static const case_of cases[] = {
        {"/hi/masked", CHATPROTO_WEBSOCKET, "the rules of WebSocket: a server must not mask"},
        {"/hi/binary", CHATPROTO_WEBSOCKET, "a message must be a text frame"},
        {"/hi/long-ping", CHATPROTO_WEBSOCKET, "must have at most 125 bytes"},
        {"/hi/too-large", CHATPROTO_WEBSOCKET, "must be less than 2^63"},
        {"/hi/unfinished", CHATPROTO_WEBSOCKET, "the message ended inside an object"},
        {"/hi/spam", CHATPROTO_CLOSED, "the connection is closed (close code 1008: spam)"},
        {"/hi/no-code", CHATPROTO_CLOSED, "the connection is closed"},
        {"/hi/cut", CHATPROTO_UNEXPECTED_END, "ended inside an object"},
        {"/hi/end", CHATPROTO_CLOSED, "the connection is closed"},
    };
    for (size_t at = 0; at < sizeof cases / sizeof cases[0]; at++) {
        for (int in_loop = 0; in_loop < 2; in_loop++) {
            chatproto_message *message = NULL;
            char url[64];
            snprintf(url, sizeof url, "%s%s", strange, cases[at].path);
            chatproto_client *client = join(url, "alice");
            if (in_loop) {
                WORKS(next_in_loop(client, &message));
                chatproto_message_free(message);
                GIVES(cases[at].result, next_in_loop(client, &message));
            } else {
                expect(client, "SERVER", "hi", 0);
                GIVES(cases[at].result, chatproto_client_recv(client, 10000, &message));
            }
            CHECK(message == NULL && contains(chatproto_last_error(), cases[at].sentence));
            chatproto_result again = chatproto_client_recv(client, -1, &message);
            CHECK(again == CHATPROTO_CLOSED || again == cases[at].result);
            chatproto_client_free(client);
        }
    }
}

/* The server sends a message when its ping was answered. */
static void pings_are_answered(const char *strange) {
    char url[64];
    snprintf(url, sizeof url, "%s/ping", strange);
    for (int in_loop = 0; in_loop < 2; in_loop++) {
        chatproto_client *client = join(url, "alice");
        if (in_loop) {
            chatproto_message *message = NULL;
            WORKS(next_in_loop(client, &message));
            chatproto_message_free(message);
        } else {
            expect(client, "SERVER", "thanks", 0);
        }
        WORKS(chatproto_client_close(client)); /* the server waits for the close frame */
    }
}

static void what_cannot_be_used_is_refused(const char *url) {
    static const char *const wrong[][2] = {
        {"http://127.0.0.1:80", "or a URL such as \"ws://127.0.0.1:8080/ws\", not \"http://127"},
        {"ws://", "`address` \"ws://\" cannot be used: expected a host"},
        {"ws://127.0.0.1:0", "a port is a number from 1 to 65535"},
        {"ws://1.2", "expected an IPv4 address"},
        {"ws://127.0.0.1/ws?name=alice", "sends its name itself: remove the parameter name"},
    };
    chatproto_client *client = NULL;
    chatproto_client_options options = chatproto_client_options_default();
    for (size_t at = 0; at < sizeof wrong / sizeof wrong[0]; at++) {
        GIVES(CHATPROTO_INVALID_ARGUMENT,
              chatproto_client_connect(str(wrong[at][0]), str("alice"), 10000, &client));
        CHECK(client == NULL && contains(chatproto_last_error(), wrong[at][1]));
    }
    options.tls = true;
    GIVES(CHATPROTO_INVALID_ARGUMENT,
          chatproto_client_connect_with(str(url), str("alice"), &options, &client));
    CHECK(contains(chatproto_last_error(), "ws:// is without TLS: write wss://"));
}

int main(int argc, char **argv) {
    alarm(120);
    CHECK(argc == 3);
    a_conversation(argv[1]);
    threads_share_a_client(argv[1]);
    who_does_not_open_it_is_explained(argv[2]);
    an_end_is_told_after_the_messages(argv[2]);
    pings_are_answered(argv[2]);
    what_cannot_be_used_is_refused(argv[1]);
    return 0;
}
