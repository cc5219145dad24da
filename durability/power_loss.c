/* A machine that loses power, for one program (LD_PRELOAD): what it wrote to files of one directory and has not synced is lost, or partly lost.
 *
 * POWER_LOSS_DIR   the directory
 * POWER_LOSS_AFTER after so many writes and syncs there the power fails
 * POWER_LOSS_SEED  what is lost then, of each file: 512 bytes at a time, all, some or a few of what was not synced
 *
 * Knows files that are written by write, pwrite and ftruncate. What is mapped (the -shm of SQLite) is not kept over a restart anyway. Entries of
 * directories are not lost. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES = 1024, SECTOR = 512 };

/* One write that was not synced: what stood there before, and what stands there now. A truncation has no `after`. */
struct operation {
    struct operation *next, *previous;
    off_t at, size_before;
    size_t before_length, length;
    char *before, *after;
};

/* By descriptor: the inode, which several descriptors may have. */
static struct tracked { dev_t device; ino_t inode; int is_open; } descriptors[FILES];
/* By inode: writes in their order. */
static struct file { dev_t device; ino_t inode; int fd; struct operation *first, *last; } files[FILES];
static int file_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long left = -1;
static uint64_t random_state;

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

static uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static struct file *file_of(int fd) {
    if (fd < 0 || fd >= FILES || !descriptors[fd].is_open) return NULL;
    for (int i = 0; i < file_count; i++)
        if (files[i].device == descriptors[fd].device && files[i].inode == descriptors[fd].inode) return &files[i];
    return NULL;
}

static void opened(int fd, const char *path) {
    const char *directory = getenv("POWER_LOSS_DIR");
    char whole[PATH_MAX];
    struct stat state;
    if (fd < 0 || fd >= FILES || !directory || !realpath(path, whole)) return;
    if (strncmp(whole, directory, strlen(directory)) || strstr(whole, "-shm") || strstr(whole, "/lock")) return;
    if (fstat(fd, &state) || !S_ISREG(state.st_mode)) return;
    pthread_mutex_lock(&lock);
    descriptors[fd] = (struct tracked){state.st_dev, state.st_ino, 1};
    if (!file_of(fd) && file_count < FILES) {
        /* A descriptor of its own, since the program may close its. */
        char own[64];
        snprintf(own, sizeof own, "/proc/self/fd/%d", fd);
        files[file_count++] = (struct file){state.st_dev, state.st_ino, REAL(open)(own, O_RDWR), NULL, NULL};
    }
    pthread_mutex_unlock(&lock);
}

/* What was not synced goes, and some of it comes again. */
static void lose_power(void) {
    for (int i = 0; i < file_count; i++) {
        struct file *file = &files[i];
        for (struct operation *op = file->last; op; op = op->previous) {
            if (op->before_length) (void)!REAL(pwrite)(file->fd, op->before, op->before_length, op->at);
            (void)!REAL(ftruncate)(file->fd, op->size_before);
        }
        static const uint64_t percents[] = {0, 50, 95};
        uint64_t percent = percents[next_random() % 3];
        for (struct operation *op = file->first; op; op = op->next)
            for (size_t from = 0; op->after && from < op->length; from += SECTOR) {
                size_t length = op->length - from < SECTOR ? op->length - from : SECTOR;
                if (next_random() % 100 < percent)
                    (void)!REAL(pwrite)(file->fd, op->after + from, length, op->at + (off_t)from);
            }
    }
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static void count_down(void) {
    if (left < 0) {
        const char *after = getenv("POWER_LOSS_AFTER"), *seed = getenv("POWER_LOSS_SEED");
        left = after ? atol(after) : LONG_MAX;
        random_state = (seed ? strtoull(seed, NULL, 10) : 0) * 0x9E3779B97F4A7C15u + 1;
    }
    if (left-- == 0) lose_power();
}

/* Remembers what stands where something is about to be written, or cut off. */
static void remember(struct file *file, off_t at, const char *after, size_t length, size_t before_length) {
    struct operation *op = calloc(1, sizeof *op);
    struct stat state;
    fstat(file->fd, &state);
    op->at = at;
    op->size_before = state.st_size;
    op->before = malloc(before_length + 1);
    ssize_t got = pread(file->fd, op->before, before_length, at);
    op->before_length = got > 0 ? (size_t)got : 0;
    op->length = length;
    if (after) op->after = memcpy(malloc(length + 1), after, length);
    op->previous = file->last;
    *(file->last ? &file->last->next : &file->first) = op;
    file->last = op;
}

static void synced(int fd) {
    struct file *file = file_of(fd);
    while (file && file->first) {
        struct operation *op = file->first;
        file->first = op->next;
        free(op->before);
        free(op->after);
        free(op);
    }
    if (file) file->last = NULL;
}

#define OPEN(name)                                                    \
    int name(const char *path, int flags, ...) {                      \
        va_list rest;                                                 \
        va_start(rest, flags);                                        \
        mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;     \
        va_end(rest);                                                 \
        int fd = REAL(name)(path, flags, mode);                       \
        opened(fd, path);                                             \
        return fd;                                                    \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    pthread_mutex_lock(&lock);
    if (fd >= 0 && fd < FILES) descriptors[fd].is_open = 0;
    int result = REAL(close)(fd);
    pthread_mutex_unlock(&lock);
    return result;
}

#define TRACKED(fd, before, call)                \
    pthread_mutex_lock(&lock);                   \
    struct file *file = file_of(fd);             \
    if (file) { count_down(); before; }          \
    __typeof__(call) result = call;              \
    pthread_mutex_unlock(&lock);                 \
    return result

ssize_t write(int fd, const void *bytes, size_t length) {
    TRACKED(fd, remember(file, lseek(fd, 0, SEEK_CUR), bytes, length, length), REAL(write)(fd, bytes, length));
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
    TRACKED(fd, remember(file, at, bytes, length, length), REAL(pwrite)(fd, bytes, length, at));
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t at) {
    TRACKED(fd, remember(file, at, bytes, length, length), REAL(pwrite)(fd, bytes, length, at));
}
static size_t behind(int fd, off_t size) {
    struct stat state;
    return fstat(fd, &state) || state.st_size <= size ? 0 : (size_t)(state.st_size - size);
}
int ftruncate(int fd, off_t size) { TRACKED(fd, remember(file, size, NULL, 0, behind(fd, size)), REAL(ftruncate)(fd, size)); }
int ftruncate64(int fd, off_t size) { TRACKED(fd, remember(file, size, NULL, 0, behind(fd, size)), REAL(ftruncate)(fd, size)); }

/* Once the call is over: what fails at its beginning has synced nothing. */
int fsync(int fd) { TRACKED(fd, (void)0, (synced(fd), 0)); }
int fdatasync(int fd) { TRACKED(fd, (void)0, (synced(fd), 0)); }
