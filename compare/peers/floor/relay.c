// The floor of a proxy: passes each connection on to one upstream, both ways. One thread; one recv and one send for each
// readable event; no checks and no timeouts. A side that does not read what it is sent holds up the other.
#include "server.h"
#include <sys/ioctl.h>

static int other[MOST_FDS]; // the fd at the other end of a pair
static char finished[MOST_FDS];
static char *held[MOST_FDS]; // what an fd has not taken yet
static int held_bytes[MOST_FDS];
static char buffer[READ_BYTES];

static void want(int epoll, int fd, int events) {
  struct epoll_event event = {.events = events, .data.fd = fd};
  epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event);
}

static void ended(int fd) {
  int peer = other[fd];
  free(held[fd]), free(held[peer]);
  held[fd] = held[peer] = NULL;
  close(fd), close(peer);
  other[fd] = other[peer] = -1;
}

static void readable(int epoll, int fd) {
  int to = other[fd];
  int received = recv(fd, buffer, READ_BYTES, 0);
  if (received < 0) {
    if (errno != EAGAIN) ended(fd);
    return;
  }
  if (received == 0) {
    finished[fd] = 1;
    shutdown(to, SHUT_WR);
    if (finished[to]) return ended(fd);
    return want(epoll, fd, 0);
  }
  int sent = send(to, buffer, received, MSG_NOSIGNAL);
  if (sent == received) return;
  if (sent < 0 && errno != EAGAIN) return ended(fd);
  if (sent < 0) sent = 0;
  held_bytes[to] = received - sent;
  held[to] = malloc(received - sent);
  memcpy(held[to], buffer + sent, received - sent);
  want(epoll, fd, 0);
  want(epoll, to, finished[to] ? EPOLLOUT : EPOLLIN | EPOLLOUT);
}

static void writable(int epoll, int fd) {
  int sent = send(fd, held[fd], held_bytes[fd], MSG_NOSIGNAL);
  if (sent < 0) {
    if (errno != EAGAIN) ended(fd);
    return;
  }
  held_bytes[fd] -= sent;
  memmove(held[fd], held[fd] + sent, held_bytes[fd]);
  if (held_bytes[fd]) return;
  free(held[fd]), held[fd] = NULL;
  want(epoll, fd, finished[fd] ? 0 : EPOLLIN);
  want(epoll, other[fd], EPOLLIN);
}

static int connected(int epoll, const char *port) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(atoi(port)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (fd < 0) return -1;
  // On this machine it is connected at once.
  if (fd >= MOST_FDS || connect(fd, (struct sockaddr *)&address, sizeof address)) return close(fd), -1;
  ioctl(fd, FIONBIO, &on);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  watch(epoll, fd);
  return fd;
}

int main(int count, char **arguments) {
  if (count != 3) return fprintf(stderr, "relay PORT UPSTREAM_PORT\n"), 2;
  int epoll = epoll_create1(0), listener = listening(epoll, arguments[1]);
  struct epoll_event events[EVENTS];
  for (;;) {
    int ready = epoll_wait(epoll, events, EVENTS, -1);
    for (int i = 0; i < ready; i++) {
      int fd = events[i].data.fd;
      if (fd == listener) {
        while ((fd = accepted(epoll, listener)) >= 0) {
          int upstream = connected(epoll, arguments[2]);
          if (upstream < 0) {
            close(fd);
            continue;
          }
          other[fd] = upstream, other[upstream] = fd;
          finished[fd] = finished[upstream] = 0;
        }
        continue;
      }
      // It may have ended with the other end of its pair, a moment ago.
      if (other[fd] < 0) continue;
      if (events[i].events & EPOLLOUT && held[fd]) writable(epoll, fd);
      if (other[fd] < 0) continue;
      if (events[i].events & EPOLLIN) {
        readable(epoll, fd);
      } else if (events[i].events & (EPOLLERR | EPOLLHUP) && !held[fd]) {
        ended(fd);
      }
    }
  }
}
