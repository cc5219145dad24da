// The load of what is kept on disk before it is acknowledged: each connection publishes to a room, stream or subject of its own and has
// WINDOW messages under way. Rooms acknowledge by the publisher's own copy, redis and nats by their answers. Checks that each message is
// acknowledged once, and prints JSON, of which the fields are `switchboard bench`'s.
#define _GNU_SOURCE
#include "measure.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_CONNECTIONS = 1024, MOST_WINDOW = 64, MOST_BYTES = 4096, INPUT = 64 << 10, MOST_MEASURED = 8 << 20 };

struct publisher {
  int fd, length;
  long published, acknowledged;
  double since[MOST_WINDOW]; // when the one of this number, modulo the window, was published
  char is_waited_for[MOST_WINDOW];
  char input[INPUT];
};

static struct publisher *publishers[MOST_CONNECTIONS];
static int window, bytes;
static char filling[MOST_BYTES];
static float *measured;
static long kept, all;
static double warm;

static void die(const char *what, const char *said) {
  fprintf(stderr, "%s: %.200s\n", what, said);
  exit(1);
}

static void send_all(int fd, const char *from, int length) {
  for (int sent; length > 0; from += sent, length -= sent)
    if ((sent = send(fd, from, length, MSG_NOSIGNAL)) < 0) die("send", strerror(errno));
}

// Message `number` was acknowledged.
static void acknowledged(struct publisher *p, long number) {
  int place = number % window;
  if (number < p->acknowledged - window || number >= p->published || !p->is_waited_for[place]) {
    char what[100];
    snprintf(what, sizeof what, "message %ld, for which nobody waits: %ld were published, and %ld acknowledged", number, p->published, p->acknowledged);
    die("acknowledged", what);
  }
  p->is_waited_for[place] = 0;
  p->acknowledged++;
  double at = now();
  if (!warm || at < warm) return;
  all++;
  if (kept < MOST_MEASURED) measured[kept++] = at - p->since[place];
}

// One frame of what rooms, redis and nats say: its length, or 0 if it is not there yet. The number of the next one is the oldest that is waited for
// where answers come in order.
static int room(struct publisher *p, char *from, int length) {
  char *end = memchr(from, '\n', length);
  if (!end) return 0;
  if (end - from != bytes) die("switchboard", from);
  acknowledged(p, atol(from));
  return end - from + 1;
}

static int redis(struct publisher *p, char *from, int length) {
  char *end = memchr(from, '\n', length);
  if (!end) return 0;
  if (from[0] != '$') die("redis", from);
  int whole = end - from + 1 + atoi(from + 1) + 2;
  if (length < whole) return 0;
  acknowledged(p, p->acknowledged);
  return whole;
}

static int nats(struct publisher *p, char *from, int length) {
  char subject[64], *end = memchr(from, '\n', length);
  int id, size, whole;
  if (!end) return 0;
  if (!strncmp(from, "PING", 4)) send_all(p->fd, "PONG\r\n", 6);
  if (sscanf(from, "MSG %63s %d %d", subject, &id, &size) != 3) {
    if (from[0] == '-') die("nats", from);
    return end - from + 1;
  }
  whole = end - from + 1 + size + 2;
  if (length < whole) return 0;
  // Of one that was not kept it says a number as well.
  if (!memmem(end, size, "\"seq\":", 6) || memmem(end, size, "\"error\":", 8)) die("nats", end + 1);
  acknowledged(p, atol(strrchr(subject, '.') + 1));
  return whole;
}

static int put_line(char *to, int place, long number) {
  (void)place;
  return sprintf(to, "%015ld%s\n", number, filling);
}

static int put_xadd(char *to, int place, long number) {
  char key[16];
  int length = sprintf(key, "r%d", place);
  return sprintf(to, "*5\r\n$4\r\nXADD\r\n$%d\r\n%s\r\n$1\r\n*\r\n$1\r\nm\r\n$%d\r\n%015ld%s\r\n", length, key, bytes, number, filling);
}

static int put_pub(char *to, int place, long number) {
  return sprintf(to, "PUB s.%d _A.%d.%ld %d\r\n%015ld%s\r\n", place, place, number, bytes, number, filling);
}

static const struct protocol {
  const char *name;
  int (*put)(char *, int, long), (*take)(struct publisher *, char *, int);
} protocols[] = {{"rooms", put_line, room}, {"redis", put_xadd, redis}, {"nats", put_pub, nats}};

// Waits until it says this.
static void until(int fd, const char *word) {
  char said[INPUT];
  int have = 0;
  for (int got; (got = recv(fd, said + have, sizeof said - 1 - have, 0)) > 0;) {
    said[have += got] = 0;
    if (strstr(said, word)) return;
  }
  die("ended", word);
}

static void begin(int fd, const char *name, int place) {
  char words[512];
  if (!strcmp(name, "rooms")) {
    send_all(fd, words, sprintf(words, "/join r%d\n/format raw\nready\n", place));
    until(fd, "\nready\n");
  } else if (!strcmp(name, "nats")) {
    send_all(fd, words, sprintf(words, "CONNECT {\"verbose\":false}\r\nSUB _A.%d.* 1\r\n", place));
    if (place == 0) {
      const char *stream = "{\"name\":\"S\",\"subjects\":[\"s.*\"],\"storage\":\"file\"}";
      send_all(fd, words, sprintf(words, "SUB _C 2\r\nPUB $JS.API.STREAM.CREATE.S _C %zu\r\n%s\r\n", strlen(stream), stream));
      until(fd, "\"created\"");
    }
    send_all(fd, "PING\r\n", 6);
    until(fd, "PONG");
  }
}

static struct publisher *connected(int port, const char *name, int place) {
  struct publisher *p = calloc(1, sizeof *p);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int on = 1;
  p->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (p->fd < 0 || connect(p->fd, (void *)&a, sizeof a)) die("connect", strerror(errno));
  setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  begin(p->fd, name, place);
  return p;
}

// As many as may be under way, at once.
static void publish(struct publisher *p, const struct protocol *how, int place) {
  static char output[MOST_WINDOW * (MOST_BYTES + 128)];
  int length = 0;
  double at = now();
  // Where answers have no order, the oldest holds back those that come one window later.
  while (!p->is_waited_for[p->published % window]) {
    p->is_waited_for[p->published % window] = 1;
    p->since[p->published % window] = at;
    length += how->put(output + length, place, p->published++);
  }
  send_all(p->fd, output, length);
}

static void hear(struct publisher *p, const struct protocol *how) {
  int used = 0, length, got = recv(p->fd, p->input + p->length, INPUT - 1 - p->length, 0);
  if (got <= 0) die("recv", got ? strerror(errno) : "it has closed");
  p->length += got;
  p->input[p->length] = 0;
  while (used < p->length && (length = how->take(p, p->input + used, p->length - used))) used += length;
  memmove(p->input, p->input + used, p->length -= used);
}

static int rising(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

int main(int c, char **v) {
  if (c != 8) return fprintf(stderr, "durable_load rooms|redis|nats PORT PID BYTES SECONDS CONNECTIONS WINDOW\n"), 2;
  const struct protocol *how = protocols;
  while (how < protocols + 3 && strcmp(how->name, v[1])) how++;
  int port = atoi(v[2]), pid = atoi(v[3]), count = atoi(v[6]), epoll = epoll_create1(0);
  double seconds = atof(v[5]);
  bytes = atoi(v[4]), window = atoi(v[7]);
  if (how == protocols + 3 || count < 1 || count > MOST_CONNECTIONS || window < 1 || window > MOST_WINDOW || bytes < 16 || bytes >= MOST_BYTES)
    return fprintf(stderr, "another protocol, or too much\n"), 2;
  memset(filling, 'x', bytes - 15);
  measured = malloc(MOST_MEASURED * sizeof *measured);
  for (int place = 0; place < count; place++) {
    publishers[place] = connected(port, how->name, place);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = place};
    epoll_ctl(epoll, EPOLL_CTL_ADD, publishers[place]->fd, &event);
  }
  for (int place = 0; place < count; place++) publish(publishers[place], how, place);
  // Half a second of warming up.
  struct usage before = {0};
  double began = now();
  while (!warm || now() < warm + seconds) {
    if (!warm && now() > began + 0.5) warm = now(), before = usage(pid);
    struct epoll_event events[64];
    int ready = epoll_wait(epoll, events, 64, 5000);
    if (ready < 1) die("epoll_wait", ready ? strerror(errno) : "nothing was acknowledged for five seconds");
    for (int i = 0; i < ready; i++) {
      int place = events[i].data.u32;
      hear(publishers[place], how);
      publish(publishers[place], how, place);
    }
  }
  double took = now() - warm;
  struct usage after = usage(pid);
  double cpu = after.server - before.server, own = after.own - before.own, busy = busy_share(before, after);
  if (!all) die("all", "nothing was acknowledged");
  qsort(measured, kept, sizeof *measured, rising);
  printf("{\"received_per_s\":%.0f,\"latency_us\":{\"p50\":%.1f,\"p99\":%.1f},\"server\":{\"cpu_us_per_message\":%.4f,\"cpu_share\":%.3f},"
         "\"generator\":{\"threads\":1,\"busiest_share\":%.3f},\"machine_busy_share\":%.3f}\n",
         all / took, measured[kept / 2] * 1e6, measured[kept * 99 / 100] * 1e6, cpu / 1000 / all, cpu / 1e9 / took, own / 1e9 / took, busy);
}
