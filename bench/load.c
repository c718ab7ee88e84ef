/*
 * The load: cheap enough that the server is what limits, and the same for every server.
 *
 *     load KIND --port P [options]
 *
 * tcp     connections that send messages and compare every byte of the answers: in a closed loop, --depth of them
 *         under way on each connection, or, with --rate, at absolute times, each latency counted from the time at
 *         which the message should have left (so a server that stalls is not asked less: no coordinated omission).
 *         Until one is due it looks for answers again and again; with --rest it sleeps, for whoever shares its core.
 * udp     datagrams, no two alike: --depth of them under way on each socket, or, with --rate, at absolute times
 *         and with no answer.
 * cycle   connections that send a name, read to the end of the stream and close; --connections of them at once.
 *
 * It connects, tries everything out for --warm seconds (and at least once on each connection), writes "ready" and
 * waits for a line on standard input; measures for --seconds; waits for the answers still under way; writes one
 * line of JSON; and so on until standard input ends. Times in it are nanoseconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { STAMP = 27, PATIENCE_MS = 20000, EVENTS = 512, DATAGRAM = 65536 };
#define SECOND 1000000000LL

static struct {
    int port, connections, depth, size, stamp, line, tls, names, abandon, rest;
    long most;
    double seconds, warm, rate;
    const char *answer;
} option = {.connections = 1, .depth = 1, .size = 64, .seconds = 1, .warm = 0.1, .names = 100};

static int poller;
static int64_t deadline;

static _Noreturn void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(1);
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

/* ---- What was measured: counts, and latencies in buckets of which each is at most 1/64 wide. ---- */

enum { STEPS = 64, BUCKETS = 64 * STEPS };

static struct {
    int64_t count, errors, compared, splits, longest, first, last, buckets[BUCKETS];
} tally;

static int bucket_of(int64_t value) {
    if (value < STEPS) return value < 0 ? 0 : (int)value;
    int shift = 63 - __builtin_clzll((uint64_t)value) - 6;
    return (shift + 1) * STEPS + (int)((value >> shift) - STEPS);
}

static int64_t top_of(int bucket) {
    if (bucket < STEPS) return bucket;
    int shift = bucket / STEPS - 1;
    return ((int64_t)(bucket % STEPS + STEPS + 1) << shift) - 1;
}

static void note(int64_t latency) {
    tally.count++;
    tally.buckets[bucket_of(latency)]++;
    if (latency > tally.longest) tally.longest = latency;
}

static int64_t percentile(double percent) {
    int64_t wanted = (int64_t)(tally.count * percent / 100 + 0.5), seen = 0;
    if (wanted < 1) wanted = 1;
    for (int i = 0; i < BUCKETS; i++) {
        seen += tally.buckets[i];
        if (seen >= wanted) return top_of(i) < tally.longest ? top_of(i) : tally.longest;
    }
    return tally.longest;
}

static const char *cipher = "";

static void tell(void) {
    printf("{\"count\": %ld, \"errors\": %ld, \"compared\": %ld, \"splits\": %ld, \"seconds\": %.9f, "
           "\"p50\": %ld, \"p99\": %ld, \"p999\": %ld, \"longest\": %ld, \"cipher\": \"%s\"}\n",
           tally.count, tally.errors, tally.compared, tally.splits, (tally.last - tally.first) / 1e9,
           percentile(50), percentile(99), percentile(99.9), tally.longest, cipher);
    fflush(stdout);
}

static int go_on(void) {
    char line[100];
    puts("ready");
    fflush(stdout);
    return fgets(line, sizeof line, stdin) != NULL;
}

/* ---- TLS, from the library as it is installed; no header of it is needed. ---- */

static struct {
    void *(*new)(void *);
    int (*set_fd)(void *, int), (*connect)(void *), (*read)(void *, void *, int), (*write)(void *, const void *, int);
    int (*error)(const void *, int);
    const void *(*cipher)(const void *);
    const char *(*name)(const void *);
    void *context;
} ssl;
enum { WANT_READ = 2, ZERO_RETURN = 6 };

static void load_tls(void) {
    void *library = dlopen("libssl.so.3", RTLD_NOW);
    if (!library) fail("no libssl.so.3");
    void *(*context)(const void *) = dlsym(library, "SSL_CTX_new");
    const void *(*method)(void) = dlsym(library, "TLS_client_method");
    ssl.new = dlsym(library, "SSL_new");
    ssl.set_fd = dlsym(library, "SSL_set_fd");
    ssl.connect = dlsym(library, "SSL_connect");
    ssl.read = dlsym(library, "SSL_read");
    ssl.write = dlsym(library, "SSL_write");
    ssl.error = dlsym(library, "SSL_get_error");
    ssl.cipher = dlsym(library, "SSL_get_current_cipher");
    ssl.name = dlsym(library, "SSL_CIPHER_get_name");
    ssl.context = context(method());
}

/* ---- Connections ---- */

struct connection {
    int fd, writable_wanted, stamped, stamp_left, position, first, under_way;
    size_t unsent, offset;
    int64_t *sent; /* when each message under way was to leave, a ring of depth */
    void *tls;
};

static struct connection *all;
static char *messages; /* depth + 1 copies of the message, one behind the other */
static char *answer_room;
enum { ROOM = 1 << 18 };

static struct sockaddr_in server(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)option.port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static void watch(int operation, int fd, uint32_t events, uint32_t number) {
    struct epoll_event event = {.events = events, .data.u32 = number};
    if (epoll_ctl(poller, operation, fd, &event)) fail("epoll_ctl: %s", strerror(errno));
}

static int wait_for(struct epoll_event *events, int milliseconds) {
    int ready = epoll_wait(poller, events, EVENTS, milliseconds);
    if (ready < 0 && errno != EINTR) fail("epoll_wait: %s", strerror(errno));
    return ready < 0 ? 0 : ready;
}

static void open_connection(int number) {
    struct connection *one = &all[number];
    struct sockaddr_in address = server();
    int on = 1;
    one->sent = calloc((size_t)option.depth, sizeof *one->sent);
    one->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (one->fd < 0) fail("socket: %s", strerror(errno));
    if (connect(one->fd, (struct sockaddr *)&address, sizeof address)) fail("connect: %s", strerror(errno));
    setsockopt(one->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (option.tls) {
        one->tls = ssl.new(ssl.context);
        ssl.set_fd(one->tls, one->fd);
        if (ssl.connect(one->tls) != 1) fail("the TLS handshake failed");
        cipher = ssl.name(ssl.cipher(one->tls));
    }
    fcntl(one->fd, F_SETFL, O_NONBLOCK);
    watch(EPOLL_CTL_ADD, one->fd, EPOLLIN, (uint32_t)number);
}

static ssize_t put(struct connection *one, const char *from, size_t size) {
    if (!one->tls) return send(one->fd, from, size, MSG_NOSIGNAL);
    int done = ssl.write(one->tls, from, (int)size);
    if (done <= 0) fail("TLS: no room to send");
    return done;
}

static ssize_t get(struct connection *one) {
    if (!one->tls) return recv(one->fd, answer_room, ROOM, 0);
    int done = ssl.read(one->tls, answer_room, ROOM);
    if (done > 0) return done;
    int error = ssl.error(one->tls, done);
    if (error == WANT_READ) {
        errno = EAGAIN;
        return -1;
    }
    if (error == ZERO_RETURN) return 0;
    fail("TLS: error %d", error);
}

static void flush(struct connection *one) {
    while (one->unsent) {
        size_t size = (size_t)option.size * (size_t)(option.depth + 1) - one->offset;
        if (size > one->unsent) size = one->unsent;
        ssize_t done = put(one, messages + one->offset, size);
        if (done < 0) {
            if (errno != EAGAIN) fail("send: %s", strerror(errno));
            break;
        }
        one->unsent -= (size_t)done;
        one->offset = (one->offset + (size_t)done) % (size_t)option.size;
    }
    if (!one->unsent != !one->writable_wanted) {
        one->writable_wanted = one->unsent != 0;
        watch(EPOLL_CTL_MOD, one->fd, EPOLLIN | (one->writable_wanted ? EPOLLOUT : 0), (uint32_t)(one - all));
    }
}

static int under_way;

static void ask(struct connection *one, int count, int64_t when) {
    under_way += count;
    one->unsent += (size_t)count * (size_t)option.size;
    while (count--) one->sent[(one->first + one->under_way++) % option.depth] = when;
    flush(one);
}

/* Compares what came with what should; gives how many answers it has completed. */
static int compare(struct connection *one, const char *data, ssize_t size) {
    int complete = 0;
    for (const char *end = data + size; data < end;) {
        if (one->stamp_left) {
            ssize_t part = end - data < one->stamp_left ? end - data : one->stamp_left;
            one->stamp_left -= (int)part;
            data += part;
            if (!one->stamp_left && data[-1] != ' ') fail("the stamp does not end as a stamp");
            continue;
        }
        if (option.stamp && *data == '[') {
            /* One in the middle says that the server has read the message in pieces, as TCP may bring it. */
            if (one->position) tally.splits++;
            one->stamp_left = STAMP;
            one->stamped = 1;
            continue;
        }
        if (option.stamp && !one->stamped) fail("an answer has no stamp");
        int part = option.size - one->position;
        if (part > end - data) part = (int)(end - data);
        const char *stamp = option.stamp ? memchr(data, '[', (size_t)part) : NULL;
        if (stamp) part = (int)(stamp - data);
        if (memcmp(data, messages + one->position, (size_t)part)) fail("an answer differs from its message");
        tally.compared += part;
        data += part;
        one->position += part;
        if (one->position == option.size) {
            one->position = one->stamped = 0;
            complete++;
        }
    }
    return complete;
}

/* Reads what has come; gives how many answers have become complete. */
static int answered(struct connection *one) {
    int all_complete = 0;
    for (;;) {
        ssize_t size = get(one);
        if (size < 0 && errno == EAGAIN) return all_complete;
        if (size <= 0) fail("the server has closed a connection");
        int complete = compare(one, answer_room, size);
        int64_t when = now();
        under_way -= complete;
        if (complete > one->under_way) fail("more answers than messages");
        for (int i = 0; i < complete; i++) {
            note(when - one->sent[one->first]);
            one->first = (one->first + 1) % option.depth;
            one->under_way--;
        }
        all_complete += complete;
        /* TLS may hold more than the socket tells of. */
        if (size < ROOM && !one->tls) return all_complete;
    }
}

static void closed_loop(void) {
    struct epoll_event events[EVENTS];
    tally.first = now();
    for (int i = 0; i < option.connections; i++) ask(&all[i], option.depth, now());
    while (under_way) {
        int ready = wait_for(events, PATIENCE_MS);
        if (!ready) fail("no answer came");
        for (int i = 0; i < ready; i++) {
            struct connection *one = &all[events[i].data.u32];
            if (events[i].events & EPOLLOUT) flush(one);
            if (!(events[i].events & ~(uint32_t)EPOLLOUT)) continue;
            int complete = answered(one);
            int64_t when = now();
            if (complete && when < deadline) ask(one, complete, when);
        }
    }
    tally.last = now();
}

/* Leave the core to others until an answer comes or the time does. */
static void rest_until(int64_t when) {
    int64_t left = when - now();
    if (left <= 0) return;
    struct timespec time = {.tv_sec = left / SECOND, .tv_nsec = left % SECOND};
    struct pollfd answers = {.fd = poller, .events = POLLIN};
    ppoll(&answers, 1, &time, NULL);
}

/* A message that is due goes out on the connection that is idle longest; where none is, it waits for one. */
static void open_loop(void) {
    struct epoll_event events[EVENTS];
    int *idle = malloc(sizeof *idle * (size_t)option.connections), first = 0, count = option.connections;
    for (int i = 0; i < count; i++) idle[i] = i;
    double step = SECOND / option.rate;
    int64_t begin = now(), give_up = deadline + 10 * SECOND;
    tally.first = begin;
    for (int64_t sent = 0;;) {
        int64_t due = begin + (int64_t)((double)sent * step), when = now();
        if (due > deadline && !under_way) break;
        if (when > give_up) fail("the server does not come after");
        while (count && due <= when && due <= deadline) {
            ask(&all[idle[first]], 1, due);
            first = (first + 1) % option.connections;
            count--;
            due = begin + (int64_t)((double)++sent * step);
        }
        if (option.rest) rest_until(count && due <= deadline ? due : give_up);
        int ready = wait_for(events, 0);
        for (int i = 0; i < ready; i++) {
            struct connection *one = &all[events[i].data.u32];
            if (events[i].events & EPOLLOUT) flush(one);
            if (events[i].events & ~(uint32_t)EPOLLOUT && answered(one)) {
                idle[(first + count++) % option.connections] = (int)events[i].data.u32;
            }
        }
    }
    tally.last = now();
    free(idle);
}

static void run_for(double seconds, void (*run)(void)) {
    memset(&tally, 0, sizeof tally);
    deadline = now() + (int64_t)(seconds * SECOND);
    run();
}

static void tcp(void) {
    if (option.tls) load_tls();
    answer_room = malloc(ROOM);
    messages = malloc((size_t)option.size * (size_t)(option.depth + 1));
    for (int i = 0; i < option.size * (option.depth + 1); i++) {
        int position = i % option.size;
        messages[i] = option.line && position == option.size - 1 ? '\n' : (char)('a' + position % 26);
    }
    all = calloc((size_t)option.connections, sizeof *all);
    for (int i = 0; i < option.connections; i++) open_connection(i);
    run_for(option.warm, closed_loop);
    while (go_on()) {
        run_for(option.seconds, option.rate ? open_loop : closed_loop);
        tell();
    }
}

/* ---- Datagrams ---- */

static int64_t number_of_datagram;

static void send_datagram(struct connection *one, int64_t when) {
    char *text = messages;
    /* Its number, so that no two are alike: netsvc takes what repeats itself for a loop. */
    int64_t number = number_of_datagram++;
    for (int i = 0; i < 16; i++) text[i] = "0123456789abcdef"[(number >> (4 * i)) & 15];
    if (send(one->fd, text, (size_t)option.size, MSG_NOSIGNAL) < 0 && errno != EAGAIN && errno != ENOBUFS)
        fail("send: %s", strerror(errno));
    one->sent[(one->first + one->under_way++) % option.depth] = when;
    under_way++;
}

static void datagrams_in_window(void) {
    struct epoll_event events[EVENTS];
    size_t length = strlen(option.answer);
    tally.first = now();
    for (int i = 0; i < option.connections; i++)
        while (all[i].under_way < option.depth) send_datagram(&all[i], now());
    while (under_way) {
        int ready = wait_for(events, 200);
        if (!ready) { /* the rest is lost */
            tally.errors += under_way;
            under_way = 0;
            for (int i = 0; i < option.connections; i++) {
                all[i].under_way = 0;
                while (now() < deadline && all[i].under_way < option.depth) send_datagram(&all[i], now());
            }
        }
        for (int i = 0; i < ready; i++) {
            struct connection *one = &all[events[i].data.u32];
            for (ssize_t size; (size = recv(one->fd, answer_room, DATAGRAM, 0)) >= 0;) {
                int64_t when = now();
                if ((size_t)size != length || memcmp(answer_room, option.answer, length)) fail("another answer");
                if (!one->under_way) continue; /* it was given up as lost */
                tally.compared += size;
                note(when - one->sent[one->first]);
                one->first = (one->first + 1) % option.depth;
                one->under_way--;
                under_way--;
                if (when < deadline) send_datagram(one, when);
            }
        }
    }
    tally.last = now();
}

static void datagrams_at_a_rate(void) {
    double step = SECOND / option.rate;
    int64_t begin = tally.first = now();
    for (int64_t sent = 0;;) {
        int64_t due = begin + (int64_t)((double)sent * step), when = now();
        if (due > deadline) break;
        if (due > when) continue;
        struct connection *one = &all[sent++ % option.connections];
        send_datagram(one, when);
        note(when - due);
        one->under_way = under_way = 0;
    }
    tally.last = now();
}

static void udp(void) {
    void (*run)(void) = option.answer ? datagrams_in_window : datagrams_at_a_rate;
    struct sockaddr_in address = server();
    answer_room = malloc(DATAGRAM);
    messages = malloc((size_t)option.size);
    memset(messages, 'x', (size_t)option.size);
    number_of_datagram = now();
    all = calloc((size_t)option.connections, sizeof *all);
    for (int i = 0; i < option.connections; i++) {
        all[i].sent = calloc((size_t)option.depth, sizeof *all[i].sent);
        all[i].fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        if (connect(all[i].fd, (struct sockaddr *)&address, sizeof address)) fail("connect: %s", strerror(errno));
        watch(EPOLL_CTL_ADD, all[i].fd, EPOLLIN, (uint32_t)i);
    }
    run_for(option.warm, run);
    while (go_on()) {
        run_for(option.seconds, run);
        tell();
    }
}

/* ---- Cycles: connect, say a name, read everything, close ---- */

struct cycle {
    int fd, asked;
    int64_t begun, received;
    char last;
};

static struct cycle *cycles;
static int64_t cycles_begun;

static void begin_cycle(int number) {
    struct sockaddr_in address = server();
    struct cycle *one = &cycles[number];
    *one = (struct cycle){.begun = now()};
    one->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (one->fd < 0) fail("socket: %s", strerror(errno));
    if (connect(one->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)
        fail("connect: %s", strerror(errno));
    watch(EPOLL_CTL_ADD, one->fd, EPOLLOUT, (uint32_t)number);
    under_way++;
}

static void end_cycle(int number) {
    struct cycle *one = &cycles[number];
    if (option.abandon) {
        struct linger at_once = {.l_onoff = 1};
        setsockopt(one->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    } else if (one->last != '}') {
        fail("%ld bytes that are no list", one->received);
    }
    close(one->fd);
    note(now() - one->begun);
    tally.compared += one->received;
    under_way--;
    if (now() < deadline && (!option.most || cycles_begun < option.most)) begin_cycle(number);
}

static void go_on_with(int number) {
    struct cycle *one = &cycles[number];
    if (!one->asked) {
        char name[32];
        int length = snprintf(name, sizeof name, "device-%06ld", cycles_begun++ % option.names);
        if (send(one->fd, name, (size_t)length, MSG_NOSIGNAL) != length) fail("send: %s", strerror(errno));
        one->asked = 1;
        watch(EPOLL_CTL_MOD, one->fd, EPOLLIN, (uint32_t)number);
        return;
    }
    for (;;) {
        ssize_t size = recv(one->fd, answer_room, option.abandon ? 1 : ROOM, 0);
        if (size < 0 && errno == EAGAIN) return;
        if (size < 0) fail("recv: %s", strerror(errno));
        if (size == 0) return end_cycle(number);
        if (!one->received && answer_room[0] != '{') fail("the answer begins as no list does");
        one->received += size;
        /* The newline at the end may come by itself. */
        if (answer_room[size - 1] == '\n') size--;
        if (size) one->last = answer_room[size - 1];
        if (option.abandon) return end_cycle(number);
    }
}

static void run_cycles(void) {
    struct epoll_event events[EVENTS];
    cycles_begun = 0;
    tally.first = now();
    for (int i = 0; i < option.connections; i++) begin_cycle(i);
    while (under_way) {
        int ready = wait_for(events, PATIENCE_MS);
        if (!ready) fail("no answer came");
        for (int i = 0; i < ready; i++) go_on_with((int)events[i].data.u32);
    }
    tally.last = now();
}

static void cycle(void) {
    answer_room = malloc(ROOM);
    cycles = calloc((size_t)option.connections, sizeof *cycles);
    run_for(option.warm, run_cycles);
    while (go_on()) {
        run_for(option.seconds, run_cycles);
        tell();
    }
}

int main(int count, char **arguments) {
    static const struct option known[] = {
        {"port", 1, 0, 'p'},    {"connections", 1, 0, 'c'}, {"depth", 1, 0, 'd'}, {"size", 1, 0, 's'},
        {"seconds", 1, 0, 't'}, {"warm", 1, 0, 'w'},        {"rate", 1, 0, 'r'},  {"names", 1, 0, 'n'},
        {"most", 1, 0, 'm'},    {"answer", 1, 0, 'a'},      {"stamp", 0, 0, 'S'}, {"line", 0, 0, 'L'},
        {"tls", 0, 0, 'T'},     {"abandon", 0, 0, 'A'},     {"rest", 0, 0, 'R'},  {0, 0, 0, 0}};
    for (int key; (key = getopt_long(count, arguments, "", known, NULL)) != -1;) switch (key) {
        case 'p': option.port = atoi(optarg); break;
        case 'c': option.connections = atoi(optarg); break;
        case 'd': option.depth = atoi(optarg); break;
        case 's': option.size = atoi(optarg); break;
        case 't': option.seconds = atof(optarg); break;
        case 'w': option.warm = atof(optarg); break;
        case 'r': option.rate = atof(optarg); break;
        case 'n': option.names = atoi(optarg); break;
        case 'm': option.most = atol(optarg); break;
        case 'a': option.answer = optarg; break;
        case 'S': option.stamp = 1; break;
        case 'L': option.line = 1; break;
        case 'T': option.tls = 1; break;
        case 'A': option.abandon = 1; break;
        case 'R': option.rest = 1; break;
        default: return 2;
    }
    if (optind != count - 1) fail("expected tcp, udp or cycle");
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    poller = epoll_create1(EPOLL_CLOEXEC);
    // Woken when a message is due, not some 50 µs later.
    prctl(PR_SET_TIMERSLACK, 1UL);
    const char *kind = arguments[optind];
    if (!strcmp(kind, "tcp")) tcp();
    else if (!strcmp(kind, "udp")) udp();
    else if (!strcmp(kind, "cycle")) cycle();
    else fail("%s is none of tcp, udp, cycle", kind);
    return 0;
}
