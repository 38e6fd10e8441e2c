/* chatproto: a chat protocol that programs in any language share. The C library.
 *
 * Generated from the sources of chatproto-c; not to be edited.
 *
 * In every function: each out-parameter is written on every path, whatever the result; a NULL where
 * there must be none is answered by CHATPROTO_NULL_POINTER; no panic or exception ever unwinds into
 * the caller. What a function gives is read-only unless its documentation says otherwise.
 *
 * Structs with a member `size` may get more members in later versions. The other structs never change.
 */

#ifndef CHATPROTO_H
#define CHATPROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The version of this header; `chatproto_version` gives that of the library. */
#define CHATPROTO_VERSION "0.1.0"
#define CHATPROTO_VERSION_MAJOR 0
#define CHATPROTO_VERSION_MINOR 1
#define CHATPROTO_VERSION_PATCH 0

/* The encoding of all text. */
#define CHATPROTO_ENCODING "utf-8"


/**
 * The port of the protocol.
 */
#define CHATPROTO_PORT 65432

/**
 * The most bytes that the name of a user has.
 */
#define CHATPROTO_NAME_MAX 64

/**
 * An event loop is to wait until the socket can be read.
 */
#define CHATPROTO_READABLE 1

/**
 * An event loop is to wait until the socket can be written.
 */
#define CHATPROTO_WRITABLE 2

/**
 * No bound, for `rate_per_second` of `chatproto_server_options`.
 */
#define CHATPROTO_UNLIMITED 4294967295

/**
 * What became of a call. The numbers are never changed and never used for anything else; later
 * versions may have more.
 *
 * From 20 to 39 the bytes are not a frame of the protocol (a framing error: where the next frame
 * begins is unknown, and nothing after it is read); from 40 to 59 they are well-formed JSON and not
 * a message (a schema error: decoding goes on behind it).
 */
typedef enum chatproto_result {
    /**
     * It was done.
     */
    CHATPROTO_OK = 0,
    /**
     * A pointer that must not be NULL is.
     */
    CHATPROTO_NULL_POINTER = 1,
    /**
     * An argument is not what the function's documentation asks for.
     */
    CHATPROTO_INVALID_ARGUMENT = 2,
    /**
     * A string that was given is not UTF-8.
     */
    CHATPROTO_NOT_UTF8 = 3,
    /**
     * The buffer is too small; the length it must have was written.
     */
    CHATPROTO_BUFFER_TOO_SMALL = 4,
    /**
     * A defect of the library was met and caught. The handle cannot be used any more, except that
     * it can be freed.
     */
    CHATPROTO_PANICKED = 5,
    /**
     * The handle was given up by an earlier `CHATPROTO_PANICKED`.
     */
    CHATPROTO_POISONED = 6,
    /**
     * There is nothing yet: a decoder has to be fed, a client's event loop has to wait.
     */
    CHATPROTO_NEED_MORE = 7,
    /**
     * Not in this order: the function's documentation says what comes first.
     */
    CHATPROTO_WRONG_STATE = 8,
    /**
     * The library was built without what was asked for.
     */
    CHATPROTO_UNSUPPORTED = 9,
    /**
     * Framing: a byte that cannot stand here by RFC 8259, or one between frames.
     */
    CHATPROTO_UNEXPECTED_BYTE = 20,
    /**
     * Framing: a byte below 0x20 inside a string; it must be escaped.
     */
    CHATPROTO_CONTROL_CHARACTER = 21,
    /**
     * Framing: a string that is not UTF-8.
     */
    CHATPROTO_INVALID_UTF8 = 22,
    /**
     * Framing: nested deeper than 32 levels.
     */
    CHATPROTO_TOO_DEEP = 23,
    /**
     * Framing: no end of the object within the limit.
     */
    CHATPROTO_TOO_LONG = 24,
    /**
     * Framing: the bytes ended inside an object.
     */
    CHATPROTO_UNEXPECTED_END = 25,
    /**
     * Schema: a key of the schema is missing.
     */
    CHATPROTO_MISSING_KEY = 40,
    /**
     * Schema: a key of the schema stands twice.
     */
    CHATPROTO_DUPLICATE_KEY = 41,
    /**
     * Schema: a value of the wrong type.
     */
    CHATPROTO_WRONG_TYPE = 42,
    /**
     * Schema: half of a surrogate pair.
     */
    CHATPROTO_LONE_SURROGATE = 43,
    /**
     * Schema, in strict mode only: a key that the schema does not have.
     */
    CHATPROTO_UNKNOWN_KEY = 44,
    /**
     * Schema: U+0000 in `from.name`.
     */
    CHATPROTO_NUL_IN_NAME = 45,
    /**
     * The name breaks a rule, so that no server would take it.
     */
    CHATPROTO_INVALID_NAME = 60,
    /**
     * The server refused the name; the last error says why.
     */
    CHATPROTO_REFUSED = 61,
    /**
     * It took longer than it may.
     */
    CHATPROTO_TIMEOUT = 62,
    /**
     * The connection is closed.
     */
    CHATPROTO_CLOSED = 63,
    /**
     * The message is longer than the server can take; it was not sent.
     */
    CHATPROTO_FRAME_TOO_LONG = 64,
    /**
     * The operating system refused.
     */
    CHATPROTO_IO = 65,
    /**
     * So much waits to be written that no more is taken; write first.
     */
    CHATPROTO_QUEUE_FULL = 66,
    /**
     * TLS cannot be had, or the server is not the one that is trusted; the last error says which
     * check failed.
     */
    CHATPROTO_TLS = 67,
    /**
     * The server did not open the WebSocket, or violated its rules; the last error says why.
     */
    CHATPROTO_WEBSOCKET = 68,
    /**
     * The address cannot be listened on.
     */
    CHATPROTO_LISTEN = 80,
    /**
     * The limits leave no room to speak the protocol.
     */
    CHATPROTO_LIMITS = 81,
    /**
     * The endpoint cannot be registered.
     */
    CHATPROTO_ENDPOINT = 82,
    /**
     * A thread of the server failed: a defect.
     */
    CHATPROTO_SERVER_FAILED = 83,
} chatproto_result;

/**
 * The answer to a request, to be filled by the callback.
 */
typedef struct chatproto_answer chatproto_answer;

/**
 * A connection to a server, registered under a name. Several threads may use it, for instance one
 * that sends and one that receives; it is given up once, with `chatproto_client_close` or
 * `chatproto_client_free`, when no other thread uses it any more.
 *
 * Memory: a server cannot make a client grow. It reads the socket only when no message lies there,
 * and holds the messages of one read (16 KiB, or 48 KiB with TLS), one incomplete message of at most
 * `max_frame` bytes, and what was queued and not written (see `chatproto_client_queue`). The messages
 * that were given out are the caller's.
 */
typedef struct chatproto_client chatproto_client;

/**
 * Finds and judges the frames of one stream. One thread at a time; freed once, with
 * `chatproto_decoder_free`.
 */
typedef struct chatproto_decoder chatproto_decoder;

/**
 * A message that owns its strings. It never changes, so that any number of threads may read it;
 * it is freed once, with `chatproto_message_free`.
 */
typedef struct chatproto_message chatproto_message;

/**
 * A server that runs. Any number of threads may use it; it is freed once, with
 * `chatproto_server_free`.
 */
typedef struct chatproto_server chatproto_server;

/**
 * The names of the users that were there when they were asked for. It never changes, so that any
 * number of threads may read it; it is freed once, with `chatproto_users_free`.
 */
typedef struct chatproto_users chatproto_users;

/**
 * A string: `len` bytes of UTF-8 at `ptr`, which need no NUL behind them and may have one inside.
 * One that is given to a function is only read during the call. One that comes from a function
 * lives as long as that function's documentation says; its `ptr` is never NULL.
 *
 * An empty one may have a NULL `ptr`. See `chatproto_str_of` for one of a C string.
 */
typedef struct chatproto_str {
    /**
     * The first byte.
     */
    const char *ptr;
    /**
     * How many bytes there are.
     */
    size_t len;
} chatproto_str;

/**
 * How a client is to connect. Take `chatproto_client_options_default`, which sets the defaults, and
 * change what is to be different. Only read by `chatproto_client_connect_with`. Later versions may
 * have more members, whose zero is the default.
 */
typedef struct chatproto_client_options {
    /**
     * `sizeof (chatproto_client_options)`, so that the library knows the header it was compiled with.
     */
    size_t size;
    /**
     * How long connecting and registering may take: 0 does not wait, and a negative one waits for
     * ever. Default 10,000.
     */
    int timeout_ms;
    /**
     * TLS, with a server whose certificate is from an authority that the system trusts. A URL that begins
     * with `wss://` turns it on too.
     */
    bool tls;
    /**
     * TLS, with a server whose certificate is from an authority in this PEM file, or is in it itself.
     */
    struct chatproto_str tls_ca_file;
    /**
     * TLS, with the server whose certificate has this SHA-256, in hexadecimal digits with or without
     * colons, whatever its names and dates.
     */
    struct chatproto_str tls_fingerprint;
    /**
     * The name that the certificate must be for. Default: the host of the address.
     */
    struct chatproto_str tls_server_name;
    /**
     * The client's own certificate, a PEM file, for a server that asks for one.
     */
    struct chatproto_str tls_certificate_file;
    /**
     * Its private key, a PEM file without a password.
     */
    struct chatproto_str tls_key_file;
    /**
     * The longest message in bytes, in either direction, from 128 to 1 GiB; 0 is 64 KiB. Default 0.
     */
    size_t max_frame;
    /**
     * The connection is lost (`CHATPROTO_IO`) when the server's system was silent for so long: TCP
     * keep-alive, and on Linux the TCP user time-out. 0 or less leaves both as the system has them.
     * Default 90,000.
     */
    int keep_alive_ms;
    /**
     * The client asks a server with `/ping` when nothing came for so long, while it waits for messages
     * or is processed. The connection is lost (`CHATPROTO_IO`) if nothing comes for as long again. 0
     * or less: no `/ping`s. Default 0.
     */
    int ping_interval_ms;
} chatproto_client_options;

/**
 * The four strings of a message. The protocol has no others, so this struct never changes.
 */
typedef struct chatproto_fields {
    /**
     * `from.name`: who wrote it.
     */
    struct chatproto_str name;
    /**
     * `from.ip`: their address.
     */
    struct chatproto_str ip;
    /**
     * `to`: a user, a room, a command.
     */
    struct chatproto_str to;
    /**
     * `msg`: the text.
     */
    struct chatproto_str msg;
} chatproto_fields;

/**
 * A JSON string token, as it stands between its quotes.
 */
typedef struct chatproto_json_str {
    /**
     * The token, escapes and all. Every escape is well-formed, every surrogate has its pair.
     */
    struct chatproto_str raw;
    /**
     * Whether there are escapes. If not, `raw` is the text; if so, `chatproto_json_str_unescape`
     * gives it.
     */
    bool escaped;
} chatproto_json_str;

/**
 * A message whose strings stay where they are, in the bytes of a frame.
 */
typedef struct chatproto_message_ref {
    /**
     * `from.name`, as the sender wrote it.
     */
    struct chatproto_json_str name;
    /**
     * `from.ip`, as the sender wrote it.
     */
    struct chatproto_json_str ip;
    /**
     * `to`: a user, a room, a command.
     */
    struct chatproto_json_str to;
    /**
     * `msg`: the text.
     */
    struct chatproto_json_str msg;
} chatproto_message_ref;

/**
 * Details of the last error: see `chatproto_last_error_detail`. Later versions may have more members.
 */
typedef struct chatproto_error_detail {
    /**
     * `sizeof (chatproto_error_detail)`, to be set by the caller, so that the library writes no more
     * than the caller's header has.
     */
    size_t size;
    /**
     * The result that the call gave.
     */
    enum chatproto_result result;
    /**
     * For framing and schema errors: the offset of what was wrong, in bytes from the first one of
     * the input. The input of a stream begins with the first byte that the decoder was ever fed.
     */
    uint64_t offset;
    /**
     * The same from the first byte of the object concerned.
     */
    uint64_t offset_in_frame;
    /**
     * The field concerned, such as `from.name`; empty if there is none. Static: it lives for ever.
     */
    struct chatproto_str field;
    /**
     * The sentence, as `chatproto_last_error` gives it.
     */
    struct chatproto_str sentence;
} chatproto_error_detail;

/**
 * A command that a user sent. Its strings live until the callback returns.
 */
typedef struct chatproto_request {
    /**
     * The user who sent it.
     */
    struct chatproto_str user;
    /**
     * The endpoint's name.
     */
    struct chatproto_str endpoint;
    /**
     * The text, without the endpoint's name at its start.
     */
    struct chatproto_str msg;
} chatproto_request;

/**
 * Answers a command that a user sent to an endpoint. `request` and `answer` live until it returns;
 * `user_data` is that of the endpoint. Without `chatproto_answer_text` or
 * `chatproto_answer_refuse` the user is told that there was no answer.
 *
 * It is called on threads of the server's own, several at once, may block, and must not let an
 * exception of C++ out.
 */
typedef void (*chatproto_endpoint_fn)(void *user_data,
                                      const struct chatproto_request *request,
                                      struct chatproto_answer *answer);

/**
 * An endpoint: a command that users send with `to` = its name.
 */
typedef struct chatproto_endpoint {
    /**
     * `/` and 1 to 32 letters, digits, `-` or `_`.
     */
    struct chatproto_str name;
    /**
     * The sentence that `/help` shows for it.
     */
    struct chatproto_str help;
    /**
     * What answers it.
     */
    chatproto_endpoint_fn handler;
    /**
     * What `handler` is given. It must stay valid until `chatproto_server_free` has returned, and
     * is used by several threads at once.
     */
    void *user_data;
} chatproto_endpoint;

/**
 * How a server is to be. Take `chatproto_server_options_default` and change what is to be different:
 * everything that is 0, empty or NULL is the default. Only read by `chatproto_server_start`.
 */
typedef struct chatproto_server_options {
    /**
     * `sizeof (chatproto_server_options)`, so that the library knows the header it was compiled with.
     */
    size_t size;
    /**
     * Where to listen: a host and a port from 0 to 65535. Port 0 takes any free one. A port alone, such
     * as `7000`, is one of 127.0.0.1; the port of a host alone is 65432. The name of a host is looked
     * up, and the first of its addresses that can be listened on is taken. An incomplete IPv4 address,
     * such as `0:7000`, is refused. Default `127.0.0.1:65432`.
     */
    struct chatproto_str address;
    /**
     * Endpoints of the application's own.
     */
    const struct chatproto_endpoint *endpoints;
    /**
     * The length of `endpoints`.
     */
    size_t endpoint_count;
    /**
     * The token with which a user becomes an admin, by `/admin`. Default: nobody can.
     */
    struct chatproto_str admin_token;
    /**
     * Longest object in bytes. Default 64 KiB.
     */
    size_t max_frame;
    /**
     * Most connections at a time. Default: no bound.
     */
    size_t max_connections;
    /**
     * Most connections of one address that is not loopback, or of one IPv6 network of 64 bits.
     * Default 64.
     */
    size_t max_per_address;
    /**
     * Messages a second that one connection may send in the long run. Above it, the server pauses
     * reading; nothing is lost. Default 100. `CHATPROTO_UNLIMITED` turns off this limit and the
     * limit of bytes, which is 192 KiB a second.
     */
    uint32_t rate_per_second;
    /**
     * Messages that it may send at once after it was quiet. Default twice the rate.
     */
    uint32_t rate_burst;
    /**
     * Event loops, each a thread. Default: one a core, four at most.
     */
    uint32_t threads;
    /**
     * Threads that run the endpoints. Default 4.
     */
    uint32_t worker_threads;
    /**
     * A connection that reads too slowly loses its oldest messages, and is told how many, instead
     * of being closed.
     */
    bool drop_oldest;
    /**
     * Everybody is told who comes and goes.
     */
    bool announce;
    /**
     * With TLS, a client that sends a name in text is refused.
     */
    bool tls_only;
    /**
     * Certificate, a PEM file, to speak TLS too, on the same port. Default: text only.
     */
    struct chatproto_str tls_certificate_file;
    /**
     * Its private key, a PEM file without a password.
     */
    struct chatproto_str tls_key_file;
} chatproto_server_options;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the library that is running, such as `0.1.0`; `CHATPROTO_VERSION` is that of the
 * header. NUL-terminated and static: not to be freed.
 *
 * Threads: any. It cannot fail.
 */
const char *chatproto_version(void);

/**
 * Connects to a server, registers under a name, and waits for the welcome. `address` is a host and a
 * port, such as `chat.example:65432`, `127.0.0.1:65432` or `[::1]:65432`. Or it is the URL of a
 * WebSocket, such as `ws://127.0.0.1:8080/ws`, or `wss://chat.example` with TLS. A URL without a port
 * has port 80, with TLS 443. A URL without a path has `/ws`. The name of a host is looked up, for as
 * long as the system takes, and its addresses are tried one after the other. All else takes
 * `timeout_ms` at most: 0 does not wait, and a negative one waits for ever. Everything else is as in
 * `chatproto_client_options_default`. `*client` is the caller's, to be given up with
 * `chatproto_client_close` or `chatproto_client_free`; NULL unless the result is `CHATPROTO_OK`.
 *
 * Results: `CHATPROTO_OK`. `CHATPROTO_INVALID_NAME` if no server would take the name, and nothing was
 * sent. `CHATPROTO_REFUSED` if the server did not, and the last error is its reason.
 * `CHATPROTO_TIMEOUT`, `CHATPROTO_CLOSED`, `CHATPROTO_IO`. Those from 20 to 59 if what answered is no
 * chat server. `CHATPROTO_WEBSOCKET` if the server did not open the WebSocket, or violated its rules.
 * For `wss://` `CHATPROTO_TLS` and `CHATPROTO_UNSUPPORTED`, as of `chatproto_client_connect_with`.
 * `CHATPROTO_INVALID_ARGUMENT` if the address is no host and port and no such URL.
 * `CHATPROTO_NULL_POINTER`, `CHATPROTO_NOT_UTF8`, `CHATPROTO_PANICKED`.
 *
 * Threads: any. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `address` and `name` are as `chatproto_str` describes; `client` is NULL or may be written.
 */
enum chatproto_result chatproto_client_connect(struct chatproto_str address,
                                               struct chatproto_str name,
                                               int timeout_ms,
                                               struct chatproto_client **client);

/**
 * Connects as the options say, and else as `chatproto_client_connect` does; `options` may be NULL
 * for the defaults, and is only read during the call.
 *
 * Results: those of `chatproto_client_connect`; `CHATPROTO_TLS` if TLS cannot be had, or the server
 * is not the one that is trusted, and the name was not sent; `CHATPROTO_UNSUPPORTED` if the library
 * was built without TLS; `CHATPROTO_INVALID_ARGUMENT` if `size` is wrong or the options do not fit
 * together.
 *
 * Threads: any. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `address`, `name` and the strings of the options are as `chatproto_str` describes; `options` is
 * NULL or points to options; `client` is NULL or may be written.
 */
enum chatproto_result chatproto_client_connect_with(struct chatproto_str address,
                                                    struct chatproto_str name,
                                                    const struct chatproto_client_options *options,
                                                    struct chatproto_client **client);

/**
 * Sends a message to a user, a room or a command. Returns when the system has taken it: it waits
 * while the server does not read, and as long as the pace of a server of the old kind asks for.
 * Another thread ends the waiting with `chatproto_client_shutdown`.
 *
 * Results: `CHATPROTO_OK`; `CHATPROTO_FRAME_TOO_LONG` if the server could not take it, and nothing
 * was sent; `CHATPROTO_CLOSED`, `CHATPROTO_IO`; `CHATPROTO_NULL_POINTER`, `CHATPROTO_NOT_UTF8`,
 * `CHATPROTO_INVALID_ARGUMENT`, `CHATPROTO_POISONED`, `CHATPROTO_PANICKED`.
 *
 * Threads: any, also several at once. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `client` is NULL or a client that was not given up; `to` and `msg` are as `chatproto_str`
 * describes.
 */
enum chatproto_result chatproto_client_send(const struct chatproto_client *client,
                                            struct chatproto_str to,
                                            struct chatproto_str msg);

/**
 * Sends a message without ever waiting, for event loops: what the system does not take at once is
 * kept, and written by `chatproto_client_process`.
 *
 * Results: those of `chatproto_client_send`, and `CHATPROTO_QUEUE_FULL` if 1 MiB is kept already:
 * the message was not taken, and can be once more was written.
 *
 * Threads: any, also several at once. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * As for `chatproto_client_send`.
 */
enum chatproto_result chatproto_client_queue(const struct chatproto_client *client,
                                             struct chatproto_str to,
                                             struct chatproto_str msg);

/**
 * Waits for the next message, for `timeout_ms` at most; 0 gives what has come already, a negative
 * one waits until something comes. `*message` is the caller's, to be freed with
 * `chatproto_message_free`; NULL unless the result is `CHATPROTO_OK`.
 *
 * Results: `CHATPROTO_OK`. `CHATPROTO_TIMEOUT`, and the connection is as before.
 * `CHATPROTO_CLOSED` when the server has closed, or `chatproto_client_shutdown` was called.
 * `CHATPROTO_IO`. `CHATPROTO_WEBSOCKET` if the server violated the rules of WebSocket. Those from 40 to
 * 59 if the server sent something that is no message, after which the next call goes on. Those from 20
 * to 39 likewise, after which it is `CHATPROTO_CLOSED`.
 * `CHATPROTO_NULL_POINTER`, `CHATPROTO_POISONED`, `CHATPROTO_PANICKED`.
 *
 * Threads: any, also several at once; each message is given to one of them. No function of this
 * library ever unwinds into its caller.
 *
 * What the caller promises:
 * `client` is NULL or a client that was not given up; `message` is NULL or may be written.
 */
enum chatproto_result chatproto_client_recv(const struct chatproto_client *client,
                                            int timeout_ms,
                                            struct chatproto_message **message);

/**
 * The socket, for an event loop to wait on: see `chatproto_client_events`. It belongs to the client
 * and must be neither read, written nor closed. `*fd` is -1 unless the result is `CHATPROTO_OK`.
 *
 * Results: `CHATPROTO_OK`; `CHATPROTO_NULL_POINTER`, `CHATPROTO_POISONED`.
 *
 * Threads: any, also several at once. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `client` is NULL or a client that was not given up; `fd` is NULL or may be written.
 */
enum chatproto_result chatproto_client_fd(const struct chatproto_client *client, int *fd);

/**
 * What an event loop is to wait for on the socket: a sum of `CHATPROTO_READABLE` and
 * `CHATPROTO_WRITABLE`, which may change with every other call. One turn of the loop is
 *
 * 1. `chatproto_client_next` until it gives `CHATPROTO_NEED_MORE`: nothing is read from the socket
 *    while messages lie there that were not taken;
 * 2. `poll` with this, and for as long as `chatproto_client_timeout_ms` says;
 * 3. `chatproto_client_process`.
 *
 * `*events` is 0 unless the result is `CHATPROTO_OK`.
 *
 * Results: `CHATPROTO_OK`; `CHATPROTO_NULL_POINTER`, `CHATPROTO_POISONED`, `CHATPROTO_PANICKED`.
 *
 * Threads: any, also several at once. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `client` is NULL or a client that was not given up; `events` is NULL or may be written.
 */
enum chatproto_result chatproto_client_events(const struct chatproto_client *client,
                                              unsigned int *events);

/**
 * How many milliseconds an event loop may wait at most before it calls `chatproto_client_process`:
 * -1 for as long as it likes, 0 not at all, as messages lie there, one can be sent, or it is over.
 * `*timeout_ms` is -1 unless the result is `CHATPROTO_OK`.
 *
 * Results: `CHATPROTO_OK`; `CHATPROTO_NULL_POINTER`, `CHATPROTO_POISONED`, `CHATPROTO_PANICKED`.
 *
 * Threads: any, also several at once. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `client` is NULL or a client that was not given up; `timeout_ms` is NULL or may be written.
 */
enum chatproto_result chatproto_client_timeout_ms(const struct chatproto_client *client,
                                                  int *timeout_ms);

/**
 * Reads and writes what can be without waiting. To be called when the socket is ready, and when the
 * time of `chatproto_client_timeout_ms` has passed; a call too many does no harm.
 *
 * Results: `CHATPROTO_OK`; once all messages were taken, `CHATPROTO_CLOSED` and `CHATPROTO_IO` if
 * the connection is over; `CHATPROTO_NULL_POINTER`, `CHATPROTO_POISONED`, `CHATPROTO_PANICKED`.
 *
 * Threads: any, also several at once. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `client` is NULL or a client that was not given up.
 */
enum chatproto_result chatproto_client_process(const struct chatproto_client *client);

/**
 * Takes a message that has come, without reading the socket. `*message` is the caller's, to be freed
 * with `chatproto_message_free`; NULL unless the result is `CHATPROTO_OK`.
 *
 * Results: `CHATPROTO_OK`; `CHATPROTO_NEED_MORE` if there is none; else those of
 * `chatproto_client_recv`, `CHATPROTO_TIMEOUT` excepted.
 *
 * Threads: any, also several at once. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `client` is NULL or a client that was not given up; `message` is NULL or may be written.
 */
enum chatproto_result chatproto_client_next(const struct chatproto_client *client,
                                            struct chatproto_message **message);

/**
 * Writes the name under which the server knows the client into `buffer`, normalised and without a NUL.
 * It follows the server, as the messages with which it tells a new name are taken: after `/nick`, after
 * `/login`, and for a guest from the beginning. `*length` is how many bytes it has, at most
 * `CHATPROTO_NAME_MAX`; it is written on `CHATPROTO_BUFFER_TOO_SMALL` too, and is 0 after other errors.
 * With a `capacity` of 0, `buffer` may be NULL: that asks for the length.
 *
 * Results: `CHATPROTO_OK`; `CHATPROTO_BUFFER_TOO_SMALL`; `CHATPROTO_NULL_POINTER`,
 * `CHATPROTO_POISONED`.
 *
 * Threads: any, also several at once. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `client` is NULL or a client that was not given up; `buffer` is NULL or points to `capacity` bytes
 * that may be written; `length` is NULL or may be written.
 */
enum chatproto_result chatproto_client_name(const struct chatproto_client *client,
                                            char *buffer,
                                            size_t capacity,
                                            size_t *length);

/**
 * The server's welcome. Its strings live as long as the client, and are empty unless the result is
 * `CHATPROTO_OK`.
 *
 * Results: `CHATPROTO_OK`; `CHATPROTO_NULL_POINTER`, `CHATPROTO_POISONED`.
 *
 * Threads: any, also several at once. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `client` is NULL or a client that was not given up; `welcome` is NULL or may be written.
 */
enum chatproto_result chatproto_client_welcome(const struct chatproto_client *client,
                                               struct chatproto_fields *welcome);

/**
 * Ends the connection at once, in both directions: whoever waits in another thread returns with
 * `CHATPROTO_CLOSED`. The client is still to be given up.
 *
 * Results: `CHATPROTO_OK`, also if it has ended before; `CHATPROTO_NULL_POINTER`,
 * `CHATPROTO_POISONED`.
 *
 * Threads: any, also several at once. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `client` is NULL or a client that was not given up.
 */
enum chatproto_result chatproto_client_shutdown(const struct chatproto_client *client);

/**
 * Closes a connection in good order and frees the client, whatever the result: writes what is kept,
 * says that nothing more will come, lets the server answer all that it was sent, throws those answers
 * away, and closes when the server does, or after 2 s, however much comes. NULL is answered with
 * `CHATPROTO_NULL_POINTER`.
 *
 * Results: `CHATPROTO_OK`; `CHATPROTO_TIMEOUT`, `CHATPROTO_CLOSED` and `CHATPROTO_IO` if what was
 * sent may not have arrived; `CHATPROTO_NULL_POINTER`, `CHATPROTO_POISONED`, `CHATPROTO_PANICKED`.
 *
 * Threads: any, once no other uses it. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `client` is NULL or a client that was not given up.
 */
enum chatproto_result chatproto_client_close(struct chatproto_client *client);

/**
 * Frees a client and closes its connection at once: what was sent last may be lost, and nothing
 * waits. NULL is nothing.
 *
 * Threads: any, once no other uses it. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `client` is NULL or a client that was not given up.
 */
void chatproto_client_free(struct chatproto_client *client);

/**
 * Decodes exactly one object, with white space around it at most, under the default limits.
 * Nothing is copied: the tokens of `*message` point into `input` and live as long as those bytes
 * stay there unchanged. They are four empty ones unless the result is `CHATPROTO_OK`. For bytes
 * that come in pieces, or several objects, there is `chatproto_decoder`.
 *
 * Results: `CHATPROTO_OK`; those from 20 to 59; `CHATPROTO_NULL_POINTER`,
 * `CHATPROTO_INVALID_ARGUMENT`, `CHATPROTO_PANICKED`.
 *
 * Threads: any. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `input` is NULL or points to `len` bytes that may be read; `message` is NULL or may be written.
 */
enum chatproto_result chatproto_decode(const void *input,
                                       size_t len,
                                       struct chatproto_message_ref *message);

/**
 * Writes the text of a token into `buffer`, unescaped, without a NUL. `*length` is how many bytes
 * it has; it is written on `CHATPROTO_BUFFER_TOO_SMALL` too, when what is in the buffer means
 * nothing, and is 0 after other errors. With a `capacity` of 0, `buffer` may be NULL: that asks for
 * the length. A buffer of `raw.len` bytes is always enough.
 *
 * Results: `CHATPROTO_OK`; `CHATPROTO_BUFFER_TOO_SMALL`; `CHATPROTO_INVALID_ARGUMENT` if it is not
 * a token that this library gave, `CHATPROTO_NULL_POINTER`, `CHATPROTO_NOT_UTF8`,
 * `CHATPROTO_PANICKED`.
 *
 * Threads: any. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `token` is NULL or points to a token whose bytes are still there; `buffer` is NULL or points to
 * `capacity` bytes that may be written, none of them the token's; `length` is NULL or may be
 * written.
 */
enum chatproto_result chatproto_json_str_unescape(const struct chatproto_json_str *token,
                                                  char *buffer,
                                                  size_t capacity,
                                                  size_t *length);

/**
 * Makes a decoder. `max_frame` is the longest object in bytes, at most 1 GiB; 0 is the default,
 * 64 KiB. With `strict`, keys that the schema does not have are an error instead of ignored.
 * `*decoder` is the caller's, to be freed with `chatproto_decoder_free`; NULL unless the result is
 * `CHATPROTO_OK`.
 *
 * Results: `CHATPROTO_OK`; `CHATPROTO_NULL_POINTER`, `CHATPROTO_INVALID_ARGUMENT` if `max_frame` is
 * more than 1 GiB, `CHATPROTO_PANICKED`.
 *
 * Threads: any. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `decoder` is NULL or may be written.
 */
enum chatproto_result chatproto_decoder_new(size_t max_frame,
                                            bool strict,
                                            struct chatproto_decoder **decoder);

/**
 * Gives the next bytes of the stream to the decoder, which copies them. Any number may come at a
 * time, 0 too. Call `chatproto_decoder_next` afterwards until it gives `CHATPROTO_NEED_MORE`: bytes
 * that were not asked for pile up. The views of the last message are gone.
 *
 * Results: `CHATPROTO_OK`; `CHATPROTO_NULL_POINTER`, `CHATPROTO_INVALID_ARGUMENT`,
 * `CHATPROTO_POISONED`, `CHATPROTO_PANICKED`.
 *
 * Threads: one at a time. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `decoder` is NULL or a decoder that was not freed; `input` is NULL or points to `len` bytes that
 * may be read.
 */
enum chatproto_result chatproto_decoder_feed(struct chatproto_decoder *decoder,
                                             const void *input,
                                             size_t len);

/**
 * Takes the next message from what was fed. The tokens of `*message` belong to the decoder and live
 * until the next call with it. They are four empty ones unless the result is `CHATPROTO_OK`.
 *
 * Results: `CHATPROTO_OK`; `CHATPROTO_NEED_MORE` when all that was fed is used up; those from 40
 * to 59 (schema), after which the next call goes on behind the object; those from 20 to 39
 * (framing), which are final: every later call gives the same; `CHATPROTO_NULL_POINTER`,
 * `CHATPROTO_POISONED`, `CHATPROTO_PANICKED`.
 *
 * Threads: one at a time. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `decoder` is NULL or a decoder that was not freed; `message` is NULL or may be written.
 */
enum chatproto_result chatproto_decoder_next(struct chatproto_decoder *decoder,
                                             struct chatproto_message_ref *message);

/**
 * Says that the stream has ended, once `chatproto_decoder_next` gave `CHATPROTO_NEED_MORE`.
 *
 * Results: `CHATPROTO_OK`; `CHATPROTO_UNEXPECTED_END` if it ended inside an object;
 * `CHATPROTO_WRONG_STATE` if there are bytes that were not asked for; the framing error that was
 * met before; `CHATPROTO_NULL_POINTER`, `CHATPROTO_POISONED`, `CHATPROTO_PANICKED`.
 *
 * Threads: one at a time. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `decoder` is NULL or a decoder that was not freed.
 */
enum chatproto_result chatproto_decoder_finish(struct chatproto_decoder *decoder);

/**
 * Frees a decoder, and the views of its last message. NULL is nothing.
 *
 * Threads: any, once no other uses it. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `decoder` is NULL or a decoder that was not freed.
 */
void chatproto_decoder_free(struct chatproto_decoder *decoder);

/**
 * Writes a message as it goes over the wire: one object in the compact form, and the line feed
 * that ends it. `*length` is how many bytes that is; it is written on `CHATPROTO_BUFFER_TOO_SMALL`
 * too, when nothing else is, and is 0 after other errors. With a `capacity` of 0, `buffer` may be
 * NULL: that asks for the length. No NUL is written.
 *
 * Results: `CHATPROTO_OK`; `CHATPROTO_BUFFER_TOO_SMALL`; `CHATPROTO_NULL_POINTER`,
 * `CHATPROTO_NOT_UTF8`, `CHATPROTO_INVALID_ARGUMENT`, `CHATPROTO_PANICKED`.
 *
 * Threads: any. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `fields` is NULL or points to four strings as `chatproto_str` describes them; `buffer` is NULL or
 * points to `capacity` bytes that may be written; `length` is NULL or may be written.
 */
enum chatproto_result chatproto_encode(const struct chatproto_fields *fields,
                                       char *buffer,
                                       size_t capacity,
                                       size_t *length);

/**
 * Writes what Python's `json.dumps` prints for the message with its defaults, byte for byte: ASCII
 * only, spaces after `,` and `:`, no line feed. For peers that read one object at a time, whose
 * limit is 1024 bytes. The parameters are those of `chatproto_encode`.
 *
 * Results: as for `chatproto_encode`.
 *
 * Threads: any. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * As for `chatproto_encode`.
 */
enum chatproto_result chatproto_encode_python(const struct chatproto_fields *fields,
                                              char *buffer,
                                              size_t capacity,
                                              size_t *length);

/**
 * Makes a message of four strings, which are copied. `*message` is the caller's, to be freed with
 * `chatproto_message_free`; NULL unless the result is `CHATPROTO_OK`.
 *
 * Results: `CHATPROTO_OK`; `CHATPROTO_NULL_POINTER`, `CHATPROTO_NOT_UTF8`,
 * `CHATPROTO_INVALID_ARGUMENT`, `CHATPROTO_PANICKED`.
 *
 * Threads: any. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `fields` is NULL or points to four strings as `chatproto_str` describes them; `message` is NULL
 * or may be written.
 */
enum chatproto_result chatproto_message_new(const struct chatproto_fields *fields,
                                            struct chatproto_message **message);

/**
 * Decodes exactly one object, with white space around it at most, into a message that owns its
 * strings, unescaped: `chatproto_decode` with copies. `*message` is the caller's, to be freed with
 * `chatproto_message_free`; NULL unless the result is `CHATPROTO_OK`.
 *
 * Results: `CHATPROTO_OK`; those from 20 to 59; `CHATPROTO_NULL_POINTER`,
 * `CHATPROTO_INVALID_ARGUMENT`, `CHATPROTO_PANICKED`.
 *
 * Threads: any. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `input` is NULL or points to `len` bytes that may be read; `message` is NULL or may be written.
 */
enum chatproto_result chatproto_message_decode(const void *input,
                                               size_t len,
                                               struct chatproto_message **message);

/**
 * Gives the four strings of a message, unescaped. They belong to the message and live as long as
 * it does. `*fields` is four empty strings unless the result is `CHATPROTO_OK`.
 *
 * Results: `CHATPROTO_OK`; `CHATPROTO_NULL_POINTER`.
 *
 * Threads: any, also several at once. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `message` is NULL or a message that was not freed; `fields` is NULL or may be written.
 */
enum chatproto_result chatproto_message_read(const struct chatproto_message *message,
                                             struct chatproto_fields *fields);

/**
 * Frees a message. NULL is nothing.
 *
 * Threads: any, once no other uses it. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `message` is NULL or a message that was not freed. Its strings are gone.
 */
void chatproto_message_free(struct chatproto_message *message);

/**
 * What a result means, in general: a static sentence, NUL-terminated, not to be freed. Any number
 * may be given. What exactly was wrong is said by `chatproto_last_error`.
 *
 * Threads: any. It cannot fail.
 */
const char *chatproto_result_str(unsigned int result);

/**
 * The error of the last call of this thread that failed, as a sentence for a person: the
 * reason, the field, the offset. Calls that succeed, and `CHATPROTO_NEED_MORE` and
 * `CHATPROTO_BUFFER_TOO_SMALL`, leave it as it is; before the first failure it is empty.
 *
 * The bytes belong to the library and are valid until the next call of the same thread that fails.
 * A NUL follows them that `len` does not count.
 *
 * Threads: any; each has its own. It cannot fail.
 */
struct chatproto_str chatproto_last_error(void);

/**
 * Writes the details of the last error of this thread, which live as long as
 * `chatproto_last_error` says. Set `detail->size` first. Before the first failure `result` is
 * `CHATPROTO_OK`. Nothing is written unless the result is `CHATPROTO_OK`.
 *
 * Results: `CHATPROTO_OK`; `CHATPROTO_INVALID_ARGUMENT` if `size` was not set;
 * `CHATPROTO_NULL_POINTER`.
 *
 * Threads: any; each has its own.
 *
 * What the caller promises:
 * `detail` is NULL or points to a `chatproto_error_detail` of `size` bytes that may be written.
 */
enum chatproto_result chatproto_last_error_detail(struct chatproto_error_detail *detail);

/**
 * Starts a server, which runs on threads of its own. `options` may be NULL for the defaults; it, its
 * strings and its array of endpoints are only read during the call. `*server` is the caller's, to be
 * freed with `chatproto_server_free`; NULL unless the result is `CHATPROTO_OK`.
 *
 * Results: `CHATPROTO_OK`; `CHATPROTO_LISTEN` if the address is in use or not this machine's;
 * `CHATPROTO_LIMITS`, `CHATPROTO_ENDPOINT`, `CHATPROTO_IO`; `CHATPROTO_INVALID_ARGUMENT` if `size` is
 * wrong or the address is none; `CHATPROTO_TLS` if certificate and key cannot be used, and
 * `CHATPROTO_UNSUPPORTED` if the library was built without TLS; `CHATPROTO_NULL_POINTER`, `CHATPROTO_NOT_UTF8`,
 * `CHATPROTO_PANICKED`.
 *
 * Threads: any. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `options` is NULL or points to options whose strings are as `chatproto_str` describes, and whose
 * `endpoints` are `endpoint_count` many; `server` is NULL or may be written.
 */
enum chatproto_result chatproto_server_start(const struct chatproto_server_options *options,
                                             struct chatproto_server **server);

/**
 * The address it listens on, with the port that the system chose if it was asked to. The string
 * lives as long as the server, and is empty unless the result is `CHATPROTO_OK`.
 *
 * Results: `CHATPROTO_OK`; `CHATPROTO_NULL_POINTER`, `CHATPROTO_POISONED`.
 *
 * Threads: any, also several at once. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `server` is NULL or a server that was not freed; `address` is NULL or may be written.
 */
enum chatproto_result chatproto_server_address(const struct chatproto_server *server,
                                               struct chatproto_str *address);

/**
 * The port it listens on. `*port` is 0 unless the result is `CHATPROTO_OK`.
 *
 * Results: `CHATPROTO_OK`; `CHATPROTO_NULL_POINTER`, `CHATPROTO_POISONED`.
 *
 * Threads: any, also several at once. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `server` is NULL or a server that was not freed; `port` is NULL or may be written.
 */
enum chatproto_result chatproto_server_port(const struct chatproto_server *server, uint16_t *port);

/**
 * The names of the registered users, in no particular order, as they are now. `*users` is the
 * caller's, to be freed with `chatproto_users_free`, also after the server; NULL unless the result is
 * `CHATPROTO_OK`.
 *
 * Results: `CHATPROTO_OK`; `CHATPROTO_NULL_POINTER`, `CHATPROTO_POISONED`, `CHATPROTO_PANICKED`.
 *
 * Threads: any, also several at once. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `server` is NULL or a server that was not freed; `users` is NULL or may be written.
 */
enum chatproto_result chatproto_server_users(const struct chatproto_server *server,
                                             struct chatproto_users **users);

/**
 * How many names there are. `*count` is 0 unless the result is `CHATPROTO_OK`.
 *
 * Results: `CHATPROTO_OK`; `CHATPROTO_NULL_POINTER`.
 *
 * Threads: any, also several at once. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `users` is NULL or was not freed; `count` is NULL or may be written.
 */
enum chatproto_result chatproto_users_count(const struct chatproto_users *users, size_t *count);

/**
 * The name at an index, from 0 on. It lives as long as the list, and is empty unless the result is
 * `CHATPROTO_OK`.
 *
 * Results: `CHATPROTO_OK`; `CHATPROTO_INVALID_ARGUMENT` if there are not so many;
 * `CHATPROTO_NULL_POINTER`.
 *
 * Threads: any, also several at once. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `users` is NULL or was not freed; `name` is NULL or may be written.
 */
enum chatproto_result chatproto_users_name(const struct chatproto_users *users,
                                           size_t index,
                                           struct chatproto_str *name);

/**
 * Frees a list of names. NULL is nothing.
 *
 * Threads: any, once no other uses it. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `users` is NULL or was not freed.
 */
void chatproto_users_free(struct chatproto_users *users);

/**
 * Waits until the server has ended, for `timeout_ms` at most: 0 does not wait, and a negative one
 * waits for ever.
 *
 * Results: `CHATPROTO_OK` if it was stopped; `CHATPROTO_TIMEOUT` if it still runs;
 * `CHATPROTO_SERVER_FAILED` and `CHATPROTO_IO` if it failed; `CHATPROTO_NULL_POINTER`,
 * `CHATPROTO_POISONED`, `CHATPROTO_PANICKED`.
 *
 * Threads: any, also several at once. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `server` is NULL or a server that was not freed.
 */
enum chatproto_result chatproto_server_wait(const struct chatproto_server *server, int timeout_ms);

/**
 * Stops a server: it says goodbye to everybody, flushes for at most 5 s, and has ended when this
 * returns. Stopping again is no error. An endpoint's callback must not call it: it would wait for
 * itself.
 *
 * Results: those of `chatproto_server_wait`, `CHATPROTO_TIMEOUT` excepted.
 *
 * Threads: any, also several at once. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `server` is NULL or a server that was not freed.
 */
enum chatproto_result chatproto_server_stop(const struct chatproto_server *server);

/**
 * Stops a server if it runs, waits for the callbacks that are at work, and frees it: afterwards no
 * callback is called any more, and their user data may go. NULL is nothing. An endpoint's callback
 * must not call it: it would wait for itself.
 *
 * Threads: any, once no other uses it. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `server` is NULL or a server that was not freed. Its address is gone.
 */
void chatproto_server_free(struct chatproto_server *server);

/**
 * Answers with a text, which is copied; an earlier answer is replaced.
 *
 * Results: `CHATPROTO_OK`; `CHATPROTO_NULL_POINTER`, `CHATPROTO_NOT_UTF8`,
 * `CHATPROTO_INVALID_ARGUMENT`, `CHATPROTO_PANICKED`.
 *
 * Threads: one at a time, during the callback that was given `answer`. No function of this library
 * ever unwinds into its caller.
 *
 * What the caller promises:
 * `answer` is NULL or that of a callback that has not returned; `text` is as `chatproto_str`
 * describes.
 */
enum chatproto_result chatproto_answer_text(struct chatproto_answer *answer,
                                            struct chatproto_str text);

/**
 * Refuses: the user is shown the reason, which is copied, as an error. An earlier answer is replaced.
 *
 * Results: `CHATPROTO_OK`; `CHATPROTO_NULL_POINTER`, `CHATPROTO_NOT_UTF8`,
 * `CHATPROTO_INVALID_ARGUMENT`, `CHATPROTO_PANICKED`.
 *
 * Threads: one at a time, during the callback that was given `answer`. No function of this library
 * ever unwinds into its caller.
 *
 * What the caller promises:
 * As for `chatproto_answer_text`.
 */
enum chatproto_result chatproto_answer_refuse(struct chatproto_answer *answer,
                                              struct chatproto_str reason);

/**
 * Takes the next argument from the front of `*rest` and writes it to `buffer`, without a terminating NUL
 * and without its quotes. White space separates arguments. An argument with white space is in double
 * quotes, inside which `""` stands for one. Begin with the request's `msg`, and call this until there is
 * none.
 *
 * `*length` is the argument's length in bytes, also if `capacity` is too small for it: then nothing is
 * written and `*rest` is unchanged. After all other errors it is 0. An argument is never longer than
 * `rest->len` bytes. `*rest` stays a part of what it was.
 *
 * Results: `CHATPROTO_OK`; `CHATPROTO_NEED_MORE` if there is none; `CHATPROTO_BUFFER_TOO_SMALL`;
 * `CHATPROTO_INVALID_ARGUMENT` if a quote is not closed or text follows a closing quote, with a sentence
 * for the user in `chatproto_last_error`; `CHATPROTO_NULL_POINTER`, `CHATPROTO_NOT_UTF8`,
 * `CHATPROTO_PANICKED`.
 *
 * Threads: any. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `rest` is NULL or points to a string as `chatproto_str` describes, and may be written. `buffer` is NULL
 * or points to `capacity` bytes that may be written, none of them in `*rest`. `length` is NULL or may be
 * written.
 */
enum chatproto_result chatproto_argument(struct chatproto_str *rest,
                                         char *buffer,
                                         size_t capacity,
                                         size_t *length);

/**
 * Writes a name as one argument of a command: in double quotes if it is empty or has white space or a
 * double quote, which is doubled. There is no terminating NUL.
 *
 * `*length` is the number of bytes, also if `capacity` is too small for them: then nothing is written.
 * After all other errors it is 0. At most `2 * name.len + 2` bytes are needed.
 *
 * Results: `CHATPROTO_OK`, `CHATPROTO_BUFFER_TOO_SMALL`, `CHATPROTO_NULL_POINTER`, `CHATPROTO_NOT_UTF8`,
 * `CHATPROTO_INVALID_ARGUMENT`, `CHATPROTO_PANICKED`.
 *
 * Threads: any. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `name` is as `chatproto_str` describes. `buffer` is NULL or points to `capacity` bytes that may be
 * written, none of them in `name`. `length` is NULL or may be written.
 */
enum chatproto_result chatproto_as_argument(struct chatproto_str name,
                                            char *buffer,
                                            size_t capacity,
                                            size_t *length);

/**
 * Writes the IPv4 address of this machine in its network, or `127.0.0.1` if it has none. Nothing is
 * sent. `*length` is how many bytes it has, at most 15, without a NUL; it is written on
 * `CHATPROTO_BUFFER_TOO_SMALL` too, and is 0 after other errors.
 *
 * Results: `CHATPROTO_OK`; `CHATPROTO_BUFFER_TOO_SMALL`; `CHATPROTO_NULL_POINTER`,
 * `CHATPROTO_PANICKED`.
 *
 * Threads: any. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `buffer` is NULL or points to `capacity` bytes that may be written; `length` is NULL or may be
 * written.
 */
enum chatproto_result chatproto_get_local_ip(char *buffer, size_t capacity, size_t *length);

/**
 * Writes a message as text, in the form of Python's `json.dumps`, without a line feed:
 * `chatproto_encode_python` with four strings. `*length` is as there.
 *
 * Results: as for `chatproto_encode`.
 *
 * Threads: any. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * The strings are as `chatproto_str` describes; `buffer` is NULL or points to `capacity` bytes that may
 * be written; `length` is NULL or may be written.
 */
enum chatproto_result chatproto_create_json_msg(struct chatproto_str sender_name,
                                                struct chatproto_str sender_ip,
                                                struct chatproto_str target,
                                                struct chatproto_str text,
                                                char *buffer,
                                                size_t capacity,
                                                size_t *length);

/**
 * Finds the JSON value of a text, of any shape, as Python's `json.loads` does. C has no type for such
 * values: `*value` is the text of the value, without white space around it. It points into `data` and
 * lives as long as those bytes stay there unchanged. It is empty if the text is not JSON, which is no
 * error. `NaN` and `Infinity`, which Python takes, are not JSON, and no text with a byte order mark is.
 * `chatproto_decode` reads a message.
 *
 * Results: `CHATPROTO_OK`; `CHATPROTO_NOT_UTF8` if the bytes are not UTF-8; `CHATPROTO_NULL_POINTER`,
 * `CHATPROTO_INVALID_ARGUMENT`, `CHATPROTO_PANICKED`.
 *
 * Threads: any. No function of this library ever unwinds into its caller.
 *
 * What the caller promises:
 * `data` is NULL or points to `len` bytes that may be read; `value` is NULL or may be written.
 */
enum chatproto_result chatproto_decode_json_msg(const void *data,
                                                size_t len,
                                                struct chatproto_str *value);

/**
 * The shape of a message as text: what a server answers to `/standard`. Static and NUL-terminated: not
 * to be freed.
 *
 * Threads: any. It cannot fail.
 */
const char *chatproto_get_standard_json(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The string of a C string, without its NUL: for literals and other texts that end in one. NULL
 * gives the empty string. It lives as long as `text` does.
 */
static inline chatproto_str chatproto_str_of(const char *text) {
    chatproto_str string;
    string.ptr = text;
    string.len = text != NULL ? strlen(text) : 0;
    return string;
}

/**
 * The options of a client with the defaults.
 */
static inline chatproto_client_options chatproto_client_options_default(void) {
    chatproto_client_options options;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.timeout_ms = 10000;
    options.keep_alive_ms = 90000;
    return options;
}

/**
 * The options of a server with nothing set, which means the defaults.
 */
static inline chatproto_server_options chatproto_server_options_default(void) {
    chatproto_server_options options;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    return options;
}

#ifdef __cplusplus
}
#endif

#endif /* CHATPROTO_H */
