/* A server and its clients, in one process: endpoints, users, both ways of receiving, several
 * threads, and what becomes of NULL and wrong sizes. */
#include "check.h"

#include <poll.h>
#include <pthread.h>

static void dice(void *user_data, const chatproto_request *request, chatproto_answer *answer) {
    int *calls = (int *)user_data;
    __atomic_add_fetch(calls, 1, __ATOMIC_SEQ_CST);
    chatproto_str rest = request->msg;
    char bytes[32];
    chatproto_str argument = {bytes, 0};
    if (chatproto_argument(&rest, bytes, sizeof bytes, &argument.len) != CHATPROTO_OK)
        return; /* no answer */
    if (!is(request->endpoint, "/dice") || !is(argument, "six sides")) {
        WORKS(chatproto_answer_text(answer, str("this one is replaced")));
        WORKS(chatproto_answer_refuse(answer, str("not so")));
        return;
    }
    GIVES(CHATPROTO_NOT_UTF8, chatproto_answer_text(answer, str("\xff")));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_answer_text(NULL, str("x")));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_answer_refuse(NULL, str("x")));
    char text[64];
    int length = snprintf(text, sizeof text, "%.*s rolls 4", (int)request->user.len,
                          request->user.ptr);
    chatproto_str all = {text, (size_t)length};
    WORKS(chatproto_answer_text(answer, all));
}

static chatproto_server *start(chatproto_endpoint *endpoints, size_t count) {
    chatproto_server *server = NULL;
    chatproto_server_options options = chatproto_server_options_default();
    options.address = str("127.0.0.1:0");
    options.endpoints = endpoints;
    options.endpoint_count = count;
    options.rate_per_second = CHATPROTO_UNLIMITED;
    options.threads = 2;
    WORKS(chatproto_server_start(&options, &server));
    return server;
}

static chatproto_str address_of(const chatproto_server *server) {
    chatproto_str address;
    WORKS(chatproto_server_address(server, &address));
    CHECK(address.len > strlen("127.0.0.1:"));
    return address;
}

static chatproto_client *join(const chatproto_server *server, const char *name) {
    chatproto_client *client = NULL;
    WORKS(chatproto_client_connect(address_of(server), str(name), 10000, &client));
    return client;
}

/* Receives one message, which must be this. */
static void expect(const chatproto_client *client, const char *name, const char *part) {
    chatproto_message *message = NULL;
    chatproto_fields fields;
    WORKS(chatproto_client_recv(client, 10000, &message));
    WORKS(chatproto_message_read(message, &fields));
    if (!is(fields.name, name) || !contains(fields.msg, part)) {
        fprintf(stderr, "%.*s: %.*s\n", (int)fields.name.len, fields.name.ptr, (int)fields.msg.len,
                fields.msg.ptr);
    }
    CHECK(is(fields.name, name) && contains(fields.msg, part));
    chatproto_message_free(message);
}

/* Takes what still comes, until the server closes. */
static void *leave(void *argument) {
    chatproto_client *client = (chatproto_client *)argument;
    chatproto_message *message = NULL;
    chatproto_result result;
    while ((result = chatproto_client_recv(client, 10000, &message)) == CHATPROTO_OK) {
        chatproto_message_free(message);
    }
    CHECK(result == CHATPROTO_CLOSED && message == NULL);
    GIVES(CHATPROTO_CLOSED, chatproto_client_recv(client, -1, &message));
    GIVES(CHATPROTO_CLOSED, chatproto_client_process(client));
    chatproto_client_free(client);
    return NULL;
}

static void check_name(const chatproto_client *client, const char *expected) {
    char name[CHATPROTO_NAME_MAX];
    size_t length = 0;
    WORKS(chatproto_client_name(client, name, sizeof name, &length));
    CHECK(length == strlen(expected) && memcmp(name, expected, length) == 0);
}

static void the_name_follows_the_server(void) {
    chatproto_server *server = start(NULL, 0);
    chatproto_client *client = join(server, "alice");
    check_name(client, "alice");
    WORKS(chatproto_client_send(client, str("/nick"), str("alice smith")));
    expect(client, "SERVER", "alice smith");
    check_name(client, "alice smith");
    char name[4];
    size_t length = 0;
    GIVES(CHATPROTO_BUFFER_TOO_SMALL, chatproto_client_name(client, NULL, 0, &length));
    CHECK(length == strlen("alice smith"));
    GIVES(CHATPROTO_BUFFER_TOO_SMALL, chatproto_client_name(client, name, sizeof name, &length));
    chatproto_client_free(client);
    chatproto_server_free(server);
}

/* 0 does not wait, a negative time waits for ever, and the defaults are in the options. */
static void times_are_what_they_say(void) {
    chatproto_server *server = start(NULL, 0);
    chatproto_client *client = NULL;
    chatproto_message *message = NULL;
    chatproto_client_options options = chatproto_client_options_default();
    CHECK(options.timeout_ms == 10000 && options.keep_alive_ms == 90000);
    CHECK(options.ping_interval_ms == 0 && options.max_frame == 0);
    GIVES(CHATPROTO_TIMEOUT, chatproto_client_connect(address_of(server), str("alice"), 0, &client));
    options.timeout_ms = 0;
    GIVES(CHATPROTO_TIMEOUT,
          chatproto_client_connect_with(address_of(server), str("alice"), &options, &client));
    options.timeout_ms = -1;
    WORKS(chatproto_client_connect_with(address_of(server), str("alice"), &options, &client));
    GIVES(CHATPROTO_TIMEOUT, chatproto_client_recv(client, 0, &message));
    GIVES(CHATPROTO_TIMEOUT, chatproto_server_wait(server, 0));
    WORKS(chatproto_client_close(client));
    WORKS(chatproto_client_connect_with(address_of(server), str("bob"), NULL, &client));
    WORKS(chatproto_client_close(client));
    chatproto_server_free(server);
}

static void a_host_is_looked_up(void) {
    chatproto_server *server = start(NULL, 0);
    chatproto_client *client = NULL;
    uint16_t port = 0;
    char address[32];
    WORKS(chatproto_server_port(server, &port));
    snprintf(address, sizeof address, "localhost:%d", port);
    WORKS(chatproto_client_connect(str(address), str("alice"), 10000, &client));
    WORKS(chatproto_client_close(client));
    chatproto_server_free(server);
}

static void an_address_has_a_host_and_a_port(void) {
    static const char *const wrong[] = {
        "",       "nowhere",         "127.0.0.1",      "127.0.0.1:",       ":65432",
        "[::1]:", "127.0.0.1:65536", "127.0.0.1:130968", "127.0.0.1:-1",   "127.0.0.1:0",
        "65432",  "localhost:http",  "localhost:70000", "127.0.0.1: 65432"};
    chatproto_client *client = NULL;
    for (size_t at = 0; at < sizeof wrong / sizeof wrong[0]; at++) {
        GIVES(CHATPROTO_INVALID_ARGUMENT,
              chatproto_client_connect(str(wrong[at]), str("alice"), 10000, &client));
        CHECK(client == NULL && contains(chatproto_last_error(), "a port from 1 to 65535"));
    }
}

/* The system would read each as another IPv4 address. */
static const char *const incomplete[] = {"0:7000",     "1.2:7000",       "127.1:7000",
                                         "0x7f.1:7000", "0x7f000001:7000", "010.0.0.1:7000",
                                         "1.2.3.4.5:7000"};

static void an_incomplete_address_is_refused(void) {
    for (size_t at = 0; at < sizeof incomplete / sizeof incomplete[0]; at++) {
        chatproto_client *client = NULL;
        chatproto_server *server = NULL;
        chatproto_server_options options = chatproto_server_options_default();
        GIVES(CHATPROTO_INVALID_ARGUMENT,
              chatproto_client_connect(str(incomplete[at]), str("alice"), 10000, &client));
        CHECK(contains(chatproto_last_error(), "expected an IPv4 address of four numbers"));
        options.address = str(incomplete[at]);
        GIVES(CHATPROTO_INVALID_ARGUMENT, chatproto_server_start(&options, &server));
        CHECK(contains(chatproto_last_error(), "expected an IPv4 address of four numbers"));
        CHECK(client == NULL && server == NULL);
    }
}

static void a_server_listens_where_it_is_told(void) {
    static const char *const loopback[] = {"0", ":0", "127.0.0.1:0"};
    chatproto_server *server = NULL;
    chatproto_server_options options = chatproto_server_options_default();
    for (size_t at = 0; at < sizeof loopback / sizeof loopback[0]; at++) {
        options.address = str(loopback[at]);
        WORKS(chatproto_server_start(&options, &server));
        CHECK(contains(address_of(server), "127.0.0.1:"));
        chatproto_server_free(server);
    }
    options.address = str("localhost:0");
    WORKS(chatproto_server_start(&options, &server));
    chatproto_server_free(server);
    options.address = str("no-such-host.invalid:0");
    GIVES(CHATPROTO_INVALID_ARGUMENT, chatproto_server_start(&options, &server));
    CHECK(contains(chatproto_last_error(), "unknown host no-such-host.invalid"));
}

/* Sentences are for people: the number of a system error is not. */
static void no_sentence_has_the_number_of_a_system_error(void) {
    chatproto_client *client = NULL;
    chatproto_server *server = start(NULL, 0), *other = NULL;
    chatproto_server_options options = chatproto_server_options_default();
    GIVES(CHATPROTO_IO, chatproto_client_connect(str("127.0.0.1:1"), str("alice"), 10000, &client));
    CHECK(contains(chatproto_last_error(), "cannot connect to 127.0.0.1:1: connection refused"));
    CHECK(!contains(chatproto_last_error(), "os error"));
    options.address = address_of(server);
    GIVES(CHATPROTO_LISTEN, chatproto_server_start(&options, &other));
    CHECK(contains(chatproto_last_error(), ": address already in use"));
    CHECK(!contains(chatproto_last_error(), "os error"));
    GIVES(CHATPROTO_IO,
          chatproto_client_connect(str("no-such-host.invalid:1"), str("alice"), 10000, &client));
    CHECK(contains(chatproto_last_error(), "unknown host no-such-host.invalid ("));
    chatproto_server_free(server);
}

static void a_conversation(void) {
    int calls = 0;
    chatproto_endpoint endpoint = {str("/dice"), str("Rolls a die."), dice, &calls};
    chatproto_server *server = start(&endpoint, 1);
    uint16_t port = 0;
    WORKS(chatproto_server_port(server, &port));
    CHECK(port != 0);
    GIVES(CHATPROTO_TIMEOUT, chatproto_server_wait(server, 0));

    chatproto_client *alice = join(server, " alice "), *bob = join(server, "bob");
    check_name(alice, "alice");
    chatproto_fields welcome;
    WORKS(chatproto_client_welcome(bob, &welcome));
    CHECK(is(welcome.name, "SERVER") && contains(welcome.msg, "Welcome"));

    WORKS(chatproto_client_send(alice, str("bob"), str("hello, \"bob\" \xf0\x9f\x98\x80")));
    expect(bob, "alice", "hello, \"bob\" \xf0\x9f\x98\x80");
    WORKS(chatproto_client_send(alice, str("/dice"), str("/dice \"six sides\"")));
    expect(alice, "SERVER", "alice rolls 4");
    WORKS(chatproto_client_send(alice, str("/dice"), str("two")));
    expect(alice, "SERVER", "not so");
    WORKS(chatproto_client_send(alice, str("/dice"), str("")));
    expect(alice, "SERVER", "no answer");
    CHECK(calls == 3);
    WORKS(chatproto_client_send(alice, str("/help"), str("/dice")));
    expect(alice, "SERVER", "Rolls a die.");

    chatproto_message *message = NULL;
    GIVES(CHATPROTO_TIMEOUT, chatproto_client_recv(alice, 0, &message));
    GIVES(CHATPROTO_TIMEOUT, chatproto_client_recv(alice, 20, &message));
    CHECK(message == NULL);

    chatproto_users *users = NULL;
    size_t count = 0;
    WORKS(chatproto_server_users(server, &users));
    WORKS(chatproto_users_count(users, &count));
    CHECK(count == 2);
    bool seen[2] = {false, false};
    chatproto_str name;
    for (size_t at = 0; at < count; at++) {
        WORKS(chatproto_users_name(users, at, &name));
        seen[is(name, "bob")] = true;
    }
    CHECK(seen[0] && seen[1]);
    GIVES(CHATPROTO_INVALID_ARGUMENT, chatproto_users_name(users, 2, &name));
    CHECK(name.len == 0);

    chatproto_client *other = NULL;
    GIVES(CHATPROTO_REFUSED, chatproto_client_connect(address_of(server), str("bob"), 10000, &other));
    CHECK(other == NULL && contains(chatproto_last_error(), "bob"));
    GIVES(CHATPROTO_INVALID_NAME,
          chatproto_client_connect(address_of(server), str("/bob"), 10000, &other));
    CHECK(other == NULL);

    /* what was sent last arrives before the connection is closed */
    for (int turn = 0; turn < 100; turn++) {
        WORKS(chatproto_client_send(alice, str("bob"), str("bye")));
    }
    WORKS(chatproto_client_close(alice));
    for (int turn = 0; turn < 100; turn++) expect(bob, "alice", "bye");

    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, leave, bob) == 0);
    WORKS(chatproto_server_stop(server));
    WORKS(chatproto_server_stop(server));
    WORKS(chatproto_server_wait(server, -1));
    CHECK(pthread_join(thread, NULL) == 0);
    chatproto_server_free(server);
    /* the list outlives its server */
    WORKS(chatproto_users_name(users, 0, &name));
    chatproto_users_free(users);
}

/* The first half of an event loop's turn: takes what has come and says what to wait for. */
static struct pollfd take(const chatproto_client *client, const char *expected, int *taken) {
    chatproto_message *message = NULL;
    chatproto_result result;
    while ((result = chatproto_client_next(client, &message)) == CHATPROTO_OK) {
        chatproto_fields fields;
        WORKS(chatproto_message_read(message, &fields));
        CHECK(is(fields.msg, expected));
        chatproto_message_free(message);
        ++*taken;
    }
    CHECK(result == CHATPROTO_NEED_MORE && message == NULL);
    unsigned events = 99;
    int timeout_ms = 99;
    struct pollfd wanted;
    WORKS(chatproto_client_fd(client, &wanted.fd));
    WORKS(chatproto_client_events(client, &events));
    WORKS(chatproto_client_timeout_ms(client, &timeout_ms));
    CHECK((events & CHATPROTO_READABLE) != 0 && timeout_ms == -1);
    wanted.events = (short)(((events & CHATPROTO_READABLE) ? POLLIN : 0) |
                            ((events & CHATPROTO_WRITABLE) ? POLLOUT : 0));
    wanted.revents = 0;
    return wanted;
}

static void an_event_loop(void) {
    enum { MESSAGES = 2000 };
    chatproto_server *server = start(NULL, 0);
    chatproto_client *alice = join(server, "alice"), *bob = join(server, "bob");
    char text[2000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    int sent = 0, received = 0, answers = 0;
    while (received < MESSAGES) {
        while (sent < MESSAGES && sent - received < 500) {
            chatproto_result result = chatproto_client_queue(alice, str("bob"), str(text));
            if (result == CHATPROTO_QUEUE_FULL) break;
            CHECK(result == CHATPROTO_OK);
            sent++;
        }
        struct pollfd wanted[2] = {take(alice, "", &answers), take(bob, text, &received)};
        if (received == MESSAGES) break;
        CHECK(poll(wanted, 2, 10000) > 0);
        WORKS(chatproto_client_process(alice));
        WORKS(chatproto_client_process(bob));
    }
    CHECK(received == MESSAGES && answers == 0);

    /* what was not taken keeps the socket from being read, and the loop from waiting */
    unsigned events = 99;
    int timeout_ms = 99;
    WORKS(chatproto_client_send(alice, str("bob"), str("one")));
    struct pollfd poll_fd;
    WORKS(chatproto_client_fd(bob, &poll_fd.fd));
    poll_fd.events = POLLIN;
    CHECK(poll(&poll_fd, 1, 10000) == 1);
    WORKS(chatproto_client_process(bob));
    WORKS(chatproto_client_events(bob, &events));
    WORKS(chatproto_client_timeout_ms(bob, &timeout_ms));
    CHECK(events == 0 && timeout_ms == 0);
    expect(bob, "alice", "one");
    WORKS(chatproto_client_events(bob, &events));
    CHECK(events == CHATPROTO_READABLE);

    chatproto_client_free(alice);
    chatproto_client_free(bob);
    chatproto_server_free(server);
}

static void *wait_for_a_message(void *argument) {
    chatproto_message *message = NULL;
    GIVES(CHATPROTO_CLOSED, chatproto_client_recv((chatproto_client *)argument, -1, &message));
    return NULL;
}

static void another_thread_ends_the_waiting(void) {
    chatproto_server *server = start(NULL, 0);
    chatproto_client *client = join(server, "alice");
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, wait_for_a_message, client) == 0);
    WORKS(chatproto_client_shutdown(client));
    CHECK(pthread_join(thread, NULL) == 0);
    WORKS(chatproto_client_shutdown(client));
    GIVES(CHATPROTO_CLOSED, chatproto_client_send(client, str("bob"), str("x")));
    chatproto_client_free(client);
    chatproto_server_free(server);
}

enum { THREADS = 8, EACH = 50 };

typedef struct {
    const chatproto_server *server;
    int number;
} seat;

static void arguments_are_read_and_written_by_one_grammar(void) {
    char bytes[64];
    size_t length = 1;
    chatproto_str rest = str(" \"bob\"\" x\"  10min ");
    chatproto_str before = rest;
    GIVES(CHATPROTO_BUFFER_TOO_SMALL, chatproto_argument(&rest, bytes, 5, &length));
    CHECK(length == 6 && rest.ptr == before.ptr && rest.len == before.len);
    WORKS(chatproto_argument(&rest, bytes, 6, &length));
    CHECK(length == 6 && memcmp(bytes, "bob\" x", 6) == 0 && is(rest, "10min"));
    WORKS(chatproto_argument(&rest, bytes, sizeof bytes, &length));
    CHECK(length == 5 && rest.len == 0);
    GIVES(CHATPROTO_NEED_MORE, chatproto_argument(&rest, bytes, sizeof bytes, &length));
    CHECK(length == 0);
    const char *mistakes[] = {"\"bob", "\"bob\"x", "\"bob\"\""};
    for (int at = 0; at < 3; at++) {
        rest = str(mistakes[at]);
        GIVES(CHATPROTO_INVALID_ARGUMENT, chatproto_argument(&rest, bytes, sizeof bytes, &length));
        CHECK(length == 0 && strstr(chatproto_last_error().ptr, "quote") != NULL);
    }
    GIVES(CHATPROTO_BUFFER_TOO_SMALL, chatproto_as_argument(str("a b"), NULL, 0, &length));
    CHECK(length == 5);
    WORKS(chatproto_as_argument(str("bob\" x"), bytes, sizeof bytes, &length));
    CHECK(length == 9 && memcmp(bytes, "\"bob\"\" x\"", 9) == 0);
    WORKS(chatproto_as_argument(str("bob"), bytes, sizeof bytes, &length));
    CHECK(length == 3);
}

static void *talk(void *argument) {
    seat *at = (seat *)argument;
    char name[16], last[64];
    snprintf(name, sizeof name, "user%d", at->number);
    chatproto_client *client = join(at->server, name);
    for (int turn = 0; turn < EACH; turn++) {
        WORKS(chatproto_client_send(client, str(name), str("to myself")));
        expect(client, name, "to myself");
    }
    /* each thread has its own last error */
    chatproto_client *other = NULL;
    snprintf(name, sizeof name, "/%d", at->number);
    GIVES(CHATPROTO_INVALID_NAME, chatproto_client_connect(str("127.0.0.1:1"), str(name), 1, &other));
    snprintf(last, sizeof last, "%s", chatproto_last_error().ptr);
    GIVES(CHATPROTO_TIMEOUT, chatproto_client_recv(client, 1, (chatproto_message **)&other));
    CHECK(strcmp(chatproto_last_error().ptr, last) != 0);
    WORKS(chatproto_client_close(client));
    return NULL;
}

static void eight_threads_on_eight_clients(void) {
    chatproto_server *server = start(NULL, 0);
    pthread_t threads[THREADS];
    seat seats[THREADS];
    for (int at = 0; at < THREADS; at++) {
        seats[at].server = server;
        seats[at].number = at;
        CHECK(pthread_create(&threads[at], NULL, talk, &seats[at]) == 0);
    }
    for (int at = 0; at < THREADS; at++) CHECK(pthread_join(threads[at], NULL) == 0);
    chatproto_server_free(server);
}

static void *send_many(void *argument) {
    for (int turn = 0; turn < EACH; turn++) {
        WORKS(chatproto_client_send((chatproto_client *)argument, str("alice"), str("echo")));
    }
    return NULL;
}

static void threads_share_a_client(void) {
    chatproto_server *server = start(NULL, 0);
    chatproto_client *client = join(server, "alice");
    pthread_t senders[2];
    for (int at = 0; at < 2; at++) CHECK(pthread_create(&senders[at], NULL, send_many, client) == 0);
    for (int turn = 0; turn < 2 * EACH; turn++) expect(client, "alice", "echo");
    for (int at = 0; at < 2; at++) CHECK(pthread_join(senders[at], NULL) == 0);
    WORKS(chatproto_client_close(client));
    chatproto_server_free(server);
}

static void what_cannot_be_started(void) {
    chatproto_server *server = start(NULL, 0), *other = NULL;
    chatproto_server_options options = chatproto_server_options_default();
    options.address = address_of(server);
    GIVES(CHATPROTO_LISTEN, chatproto_server_start(&options, &other));
    CHECK(other == NULL);
    options.address = str("no address");
    GIVES(CHATPROTO_INVALID_ARGUMENT, chatproto_server_start(&options, &other));
    options.address = str("127.0.0.1:0");
    options.max_frame = 5;
    GIVES(CHATPROTO_LIMITS, chatproto_server_start(&options, &other));
    options.max_frame = 0;
    options.endpoint_count = 1;
    GIVES(CHATPROTO_NULL_POINTER, chatproto_server_start(&options, &other));
    chatproto_endpoint endpoint = {str("dice"), str("x"), dice, NULL};
    options.endpoints = &endpoint;
    GIVES(CHATPROTO_ENDPOINT, chatproto_server_start(&options, &other));
    endpoint.name = str("/dice");
    endpoint.handler = NULL;
    GIVES(CHATPROTO_NULL_POINTER, chatproto_server_start(&options, &other));
    endpoint.handler = dice;
    options.endpoint_count = SIZE_MAX;
    GIVES(CHATPROTO_INVALID_ARGUMENT, chatproto_server_start(&options, &other));
    options.endpoint_count = 0;
    options.address = str("127.0.0.1:65536");
    GIVES(CHATPROTO_INVALID_ARGUMENT, chatproto_server_start(&options, &other));
    options.address = address_of(server);
    options.size -= 1;
    GIVES(CHATPROTO_INVALID_ARGUMENT, chatproto_server_start(&options, &other));
    CHECK(other == NULL);
    GIVES(CHATPROTO_NULL_POINTER, chatproto_server_start(&options, NULL));
    chatproto_server_free(server);

    chatproto_client *client = NULL;
    GIVES(CHATPROTO_IO, chatproto_client_connect(str("127.0.0.1:1"), str("alice"), 10000, &client));
    GIVES(CHATPROTO_TIMEOUT, chatproto_client_connect(str("127.0.0.1:1"), str("alice"), 0, &client));
    GIVES(CHATPROTO_NOT_UTF8, chatproto_client_connect(str("\xff"), str("alice"), 10000, &client));
    CHECK(client == NULL);
}

static void null_is_answered(void) {
    chatproto_str text = {NULL, 0};
    chatproto_fields fields;
    chatproto_message *message = NULL;
    chatproto_users *users = NULL;
    unsigned events = 9;
    int number = 9;
    uint16_t port = 9;
    size_t count = 9;
    GIVES(CHATPROTO_NULL_POINTER, chatproto_client_connect(str("x"), str("alice"), 1, NULL));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_client_send(NULL, str("a"), str("b")));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_client_queue(NULL, str("a"), str("b")));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_client_recv(NULL, 0, &message));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_client_next(NULL, &message));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_client_fd(NULL, &number));
    CHECK(number == -1);
    GIVES(CHATPROTO_NULL_POINTER, chatproto_client_events(NULL, &events));
    CHECK(events == 0);
    number = 9;
    GIVES(CHATPROTO_NULL_POINTER, chatproto_client_timeout_ms(NULL, &number));
    CHECK(number == -1);
    GIVES(CHATPROTO_NULL_POINTER, chatproto_client_process(NULL));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_client_name(NULL, NULL, 0, &count));
    CHECK(count == 0);
    count = 9;
    GIVES(CHATPROTO_NULL_POINTER, chatproto_client_welcome(NULL, &fields));
    CHECK(fields.msg.ptr != NULL && fields.msg.len == 0);
    GIVES(CHATPROTO_NULL_POINTER, chatproto_client_shutdown(NULL));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_client_close(NULL));
    chatproto_client_free(NULL);
    GIVES(CHATPROTO_NULL_POINTER, chatproto_server_address(NULL, &text));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_server_port(NULL, &port));
    CHECK(port == 0);
    GIVES(CHATPROTO_NULL_POINTER, chatproto_server_users(NULL, &users));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_users_count(NULL, &count));
    CHECK(count == 0);
    GIVES(CHATPROTO_NULL_POINTER, chatproto_users_name(NULL, 0, &text));
    chatproto_users_free(NULL);
    GIVES(CHATPROTO_NULL_POINTER, chatproto_server_wait(NULL, 0));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_server_stop(NULL));
    chatproto_server_free(NULL);
    char bytes[16];
    size_t length = 1;
    text = str("a");
    GIVES(CHATPROTO_NULL_POINTER, chatproto_argument(NULL, bytes, sizeof bytes, &length));
    CHECK(length == 0);
    GIVES(CHATPROTO_NULL_POINTER, chatproto_argument(&text, bytes, sizeof bytes, NULL));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_argument(&text, NULL, 1, &length));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_as_argument(text, NULL, 1, &length));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_as_argument(text, bytes, sizeof bytes, NULL));

    chatproto_server *server = start(NULL, 0);
    chatproto_client *client = join(server, "alice");
    chatproto_str missing = {NULL, 1}, bad = {"\xff", 1}, long_one = {"x", SIZE_MAX};
    GIVES(CHATPROTO_NULL_POINTER, chatproto_client_send(client, missing, str("b")));
    GIVES(CHATPROTO_NOT_UTF8, chatproto_client_send(client, str("a"), bad));
    GIVES(CHATPROTO_INVALID_ARGUMENT, chatproto_client_send(client, str("a"), long_one));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_client_queue(client, str("a"), missing));
    char *text_too_long = (char *)calloc(1, 70000);
    CHECK(text_too_long != NULL);
    memset(text_too_long, 'x', 69999);
    GIVES(CHATPROTO_FRAME_TOO_LONG, chatproto_client_send(client, str("a"), str(text_too_long)));
    free(text_too_long);
    GIVES(CHATPROTO_NULL_POINTER, chatproto_client_recv(client, 0, NULL));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_client_next(client, NULL));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_client_fd(client, NULL));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_client_events(client, NULL));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_client_timeout_ms(client, NULL));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_client_name(client, NULL, 0, NULL));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_client_name(client, NULL, 5, &count));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_client_welcome(client, NULL));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_server_address(server, NULL));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_server_port(server, NULL));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_server_users(server, NULL));
    WORKS(chatproto_server_users(server, &users));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_users_count(users, NULL));
    GIVES(CHATPROTO_NULL_POINTER, chatproto_users_name(users, 0, NULL));
    chatproto_users_free(users);
    chatproto_client_free(client);
    chatproto_server_free(server);
}

int main(void) {
    a_conversation();
    the_name_follows_the_server();
    times_are_what_they_say();
    a_host_is_looked_up();
    an_address_has_a_host_and_a_port();
    an_incomplete_address_is_refused();
    a_server_listens_where_it_is_told();
    no_sentence_has_the_number_of_a_system_error();
    an_event_loop();
    arguments_are_read_and_written_by_one_grammar();
    another_thread_ends_the_waiting();
    eight_threads_on_eight_clients();
    threads_share_a_client();
    what_cannot_be_started();
    null_is_answered();
    return 0;
}
