// The load of a fan-out by datagram: MEMBERS sockets join room r and one more publishes WINDOW datagrams at once, until all members
// have all of them. Checks order and loss, and prints JSON, of which the fields are `switchboard bench`'s.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define MOST 64

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

// Nanoseconds that the threads of a process have run.
static double ran(int pid) {
  char path[300];
  double sum = 0, one;
  snprintf(path, sizeof path, "/proc/%d/task", pid);
  DIR *tasks = opendir(path);
  for (struct dirent *task; tasks && (task = readdir(tasks));) {
    if (task->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, task->d_name);
    FILE *file = fopen(path, "r");
    if (file && fscanf(file, "%lf", &one) == 1) sum += one;
    if (file) fclose(file);
  }
  if (tasks) closedir(tasks);
  return sum;
}

// What all cores together were busy, and in all, in ticks.
static void read_machine(double ticks[2]) {
  double of[8] = {0};
  FILE *file = fopen("/proc/stat", "r");
  if (file && fscanf(file, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", of, of + 1, of + 2, of + 3, of + 4, of + 5, of + 6, of + 7) < 0)
    memset(of, 0, sizeof of);
  if (file) fclose(file);
  ticks[0] = ticks[1] = 0;
  for (int i = 0; i < 8; i++) ticks[1] += of[i], ticks[0] += i == 3 || i == 4 ? 0 : of[i];
}

static double busy_share(const double before[2]) {
  double after[2];
  read_machine(after);
  return after[1] > before[1] ? (after[0] - before[0]) / (after[1] - before[1]) : 0;
}

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
  double began = now(), measured = 0, cpu = 0, own = 0, machine[2] = {0};
  while (!measured || now() < measured + seconds) {
    // Half a second of warming up.
    if (!measured && now() > began + 0.5) measured = now(), cpu = ran(pid), own = ran(getpid()), read_machine(machine), rounds = lost = 0;
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
  double deliveries = (double)rounds * window * members, took = now() - measured;
  cpu = ran(pid) - cpu;
  printf("{\"received_per_s\":%.0f,\"server\":{\"cpu_us_per_message\":%.4f,\"cpu_share\":%.3f},"
         "\"generator\":{\"threads\":1,\"busiest_share\":%.3f},\"verified\":{\"lost\":%ld},\"machine_busy_share\":%.3f}\n",
         deliveries / took, cpu / 1000 / deliveries, cpu / 1e9 / took, (ran(getpid()) - own) / 1e9 / took, lost,
         busy_share(machine));
}
