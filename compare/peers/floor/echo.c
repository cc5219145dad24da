// The floor of echo: answers each line with "echo: " and the line. One thread; one recv and one send for each readable
// event; no checks and no timeouts. A peer that does not read is closed.
#include "server.h"

static char *partial[MOST_FDS]; // the line that is not complete yet
static int partial_bytes[MOST_FDS];
static char in[2 * READ_BYTES], out[8 * 2 * READ_BYTES];

static void readable(int fd) {
  int held = partial_bytes[fd];
  if (held) {
    memcpy(in, partial[fd], held);
    free(partial[fd]);
    partial_bytes[fd] = 0;
  }
  int received = recv(fd, in + held, READ_BYTES - held, 0);
  if (received <= 0) {
    close(fd);
    return;
  }
  char *line = in, *end = in + held + received, *newline;
  int bytes = 0;
  while ((newline = memchr(line, '\n', end - line))) {
    int length = newline + 1 - line;
    memcpy(out + bytes, "echo: ", 6);
    memcpy(out + bytes + 6, line, length);
    bytes += 6 + length;
    line += length;
  }
  if (line < end) {
    partial_bytes[fd] = end - line;
    partial[fd] = malloc(end - line);
    memcpy(partial[fd], line, end - line);
  }
  if (bytes && send(fd, out, bytes, MSG_NOSIGNAL) != bytes) close(fd);
}

int main(int count, char **arguments) {
  if (count != 2) return fprintf(stderr, "echo PORT\n"), 2;
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
      while ((fd = accepted(epoll, listener)) >= 0) partial_bytes[fd] = 0;
    }
  }
}
