// No server, but the load of a proxy between both of its sides: CONNECTIONS clients connect to PORT, and whoever comes to BEHIND is answered.
// Each client sends BYTES, and gets as many when they have all arrived; then it sends them again, or with `once` it closes, and another one
// connects. Prints JSON, of which the fields are `switchboard bench`'s; a message is a piece there and back.
#define _GNU_SOURCE
#include "measure.h"
#include "server.h"
#include <signal.h>
#include <sys/ioctl.h>

static long to_send[MOST_FDS], received[MOST_FDS];
static char is_client[MOST_FDS], waits[MOST_FDS];
static char piece[READ_BYTES];
static long bytes, done;
static int epoll, once;
static struct sockaddr_in proxy;

static void want(int fd, int events) {
  struct epoll_event event = {.events = events, .data.fd = fd};
  epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event);
}

static void begins(int fd, int client) {
  is_client[fd] = client, received[fd] = 0, waits[fd] = 0, to_send[fd] = client ? bytes : 0;
}

static void push(int fd) {
  while (to_send[fd]) {
    int n = send(fd, piece, to_send[fd] < READ_BYTES ? to_send[fd] : READ_BYTES, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) die("send");
    if (n < 0) {
      if (!waits[fd]) want(fd, EPOLLIN | EPOLLOUT), waits[fd] = 1;
      return;
    }
    to_send[fd] -= n;
  }
  if (waits[fd]) want(fd, EPOLLIN), waits[fd] = 0;
}

static void client(void) {
  static unsigned number;
  int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  // From many addresses: a port is not free at once when its connection has ended.
  struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f010001 + number++ % 250)};
  if (fd < 0 || fd >= MOST_FDS) die("socket");
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  if (bind(fd, (void *)&own, sizeof own) || connect(fd, (void *)&proxy, sizeof proxy)) die("connect");
  ioctl(fd, FIONBIO, &on);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  watch(epoll, fd), begins(fd, 1), push(fd);
}

static void readable(int fd) {
  // What comes is counted and not looked at, nor copied.
  int n = recv(fd, NULL, 4 * READ_BYTES, MSG_TRUNC);
  if (n < 0 && errno == EAGAIN) return;
  if (n < 0) die("recv");
  if (!n) {
    if (is_client[fd]) fprintf(stderr, "the proxy has closed a connection\n"), exit(1);
    close(fd);
    return;
  }
  if ((received[fd] += n) < bytes) return;
  if (received[fd] > bytes) fprintf(stderr, "%ld bytes in place of %ld\n", received[fd], bytes), exit(1);
  received[fd] = 0;
  done += is_client[fd];
  if (is_client[fd] && once) {
    close(fd), client();
    return;
  }
  to_send[fd] = bytes, push(fd);
}

int main(int c, char **v) {
  if (c < 7 || c > 8) return fprintf(stderr, "pieces PORT BEHIND PID SECONDS BYTES CONNECTIONS [once]\n"), 2;
  int pid = atoi(v[3]);
  double seconds = atof(v[4]);
  bytes = atol(v[5]), once = c == 8;
  proxy = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(v[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  epoll = epoll_create1(0);
  int behind = listening(epoll, v[2]);
  for (int i = 0; i < atoi(v[6]); i++) client();
  struct epoll_event events[EVENTS];
  struct usage before = {0};
  double began = now(), measured = 0;
  while (!measured || now() < measured + seconds) {
    // Half a second of warming up.
    if (!measured && now() > began + 0.5) measured = now(), done = 0, before = usage(pid);
    int ready = epoll_wait(epoll, events, EVENTS, 100);
    if (now() > began + 5 && !done && !measured) return fprintf(stderr, "nothing comes back\n"), 1;
    for (int i = 0; i < ready; i++) {
      int fd = events[i].data.fd;
      if (fd == behind) {
        while ((fd = accepted(epoll, behind)) >= 0) begins(fd, 0);
        continue;
      }
      if (events[i].events & EPOLLOUT) push(fd);
      if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(fd);
    }
  }
  if (!done) return fprintf(stderr, "nothing comes back\n"), 1;
  report(before, usage(pid), now() - measured, done, 0);
}
