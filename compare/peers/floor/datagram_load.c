// The load of a fan-out by datagram: MEMBERS sockets join room r and one more publishes WINDOW datagrams at once, until all members
// have all of them. Checks order and loss, and prints JSON, of which the fields are `switchboard bench`'s.
#define _GNU_SOURCE
#include "measure.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>

#define MOST 64

static int member(int port) {
  int s = socket(AF_INET, SOCK_DGRAM, 0);
  struct timeval patience = {.tv_sec = 1};
  setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  struct sockaddr_in a = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (s < 0 || connect(s, (void *)&a, sizeof a)) perror("socket"), exit(1);
  char join[64] = "/join r", answer[2048];
  for (;;) {
    send(s, join, strlen(join), 0);
    int n = recv(s, answer, sizeof answer - 1, 0);
    if (n < 0) perror("join"), exit(1);
    answer[n] = 0;
    if (strncmp(answer, "cookie=", 7)) return s;
    answer[strcspn(answer, "\n")] = 0;
    snprintf(join, sizeof join, "/join r %.30s", answer);
  }
}

int main(int c, char **v) {
  if (c != 7) return fprintf(stderr, "datagram_load PORT PID MEMBERS BYTES SECONDS WINDOW\n"), 2;
  int port = atoi(v[1]), pid = atoi(v[2]), members = atoi(v[3]), bytes = atoi(v[4]), window = atoi(v[6]);
  double seconds = atof(v[5]);
  struct rlimit r;
  getrlimit(RLIMIT_NOFILE, &r);
  r.rlim_cur = r.rlim_max;
  setrlimit(RLIMIT_NOFILE, &r);
  if (window > MOST || bytes < 16 || bytes > 2048) return fprintf(stderr, "too much\n"), 2;

  int publisher = member(port), *sockets = malloc(members * sizeof *sockets);
  for (int m = 0; m < members; m++) sockets[m] = member(port);
  static char out[MOST][2048], in[MOST][2048];
  struct mmsghdr sent[MOST], got[MOST];
  struct iovec from[MOST], to[MOST];
  for (int i = 0; i < window; i++) {
    memset(out[i], 'x', sizeof out[i]);
    from[i] = (struct iovec){out[i], bytes};
    to[i] = (struct iovec){in[i], sizeof in[i]};
    sent[i].msg_hdr = (struct msghdr){.msg_iov = &from[i], .msg_iovlen = 1};
    got[i].msg_hdr = (struct msghdr){.msg_iov = &to[i], .msg_iovlen = 1};
  }
  long number = 0, rounds = 0, lost = 0;
  struct usage before = {0};
  double began = now(), measured = 0;
  while (!measured || now() < measured + seconds) {
    // Half a second of warming up.
    if (!measured && now() > began + 0.5) measured = now(), before = usage(pid), rounds = lost = 0;
    for (int i = 0; i < window; i++) sprintf(out[i], "%015ld", number + i);
    sendmmsg(publisher, sent, window, 0);
    for (int m = 0; m < members; m++)
      for (int have = 0; have < window;) {
        int n = recvmmsg(sockets[m], got, window - have, MSG_WAITFORONE, 0);
        if (n < 0) {
          lost += window - have;
          break;
        }
        for (int i = 0; i < n; i++) {
          if (got[i].msg_len != (unsigned)bytes || atol(in[i]) != number + have)
            return fprintf(stderr, "member %d: %ld bytes, %.15s in place of %ld\n", m, (long)got[i].msg_len, in[i],
                           number + have),
                   1;
          have++;
        }
      }
    number += window;
    rounds++;
  }
  report(before, usage(pid), now() - measured, (double)rounds * window * members, lost);
}
