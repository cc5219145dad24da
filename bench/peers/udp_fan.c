// The floor of a UDP fan-out: one thread, no checks. Who sends "/join…" is a member from then on, and is told "joined";
// anything else that a member sends goes to all others, in as few sendmmsg calls as there can be.
// cc -O2 -o udp_fan udp_fan.c; ./udp_fan PORT
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define RECEIVED 64   // datagrams taken with one call
#define SENT 1024     // the most that one call sends (UIO_MAXIOV)
#define MEMBERS 65536

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

int main(int c, char **v) {
  int s = socket(AF_INET, SOCK_DGRAM, 0), size = 4 << 20;
  setsockopt(s, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  setsockopt(s, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  struct sockaddr_in a = {
      .sin_family = AF_INET, .sin_port = htons(atoi(v[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(s, (void *)&a, sizeof a)) return perror("bind"), 1;
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
