/* A client in an event loop: lines of the form `TO TEXT` from the standard input are sent, what comes
 * is printed, and neither waits for the other.
 *
 *     ./poll NAME [ADDRESS:PORT] */
#include <chatproto.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What others write may contain anything: control characters stay off the terminal. */
static void print(chatproto_str text, const char *end) {
    for (size_t at = 0; at < text.len; at++) {
        unsigned char c = (unsigned char)text.ptr[at];
        if (c >= 0x20 && c != 0x7f) putchar(c);
    }
    fputs(end, stdout);
}

/* Sends the line `TO TEXT`; a command may stand alone. */
static chatproto_result send_line(const chatproto_client *client, const char *line, size_t length) {
    const char *space = (const char *)memchr(line, ' ', length);
    chatproto_str to = {line, space != NULL ? (size_t)(space - line) : length};
    chatproto_str msg = chatproto_str_of("");
    if (space != NULL) {
        msg.ptr = space + 1;
        msg.len = length - to.len - 1;
    }
    return length == 0 ? CHATPROTO_OK : chatproto_client_queue(client, to, msg);
}

/* Takes the messages that have come, then says whether the connection goes on. */
static chatproto_result drain(const chatproto_client *client) {
    chatproto_message *message;
    chatproto_fields fields;
    chatproto_result result;
    while ((result = chatproto_client_next(client, &message)) == CHATPROTO_OK) {
        chatproto_message_read(message, &fields);
        print(fields.name, ": ");
        print(fields.msg, "\n");
        chatproto_message_free(message);
    }
    fflush(stdout);
    return result == CHATPROTO_NEED_MORE ? CHATPROTO_OK : result;
}

static chatproto_result talk(const chatproto_client *client) {
    char input[4096];
    size_t filled = 0;
    bool at_end = false;
    while (!at_end) {
        chatproto_result result = drain(client);
        if (result != CHATPROTO_OK) return result;
        unsigned events;
        int timeout_ms;
        struct pollfd wanted[2] = {{-1, 0, 0}, {STDIN_FILENO, POLLIN, 0}};
        chatproto_client_fd(client, &wanted[0].fd);
        chatproto_client_events(client, &events);
        chatproto_client_timeout_ms(client, &timeout_ms);
        wanted[0].events = (short)(((events & CHATPROTO_READABLE) ? POLLIN : 0) |
                                   ((events & CHATPROTO_WRITABLE) ? POLLOUT : 0));
        if (poll(wanted, 2, timeout_ms) < 0) continue;
        result = chatproto_client_process(client);
        if (result != CHATPROTO_OK) return result;
        if (wanted[1].revents == 0) continue;
        ssize_t count = read(STDIN_FILENO, input + filled, sizeof input - filled);
        at_end = count <= 0;
        filled += count > 0 ? (size_t)count : 0;
        char *end;
        while ((end = (char *)memchr(input, '\n', filled)) != NULL) {
            size_t length = (size_t)(end - input);
            if (send_line(client, input, length) != CHATPROTO_OK) {
                fprintf(stderr, "poll: %s\n", chatproto_last_error().ptr);
            }
            filled -= length + 1;
            memmove(input, end + 1, filled);
        }
        if (filled == sizeof input) filled = 0; /* no line is so long */
    }
    return CHATPROTO_OK;
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "alice";
    const char *address = argc > 2 ? argv[2] : "127.0.0.1:65432";
    chatproto_client *client;
    chatproto_result result =
        chatproto_client_connect(chatproto_str_of(address), chatproto_str_of(name), 10000, &client);
    if (result == CHATPROTO_OK) result = talk(client);
    if (result == CHATPROTO_OK) result = chatproto_client_close(client);
    else chatproto_client_free(client);
    if (result == CHATPROTO_OK || result == CHATPROTO_CLOSED) return 0;
    fprintf(stderr, "poll: %s\n", chatproto_last_error().ptr);
    return 1;
}
