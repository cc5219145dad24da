// The floor of datagrams: answers each with "received: " and what it held, up to 64 with one recvmmsg and one sendmmsg.
#include "server.h"

enum { BATCH = 64, DATAGRAM_BYTES = 2048, RECEIVE_BUFFER_BYTES = 4 << 20 };

static const char prefix[10] = "received: ";
static char buffers[BATCH][sizeof prefix + DATAGRAM_BYTES];
static struct mmsghdr headers[BATCH];
static struct iovec pieces[BATCH];
static struct sockaddr_in peers[BATCH];

int main(int count, char **arguments) {
  if (count != 2) return fprintf(stderr, "datagrams PORT\n"), 2;
  int fd = bound(SOCK_DGRAM, arguments[1]), bytes = RECEIVE_BUFFER_BYTES;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  for (int i = 0; i < BATCH; i++) memcpy(buffers[i], prefix, sizeof prefix);
  for (;;) {
    for (int i = 0; i < BATCH; i++) {
      pieces[i] = (struct iovec){.iov_base = buffers[i] + sizeof prefix, .iov_len = DATAGRAM_BYTES};
      headers[i].msg_hdr = (struct msghdr){
          .msg_name = &peers[i], .msg_namelen = sizeof peers[i], .msg_iov = &pieces[i], .msg_iovlen = 1};
    }
    int received = recvmmsg(fd, headers, BATCH, MSG_WAITFORONE, NULL);
    for (int i = 0; i < received; i++)
      pieces[i] = (struct iovec){.iov_base = buffers[i], .iov_len = sizeof prefix + headers[i].msg_len};
    for (int sent = 0, more; sent < received; sent += more)
      if ((more = sendmmsg(fd, headers + sent, received - sent, 0)) <= 0) break;
  }
}
