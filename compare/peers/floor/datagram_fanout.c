// The floor of a fan-out by datagram: one thread, no checks. Who sends "/join…" is a member from then on, and is told "joined";
// anything else that a member sends goes to all others, in as few sendmmsg calls as there can be.
#include "server.h"

enum {
  RECEIVED = 64, // datagrams taken with one call
  SENT = 1024,   // the most that one call sends (UIO_MAXIOV)
  MEMBERS = 65536,
};

static char text[RECEIVED][65536];
static struct sockaddr_in from[RECEIVED], members[MEMBERS];
static struct mmsghdr in[RECEIVED], out[SENT];
static struct iovec taken[RECEIVED], given[SENT];
static int joined, queued;

static void flush(int s) {
  for (int sent = 0; sent < queued;) {
    int n = sendmmsg(s, out + sent, queued - sent, 0);
    if (n <= 0) break;
    sent += n;
  }
  queued = 0;
}

int main(int count, char **arguments) {
  if (count != 2) return fprintf(stderr, "datagram_fanout PORT\n"), 2;
  int s = bound(SOCK_DGRAM, arguments[1]), size = 4 << 20;
  setsockopt(s, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  setsockopt(s, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  for (;;) {
    for (int i = 0; i < RECEIVED; i++) {
      taken[i] = (struct iovec){text[i], sizeof text[i]};
      in[i].msg_hdr = (struct msghdr){
          .msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &taken[i], .msg_iovlen = 1};
    }
    int n = recvmmsg(s, in, RECEIVED, MSG_WAITFORONE, 0), texts = 0;
    for (int i = 0; i < n; i++) {
      if (in[i].msg_len >= 5 && !memcmp(text[i], "/join", 5)) {
        if (joined < MEMBERS) members[joined++] = from[i];
        sendto(s, "joined", 6, 0, (void *)&from[i], sizeof from[i]);
        continue;
      }
      taken[i].iov_len = in[i].msg_len;
      taken[texts] = taken[i];
      from[texts++] = from[i];
    }
    // Member by member, so that each one's socket is in the cache for all that it gets.
    for (int m = 0; m < joined; m++)
      for (int i = 0; i < texts; i++) {
        if (members[m].sin_port == from[i].sin_port) continue;
        if (queued == SENT) flush(s);
        given[queued] = taken[i];
        out[queued].msg_hdr = (struct msghdr){.msg_name = &members[m],
                                              .msg_namelen = sizeof members[m],
                                              .msg_iov = &given[queued],
                                              .msg_iovlen = 1};
        queued++;
      }
    flush(s);
  }
}
