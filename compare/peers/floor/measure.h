// What the floor's loads share: what they, a server and the machine have used, and telling it as `switchboard bench` does.
#pragma once
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// At one moment.
struct usage {
  double server, own; // nanoseconds that all threads have run
  double machine[2];  // what all cores together were busy, and in all, in ticks
};

static inline double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static inline double ran(int pid) {
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

static inline struct usage usage(int pid) {
  double of[8] = {0};
  struct usage used = {.server = ran(pid), .own = ran(getpid())};
  FILE *file = fopen("/proc/stat", "r");
  if (file && fscanf(file, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", of, of + 1, of + 2, of + 3, of + 4, of + 5, of + 6, of + 7) < 0)
    memset(of, 0, sizeof of);
  if (file) fclose(file);
  for (int i = 0; i < 8; i++) used.machine[1] += of[i], used.machine[0] += i == 3 || i == 4 ? 0 : of[i];
  return used;
}

// What all cores together were busy in between.
static inline double busy_share(struct usage before, struct usage after) {
  double ticks = after.machine[1] - before.machine[1];
  return ticks > 0 ? (after.machine[0] - before.machine[0]) / ticks : 0;
}

static inline void report(struct usage before, struct usage after, double seconds, double messages, long lost) {
  double cpu = after.server - before.server;
  printf("{\"received_per_s\":%.0f,\"server\":{\"cpu_us_per_message\":%.4f,\"cpu_share\":%.3f},"
         "\"generator\":{\"threads\":1,\"busiest_share\":%.3f},\"verified\":{\"lost\":%ld},\"machine_busy_share\":%.3f}\n",
         messages / seconds, cpu / 1000 / messages, cpu / 1e9 / seconds, (after.own - before.own) / 1e9 / seconds, lost,
         busy_share(before, after));
}
