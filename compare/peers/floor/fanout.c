// The floor of fan-out: what one connection sends is sent to all others, as it came, with one send each. One thread; no
// checks and no timeouts. A peer that does not read loses what does not fit, and stderr says so.
#include "server.h"

static int members[MOST_FDS], place[MOST_FDS], count;
static char in[READ_BYTES];

static void leave(int fd) {
  int last = members[--count];
  members[place[fd]] = last;
  place[last] = place[fd];
  close(fd);
}

static void readable(int fd) {
  int bytes = recv(fd, in, READ_BYTES, 0);
  if (bytes <= 0) {
    leave(fd);
    return;
  }
  for (int i = 0; i < count; i++)
    if (members[i] != fd && send(members[i], in, bytes, MSG_NOSIGNAL) != bytes) fprintf(stderr, "lost\n");
}

int main(int argument_count, char **arguments) {
  if (argument_count != 2) return fprintf(stderr, "fanout PORT\n"), 2;
  int epoll = epoll_create1(0), listener = listening(epoll, arguments[1]);
  struct epoll_event events[EVENTS];
  for (;;) {
    int ready = epoll_wait(epoll, events, EVENTS, -1);
    for (int i = 0; i < ready; i++) {
      int fd = events[i].data.fd;
      if (fd != listener) {
        readable(fd);
        continue;
      }
      while ((fd = accepted(epoll, listener)) >= 0) {
        place[fd] = count;
        members[count++] = fd;
      }
    }
  }
}
