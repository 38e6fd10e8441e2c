/* TLS between a server and its clients: argv is a certificate and its key, both PEM files, the key of
 * another certificate, and the fingerprint. The certificate is for chat.test. */
#include "check.h"

#include <poll.h>

static chatproto_server *start(const char *certificate, const char *key, bool only) {
    chatproto_server *server = NULL;
    chatproto_server_options options = chatproto_server_options_default();
    options.address = str("127.0.0.1:0");
    options.rate_per_second = CHATPROTO_UNLIMITED;
    options.tls_certificate_file = str(certificate);
    options.tls_key_file = str(key);
    options.tls_only = only;
    WORKS(chatproto_server_start(&options, &server));
    return server;
}

static chatproto_result join(const chatproto_server *server, const char *name,
                             const chatproto_client_options *options, chatproto_client **client) {
    chatproto_str address;
    WORKS(chatproto_server_address(server, &address));
    return chatproto_client_connect_with(address, str(name), options, client);
}

static void fails(const chatproto_server *server, const chatproto_client_options *options,
                  chatproto_result expected, const char *sentence) {
    chatproto_client *client = NULL;
    GIVES(expected, join(server, "nobody", options, &client));
    CHECK(client == NULL && contains(chatproto_last_error(), sentence));
}

static void expect(const chatproto_client *client, const char *part, size_t length) {
    chatproto_message *message = NULL;
    chatproto_fields fields;
    WORKS(chatproto_client_recv(client, 10000, &message));
    WORKS(chatproto_message_read(message, &fields));
    CHECK(contains(fields.msg, part) && fields.msg.len >= length);
    chatproto_message_free(message);
}

/* Receives a message with an event loop of one's own. */
static void expect_in_loop(const chatproto_client *client, const char *part) {
    chatproto_message *message = NULL;
    chatproto_fields fields;
    chatproto_result result;
    int fd, timeout;
    unsigned int events;
    WORKS(chatproto_client_fd(client, &fd));
    while ((result = chatproto_client_next(client, &message)) == CHATPROTO_NEED_MORE) {
        WORKS(chatproto_client_events(client, &events));
        WORKS(chatproto_client_timeout_ms(client, &timeout));
        struct pollfd wanted = {fd, 0, 0};
        if (events & CHATPROTO_READABLE) wanted.events |= POLLIN;
        if (events & CHATPROTO_WRITABLE) wanted.events |= POLLOUT;
        CHECK(poll(&wanted, 1, timeout < 0 ? 10000 : timeout) > 0 || timeout >= 0);
        WORKS(chatproto_client_process(client));
    }
    GIVES(CHATPROTO_OK, result);
    WORKS(chatproto_message_read(message, &fields));
    CHECK(contains(fields.msg, part));
    chatproto_message_free(message);
}

int main(int argc, char **argv) {
    CHECK(argc == 5);
    const char *certificate = argv[1], *key = argv[2], *other_key = argv[3], *fingerprint = argv[4];
    chatproto_client_options by_file = chatproto_client_options_default();
    by_file.tls_ca_file = str(certificate);
    by_file.tls_server_name = str("chat.test");
    chatproto_client_options by_fingerprint = chatproto_client_options_default();
    by_fingerprint.tls_fingerprint = str(fingerprint);

    chatproto_server *server = start(certificate, key, false);
    chatproto_client *alice = NULL, *bob = NULL, *carol = NULL;
    WORKS(join(server, "alice", &by_file, &alice));
    WORKS(join(server, "bob", &by_fingerprint, &bob));
    WORKS(join(server, "carol", NULL, &carol));
    WORKS(chatproto_client_send(alice, str("/whoami"), str("")));
    expect(alice, ", over TLS", 0);
    WORKS(chatproto_client_send(carol, str("/whoami"), str("")));
    expect(carol, "You are carol from 127.0.0.1, a user.", 0);

    /* much, in both directions */
    static char text[60001];
    memset(text, 'x', sizeof text - 1);
    for (int n = 0; n < 30; n++) {
        WORKS(chatproto_client_send(alice, str("bob"), str(text)));
        WORKS(chatproto_client_queue(bob, str("alice"), str(text)));
        expect(bob, "x", sizeof text - 1);
        expect_in_loop(alice, "x");
    }
    chatproto_message *none = NULL;
    GIVES(CHATPROTO_TIMEOUT, chatproto_client_recv(alice, 1, &none));
    CHECK(none == NULL);
    WORKS(chatproto_client_send(alice, str("carol"), str("last words")));
    WORKS(chatproto_client_close(alice));
    expect(carol, "last words", 0);

    /* which check failed */
    chatproto_client_options wrong = by_fingerprint;
    wrong.tls_fingerprint = str("aa:aa");
    fails(server, &wrong, CHATPROTO_TLS, "is no fingerprint");
    wrong.tls_fingerprint =
        str("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    fails(server, &wrong, CHATPROTO_TLS, "has another fingerprint: expected AA:AA");
    wrong = by_file;
    wrong.tls_server_name = str("");
    fails(server, &wrong, CHATPROTO_TLS, "is not for \"127.0.0.1\" but for chat.test");
    wrong = by_file;
    wrong.tls_ca_file = str("/nowhere");
    fails(server, &wrong, CHATPROTO_TLS, "`tls_ca_file`: cannot read /nowhere: no such file");
    CHECK(!contains(chatproto_last_error(), "os error"));
    wrong.tls_ca_file = str(key);
    fails(server, &wrong, CHATPROTO_TLS, "`tls_ca_file`: there is no certificate in ");
    wrong = by_file;
    wrong.tls_certificate_file = str("/nowhere");
    wrong.tls_key_file = str(key);
    fails(server, &wrong, CHATPROTO_TLS, "`tls_certificate_file`: cannot read /nowhere");
    wrong.tls_certificate_file = str(certificate);
    wrong.tls_key_file = str(certificate);
    fails(server, &wrong, CHATPROTO_TLS, "`tls_key_file`: there is no private key in ");
    wrong.tls_key_file = str(other_key);
    fails(server, &wrong, CHATPROTO_TLS, "`tls_certificate_file` and `tls_key_file`: ");
    wrong = by_file;
    wrong.tls_fingerprint = str(fingerprint);
    fails(server, &wrong, CHATPROTO_INVALID_ARGUMENT, "exclude each other");
    wrong = by_file;
    wrong.tls_key_file = str(key);
    fails(server, &wrong, CHATPROTO_INVALID_ARGUMENT, "go together");
    wrong = chatproto_client_options_default();
    wrong.tls_server_name = str("chat.test");
    fails(server, &wrong, CHATPROTO_INVALID_ARGUMENT, "without `tls`");
    wrong = by_file;
    wrong.size = 1;
    fails(server, &wrong, CHATPROTO_INVALID_ARGUMENT, "has the size 1");

    /* a URL with wss:// turns on TLS. This server speaks it, and no WebSocket */
    char url[64];
    uint16_t port = 0;
    WORKS(chatproto_server_port(server, &port));
    snprintf(url, sizeof url, "wss://127.0.0.1:%d/ws", port);
    chatproto_client *none_yet = NULL;
    wrong = chatproto_client_options_default();
    wrong.tls_server_name = str("chat.test");
    GIVES(CHATPROTO_TLS, chatproto_client_connect_with(str(url), str("x"), &wrong, &none_yet));
    CHECK(contains(chatproto_last_error(), "not from an authority that is trusted here"));
    GIVES(CHATPROTO_WEBSOCKET,
          chatproto_client_connect_with(str(url), str("x"), &by_file, &none_yet));
    CHECK(contains(chatproto_last_error(), "refused the WebSocket handshake with 400"));
    chatproto_client_free(bob);
    chatproto_client_free(carol);
    chatproto_server_free(server);

    server = start(certificate, key, true);
    fails(server, NULL, CHATPROTO_REFUSED, "this server speaks TLS only");
    WORKS(join(server, "alice", &by_fingerprint, &alice));
    WORKS(chatproto_client_close(alice));
    chatproto_server_free(server);

    chatproto_server_options options = chatproto_server_options_default();
    options.address = str("127.0.0.1:0");
    options.tls_certificate_file = str(certificate);
    GIVES(CHATPROTO_INVALID_ARGUMENT, chatproto_server_start(&options, &server));
    options.tls_key_file = str(other_key);
    GIVES(CHATPROTO_TLS, chatproto_server_start(&options, &server));
    CHECK(contains(chatproto_last_error(), "`tls_certificate_file` and `tls_key_file`: "));
    CHECK(contains(chatproto_last_error(), "does not belong to the certificate"));
    options.tls_key_file = str("/nowhere");
    GIVES(CHATPROTO_TLS, chatproto_server_start(&options, &server));
    CHECK(contains(chatproto_last_error(), "`tls_key_file`: cannot read /nowhere: no such file"));
    options.tls_certificate_file = str("/nowhere");
    GIVES(CHATPROTO_TLS, chatproto_server_start(&options, &server));
    CHECK(contains(chatproto_last_error(), "`tls_certificate_file`: cannot read /nowhere"));
    return 0;
}
