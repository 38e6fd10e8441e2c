/* Clients of servers that are not ours: one of the old kind, one that does not read, some that send
 * what is no message. Each is a socket of this program's. */
#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* A sanitizer holds memory of its own, and so does valgrind, for which install.sh defines this. */
#if defined(IS_SANITIZED)
#elif defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED 0
#endif

#define WELCOME                                                                                   \
    "{\"from\":{\"name\":\"SERVER\",\"ip\":\"0.0.0.0\"},\"to\":\"alice\",\"msg\":\"Welcome\"}"
#define MESSAGE "{\"from\":{\"name\":\"a\",\"ip\":\"b\"},\"to\":\"alice\",\"msg\":\"hi\"}"

typedef struct {
    int listener;
    int connection;
    const char *first_words;
    const chatproto_client_options *options;
    char address[32];
    pthread_t thread;
} server;

static void *accept_one(void *argument) {
    server *at = (server *)argument;
    at->connection = accept(at->listener, NULL, NULL);
    CHECK(at->connection >= 0);
    char name[16];
    ssize_t length = recv(at->connection, name, sizeof name, 0);
    CHECK(length == 6 && memcmp(name, "alice\n", 6) == 0);
    size_t words = strlen(at->first_words);
    CHECK(send(at->connection, at->first_words, words, 0) == (ssize_t)words);
    return NULL;
}

/* Starts a server that says this to its first client, and that client. */
static chatproto_result begin_with(server *at, const char *first_words,
                                   const chatproto_client_options *options,
                                   chatproto_client **client) {
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at->first_words = first_words;
    at->options = options;
    at->listener = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(at->listener >= 0);
    CHECK(bind(at->listener, (struct sockaddr *)&address, size) == 0);
    CHECK(listen(at->listener, 4) == 0);
    CHECK(getsockname(at->listener, (struct sockaddr *)&address, &size) == 0);
    snprintf(at->address, sizeof at->address, "127.0.0.1:%d", ntohs(address.sin_port));
    CHECK(pthread_create(&at->thread, NULL, accept_one, at) == 0);
    chatproto_result result =
        chatproto_client_connect_with(str(at->address), str("alice"), at->options, client);
    CHECK(pthread_join(at->thread, NULL) == 0);
    return result;
}

static chatproto_result begin(server *at, const char *first_words, chatproto_client **client) {
    return begin_with(at, first_words, NULL, client);
}

static void end(server *at, chatproto_client *client) {
    chatproto_client_free(client);
    close(at->connection);
    close(at->listener);
}

static void to_the_old_kind_objects_are_paced_and_ascii(void) {
    server old;
    chatproto_client *client = NULL;
    WORKS(begin(&old, WELCOME, &client)); /* no line feed behind it */
    WORKS(chatproto_client_send(client, str("bob"), str("\xc3\xa9")));
    char object[1024];
    ssize_t length = recv(old.connection, object, sizeof object, 0);
    const char *expected = "{\"from\": {\"name\": \"alice\", \"ip\": \"127.0.0.1\"}, \"to\": \"bob\", "
                           "\"msg\": \"\\u00e9\"}\n";
    CHECK(length == (ssize_t)strlen(expected));
    CHECK(memcmp(object, expected, strlen(expected)) == 0);
    char too_long[1024];
    memset(too_long, 'x', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    GIVES(CHATPROTO_FRAME_TOO_LONG, chatproto_client_send(client, str("bob"), str(too_long)));

    /* in an event loop the second one waits for its time */
    int taken = 0, turns = 0;
    for (int turn = 0; turn < 3; turn++) WORKS(chatproto_client_queue(client, str("bob"), str("x")));
    while (taken < 3) {
        CHECK(++turns < 1000);
        unsigned events = 0;
        int timeout_ms = 99;
        struct pollfd wanted;
        WORKS(chatproto_client_fd(client, &wanted.fd));
        WORKS(chatproto_client_events(client, &events));
        WORKS(chatproto_client_timeout_ms(client, &timeout_ms));
        CHECK(timeout_ms <= 20);
        wanted.events = (short)(POLLIN | ((events & CHATPROTO_WRITABLE) ? POLLOUT : 0));
        CHECK(poll(&wanted, 1, timeout_ms) >= 0);
        WORKS(chatproto_client_process(client));
        struct pollfd ours = {old.connection, POLLIN, 0};
        if (poll(&ours, 1, 0) == 1) {
            length = recv(old.connection, object, sizeof object, 0);
            CHECK(length > 0 && length < 200);
            for (ssize_t at = 0; at < length; at++) taken += object[at] == '\n';
        }
    }
    end(&old, client);
}

/* What may be sent by now may not have been when the loop asked what to wait for on the socket. */
static void an_object_whose_time_has_come_is_not_waited_for(void) {
    server old;
    chatproto_client *client = NULL;
    WORKS(begin(&old, WELCOME, &client));
    int timeout_ms = -1;
    /* where this program is slow, the time of the last one may have come at once */
    for (int turn = 0; timeout_ms < 0; turn++) {
        CHECK(turn < 100);
        WORKS(chatproto_client_queue(client, str("bob"), str("x")));
        WORKS(chatproto_client_timeout_ms(client, &timeout_ms));
    }
    CHECK(poll(NULL, 0, 30) == 0);
    WORKS(chatproto_client_timeout_ms(client, &timeout_ms));
    CHECK(timeout_ms == 0);
    WORKS(chatproto_client_process(client));
    WORKS(chatproto_client_timeout_ms(client, &timeout_ms));
    CHECK(timeout_ms == -1);
    end(&old, client);
}

static void *shut_down(void *argument) {
    WORKS(chatproto_client_shutdown((chatproto_client *)argument));
    return NULL;
}

static void a_server_that_does_not_read_fills_the_queue(void) {
    server deaf;
    chatproto_client *client = NULL;
    WORKS(begin(&deaf, WELCOME "\n", &client));
    char *text = (char *)malloc(60001);
    CHECK(text != NULL);
    memset(text, 'x', 60000);
    text[60000] = '\0';
    chatproto_result result;
    int taken = 0;
    while ((result = chatproto_client_queue(client, str("bob"), str(text))) == CHATPROTO_OK) {
        CHECK(++taken < 10000);
    }
    CHECK(result == CHATPROTO_QUEUE_FULL);
    unsigned events = 0;
    WORKS(chatproto_client_events(client, &events));
    CHECK(events == (CHATPROTO_READABLE | CHATPROTO_WRITABLE));
    WORKS(chatproto_client_process(client));
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, shut_down, client) == 0);
    GIVES(CHATPROTO_CLOSED, chatproto_client_send(client, str("bob"), str("waits, and ends")));
    CHECK(pthread_join(thread, NULL) == 0);
    GIVES(CHATPROTO_CLOSED, chatproto_client_queue(client, str("bob"), str("x")));
    free(text);
    end(&deaf, client);
}

static void what_is_no_message_is_told(void) {
    server strange;
    chatproto_client *client = NULL;
    chatproto_message *message = NULL;
    WORKS(begin(&strange, WELCOME "\n" MESSAGE "{}" MESSAGE "{x}" MESSAGE, &client));
    WORKS(chatproto_client_recv(client, 10000, &message));
    chatproto_message_free(message);
    GIVES(CHATPROTO_MISSING_KEY, chatproto_client_recv(client, 10000, &message));
    CHECK(message == NULL);
    WORKS(chatproto_client_recv(client, 10000, &message));
    chatproto_message_free(message);
    GIVES(CHATPROTO_UNEXPECTED_BYTE, chatproto_client_recv(client, 10000, &message));
    GIVES(CHATPROTO_CLOSED, chatproto_client_recv(client, -1, &message));
    end(&strange, client);

    GIVES(CHATPROTO_UNEXPECTED_BYTE, begin(&strange, "HTTP/1.1 400 Bad Request", &client));
    CHECK(client == NULL);
    end(&strange, NULL);
    GIVES(CHATPROTO_MISSING_KEY, begin(&strange, "{}", &client));
    end(&strange, NULL);
}

/* One turn of an event loop, without taking messages. */
static chatproto_result turn_of_loop(chatproto_client *client) {
    unsigned events = 0;
    int timeout_ms = 0;
    struct pollfd wanted;
    WORKS(chatproto_client_fd(client, &wanted.fd));
    WORKS(chatproto_client_events(client, &events));
    WORKS(chatproto_client_timeout_ms(client, &timeout_ms));
    CHECK(timeout_ms >= 0 && timeout_ms <= 100); /* the interval for pings */
    wanted.events = (short)(((events & CHATPROTO_READABLE) ? POLLIN : 0) |
                            ((events & CHATPROTO_WRITABLE) ? POLLOUT : 0));
    CHECK(poll(&wanted, 1, timeout_ms) >= 0);
    return chatproto_client_process(client);
}

static void a_server_that_hangs_is_noticed(void) {
    chatproto_client_options options = chatproto_client_options_default();
    options.ping_interval_ms = 100;
    for (int in_loop = 0; in_loop < 2; in_loop++) {
        server hangs;
        chatproto_client *client = NULL;
        chatproto_message *message = NULL;
        WORKS(begin_with(&hangs, WELCOME "\n" MESSAGE, &options, &client));
        WORKS(chatproto_client_recv(client, 10000, &message));
        chatproto_message_free(message);
        GIVES(CHATPROTO_TIMEOUT, chatproto_client_recv(client, 20, &message));
        if (in_loop) {
            while (chatproto_client_next(client, &message) == CHATPROTO_NEED_MORE) {
                turn_of_loop(client);
            }
        }
        GIVES(CHATPROTO_IO, chatproto_client_recv(client, -1, &message));
        CHECK(is(chatproto_last_error(),
                 "the connection was lost: the server did not answer /ping within 100 ms"));
        char object[256];
        ssize_t length = recv(hangs.connection, object, sizeof object - 1, 0);
        CHECK(length > 0);
        object[length] = '\0';
        CHECK(strstr(object, "\"to\":\"/ping\"") != NULL);
        end(&hangs, client);
    }
}

static void *answer_pings(void *argument) {
    const server *at = (const server *)argument;
    for (int ping = 0; ping < 2; ping++) {
        char object[256], answer[256];
        ssize_t length = recv(at->connection, object, sizeof object - 1, 0);
        CHECK(length > 0);
        object[length] = '\0';
        const char *nonce = strstr(object, "keep-alive-");
        CHECK(nonce != NULL);
        length = snprintf(answer, sizeof answer,
                          "{\"from\":{\"name\":\"SERVER\",\"ip\":\"\"},\"to\":\"alice\",\"msg\":\"%s",
                          nonce);
        CHECK(send(at->connection, answer, (size_t)length, 0) == length);
    }
    CHECK(send(at->connection, MESSAGE, strlen(MESSAGE), 0) > 0);
    return NULL;
}

static void a_server_that_answers_pings_stays(void) {
    chatproto_client_options options = chatproto_client_options_default();
    options.ping_interval_ms = 500;
    server lives;
    chatproto_client *client = NULL;
    chatproto_message *message = NULL;
    chatproto_fields fields;
    WORKS(begin_with(&lives, WELCOME "\n", &options, &client));
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, answer_pings, &lives) == 0);
    WORKS(chatproto_client_recv(client, -1, &message));
    WORKS(chatproto_message_read(message, &fields));
    CHECK(is(fields.msg, "hi")); /* the answers to the pings are no messages */
    chatproto_message_free(message);
    CHECK(pthread_join(thread, NULL) == 0);
    end(&lives, client);
}

static void a_dead_link_is_noticed_by_default(void) {
#ifdef TCP_USER_TIMEOUT
    static const int given[] = {90000, 12000, 0}, kept_alive[] = {1, 1, 0};
    for (int at = 0; at < 3; at++) {
        chatproto_client_options options = chatproto_client_options_default();
        if (at > 0) options.keep_alive_ms = given[at];
        server quiet;
        chatproto_client *client = NULL;
        int fd = -1, value = -1;
        socklen_t size = sizeof value;
        WORKS(begin_with(&quiet, WELCOME "\n", &options, &client));
        WORKS(chatproto_client_fd(client, &fd));
        CHECK(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, &size) == 0);
        CHECK(value == kept_alive[at]);
        CHECK(getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, &size) == 0);
        CHECK(value == given[at]);
        end(&quiet, client);
    }
#endif
}

static void an_error_above_a_limit_names_the_option(void) {
    chatproto_client_options options = chatproto_client_options_default();
    options.max_frame = 128;
    server loud;
    chatproto_client *client = NULL;
    chatproto_message *message = NULL;
    char long_text[256];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    WORKS(begin_with(&loud, WELCOME "\n", &options, &client));
    GIVES(CHATPROTO_FRAME_TOO_LONG, chatproto_client_send(client, str("bob"), str(long_text)));
    CHECK(contains(chatproto_last_error(), "the limit of 128 bytes (`max_frame`)"));
    CHECK(send(loud.connection, "{\"msg\":\"", 8, 0) == 8);
    CHECK(send(loud.connection, long_text, strlen(long_text), 0) > 0);
    GIVES(CHATPROTO_TOO_LONG, chatproto_client_recv(client, 10000, &message));
    CHECK(contains(chatproto_last_error(),
                   "more than 128 bytes, the limit of this client: raise `max_frame`"));
    end(&loud, client);
    options.max_frame = 127;
    GIVES(CHATPROTO_INVALID_ARGUMENT,
          chatproto_client_connect_with(str("127.0.0.1:1"), str("alice"), &options, &client));
    CHECK(is(chatproto_last_error(),
             "`max_frame` is a number of bytes from 128 to 1073741824, not 127"));
}

static void the_last_words_are_received_behind_a_send_that_failed(void) {
    server kicks;
    chatproto_client *client = NULL;
    chatproto_message *message = NULL;
    WORKS(begin(&kicks, WELCOME "\n", &client));
    CHECK(send(kicks.connection, MESSAGE MESSAGE, 2 * strlen(MESSAGE), 0) > 0);
    close(kicks.connection);
    for (int turn = 0; chatproto_client_send(client, str("bob"), str("?")) == CHATPROTO_OK; turn++) {
        CHECK(turn < 10000);
    }
    for (int turn = 0; turn < 2; turn++) {
        WORKS(chatproto_client_recv(client, 10000, &message));
        chatproto_message_free(message);
    }
    CHECK(chatproto_client_recv(client, 10000, &message) != CHATPROTO_OK);
    chatproto_client_free(client);
    close(kicks.listener);
}

typedef struct {
    int connection;
    const char *object;
} flood;

/* Sends the same object again and again, until the client is gone. */
static void *send_without_end(void *argument) {
    flood *at = (flood *)argument;
    size_t size = strlen(at->object), filled = 0;
    static const size_t most = 64 * 1024;
    char *piece = (char *)malloc(most);
    CHECK(piece != NULL);
    for (; filled + size <= most; filled += size) memcpy(piece + filled, at->object, size);
    while (send(at->connection, piece, filled, MSG_NOSIGNAL) > 0) {
    }
    free(piece);
    return NULL;
}

static double seconds(void) {
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static long largest_kib(void) {
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_maxrss;
}

static void a_flood_takes_bounded_memory_and_time(void) {
    static const char *const objects[] = {MESSAGE "\n", "{}", "        "};
    for (size_t which = 0; which < sizeof objects / sizeof objects[0]; which++) {
        server loud;
        chatproto_client *client = NULL;
        WORKS(begin(&loud, WELCOME "\n", &client));
        flood without_end = {loud.connection, objects[which]};
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, send_without_end, &without_end) == 0);
        long before = largest_kib();
        double begun = seconds();
        /* nobody takes what comes */
        while (seconds() < begun + 0.1) WORKS(chatproto_client_process(client));
        /* somebody takes it, for a while */
        while (seconds() < begun + 0.2) {
            chatproto_message *message = NULL;
            chatproto_result result = chatproto_client_recv(client, 10, &message);
            CHECK(result == CHATPROTO_OK || result == CHATPROTO_MISSING_KEY ||
                  result == CHATPROTO_TIMEOUT);
            chatproto_message_free(message);
        }
        if (which == 0) {
            begun = seconds();
            WORKS(chatproto_client_close(client));
            CHECK(seconds() < begun + 20);
        } else {
            chatproto_client_free(client);
        }
        CHECK(IS_SANITIZED || largest_kib() < before + 8 * 1024);
        CHECK(pthread_join(thread, NULL) == 0);
        close(loud.connection);
        close(loud.listener);
    }
}

int main(void) {
    alarm(120);
    to_the_old_kind_objects_are_paced_and_ascii();
    an_object_whose_time_has_come_is_not_waited_for();
    a_server_that_does_not_read_fills_the_queue();
    what_is_no_message_is_told();
    a_server_that_hangs_is_noticed();
    a_server_that_answers_pings_stays();
    a_dead_link_is_noticed_by_default();
    an_error_above_a_limit_names_the_option();
    the_last_words_are_received_behind_a_send_that_failed();
    a_flood_takes_bounded_memory_and_time();
    return 0;
}
