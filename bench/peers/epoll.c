/*
 * A server in C around epoll: what the system itself costs, and little more.
 *
 *     epoll WORK     with timestamp, lines, echo, udp or udp-ack
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 512, CHUNK = 262144, STAMP = 27 };

struct connection {
    int fd;
    char *unsent; /* of the last answer; while there is some, nothing is read */
    size_t length, done;
    char *rest; /* of a line whose end has not come */
    size_t rest_length;
};

static int poller;
static char chunk[CHUNK];

static void fail(const char *what) {
    perror(what);
    exit(1);
}

/* The stamp, made anew once a second. */
static const char *stamp(void) {
    static time_t second;
    static char text[STAMP + 1], date[26];
    time_t now = time(NULL);
    if (now != second) {
        second = now;
        ctime_r(&now, date);
        snprintf(text, sizeof text, "[%.24s] ", date);
    }
    return text;
}

static void watch(int operation, struct connection *one, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = one};
    if (epoll_ctl(poller, operation, one->fd, &event)) fail("epoll_ctl");
}

static void forget(struct connection *one) {
    close(one->fd);
    free(one->unsent);
    free(one->rest);
    free(one);
}

/* Sends at once; what the system does not take is kept. */
static int answer(struct connection *one, struct iovec *parts, int count) {
    ssize_t done = writev(one->fd, parts, count);
    if (done < 0 && errno != EAGAIN) return -1;
    if (done < 0) done = 0;
    size_t length = 0;
    for (int i = 0; i < count; i++) length += parts[i].iov_len;
    if ((size_t)done == length) return 0;
    one->unsent = malloc(length - (size_t)done);
    one->length = length - (size_t)done;
    one->done = 0;
    for (size_t i = 0, place = 0, skip = (size_t)done; i < (size_t)count; i++) {
        size_t skipped = skip < parts[i].iov_len ? skip : parts[i].iov_len;
        memcpy(one->unsent + place, (char *)parts[i].iov_base + skipped, parts[i].iov_len - skipped);
        place += parts[i].iov_len - skipped;
        skip -= skipped;
    }
    watch(EPOLL_CTL_MOD, one, EPOLLOUT);
    return 0;
}

static int go_on_sending(struct connection *one) {
    ssize_t done = send(one->fd, one->unsent + one->done, one->length - one->done, MSG_NOSIGNAL);
    if (done < 0) return errno == EAGAIN ? 0 : -1;
    one->done += (size_t)done;
    if (one->done == one->length) {
        free(one->unsent);
        one->unsent = NULL;
        watch(EPOLL_CTL_MOD, one, EPOLLIN);
    }
    return 0;
}

static int answer_lines(struct connection *one, char *data, size_t size) {
    static char *text;
    static size_t room;
    if (one->rest_length) {
        one->rest = realloc(one->rest, one->rest_length + size);
        memcpy(one->rest + one->rest_length, data, size);
        data = one->rest;
        size += one->rest_length;
    }
    size_t lines = 0, length = 0;
    char *at = data, *end = data + size, *newline;
    for (char *look = data; (look = memchr(look, '\n', (size_t)(end - look))); look++) lines++;
    if (size + lines * STAMP > room) text = realloc(text, room = 2 * (size + lines * STAMP));
    const char *now = stamp();
    while ((newline = memchr(at, '\n', (size_t)(end - at)))) {
        memcpy(text + length, now, STAMP);
        memcpy(text + length + STAMP, at, (size_t)(newline + 1 - at));
        length += STAMP + (size_t)(newline + 1 - at);
        at = newline + 1;
    }
    size_t rest = (size_t)(end - at);
    char *kept = rest ? memcpy(malloc(rest), at, rest) : NULL;
    free(one->rest);
    one->rest = kept;
    one->rest_length = rest;
    return length ? answer(one, &(struct iovec){text, length}, 1) : 0;
}

static int read_and_answer(struct connection *one, const char *work) {
    ssize_t size = recv(one->fd, chunk, CHUNK, 0);
    if (size < 0) return errno == EAGAIN ? 0 : -1;
    if (size == 0) return -1;
    if (*work == 'l') return answer_lines(one, chunk, (size_t)size);
    struct iovec parts[] = {{(char *)stamp(), STAMP}, {chunk, (size_t)size}};
    return *work == 't' ? answer(one, parts, 2) : answer(one, parts + 1, 1);
}

static void streams(int listener, const char *work) {
    struct epoll_event events[EVENTS];
    struct connection *listening = calloc(1, sizeof *listening);
    listening->fd = listener;
    watch(EPOLL_CTL_ADD, listening, EPOLLIN);
    for (;;) {
        int ready = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            struct connection *one = events[i].data.ptr;
            if (one == listening) {
                int on = 1, fd;
                while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                    one = calloc(1, sizeof *one);
                    one->fd = fd;
                    watch(EPOLL_CTL_ADD, one, EPOLLIN);
                }
            } else if ((one->unsent ? go_on_sending(one) : read_and_answer(one, work)) < 0) {
                forget(one);
            }
        }
    }
}

static void datagrams(int sock, int acknowledge) {
    static const char text[] = "Got your message!";
    struct sockaddr_in from;
    for (;;) {
        socklen_t length = sizeof from;
        if (recvfrom(sock, chunk, CHUNK, 0, (struct sockaddr *)&from, &length) >= 0 && acknowledge)
            sendto(sock, text, sizeof text - 1, 0, (struct sockaddr *)&from, length);
    }
}

int main(int count, char **arguments) {
    if (count != 2) return 2;
    const char *work = arguments[1];
    int datagram = *work == 'u', room = 1 << 30;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    poller = epoll_create1(EPOLL_CLOEXEC);
    int sock = socket(AF_INET, datagram ? SOCK_DGRAM : SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    if (bind(sock, (struct sockaddr *)&address, sizeof address)) fail("bind");
    if (datagram) setsockopt(sock, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    else if (listen(sock, 4096)) fail("listen");
    getsockname(sock, (struct sockaddr *)&address, &length);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    if (datagram) datagrams(sock, !strcmp(work, "udp-ack"));
    streams(sock, work);
}
