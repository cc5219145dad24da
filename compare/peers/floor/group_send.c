// The floor of a publication to a group of hosts: one sendto for each, and nothing else. Prints what each takes of the CPU, in microseconds.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static double now(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

int main(int count, char **arguments) {
  if (count != 6) return fprintf(stderr, "group_send GROUP PORT FROM BYTES COUNT\n"), 2;
  struct sockaddr_in group = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[2]))}, own = {.sin_family = AF_INET};
  inet_aton(arguments[1], &group.sin_addr), inet_aton(arguments[3], &own.sin_addr);
  int fd = socket(AF_INET, SOCK_DGRAM, 0), bytes = atoi(arguments[4]), sends = atoi(arguments[5]);
  char *payload = calloc(1, bytes + 1);
  if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof own)) return perror("bind"), 1;
  setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &own.sin_addr, sizeof own.sin_addr);
  double used = 0;
  for (int i = 0; i < sends; i++) {
    // As a server sends them: one at a time, after it has slept.
    usleep(100);
    double before = now(CLOCK_PROCESS_CPUTIME_ID);
    if (sendto(fd, payload, bytes, 0, (struct sockaddr *)&group, sizeof group) != bytes) return perror("sendto"), 1;
    used += now(CLOCK_PROCESS_CPUTIME_ID) - before;
  }
  printf("%.3f\n", used / sends);
}
