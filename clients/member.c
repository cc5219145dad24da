// A member of a room: cc -o member member.c && ./member 127.0.0.1 8081 lobby alice
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define EVENT(name) "{\"event\":\"" name "\",\"room\":\"%*[^\"]\","

// The two parts of the last message's id. Behind 0-0 comes all that the room keeps.
static char epoch[16] = "0";
static unsigned long long last;

static void hear(FILE *server) {
    char *line = NULL, its[16];
    size_t size = 0;
    unsigned long long seq, lost, until = UINT64_MAX;
    // What the end of a connection cuts short comes again.
    while (getline(&line, &size, server) > 0 && strchr(line, '\n')) {
        sscanf(line, EVENT("you-joined") "\"members\":%*u,\"id\":\"%*[^-]-%llu", &until);
        if (sscanf(line, "{\"room\":\"%*[^\"]\",\"seq\":%llu,\"id\":\"%15[^-]", &seq, its) == 2) {
            // Until all that we missed has come, what does not follow is early, and comes again.
            if (strcmp(its, epoch) || seq <= last || (seq > last + 1 && seq <= until)) continue;
            last = seq;
        } else if (sscanf(line, EVENT("gap") "\"lost\":%llu,\"from_seq\":%llu", &lost, &seq) == 2) {
            last = seq + lost - 1;
        } else if (sscanf(line, EVENT("reset") "\"epoch\":\"%15[^\"]", epoch) == 1) {
            last = until = 0;
        } else if (strncmp(line, "{\"error\"", 8)) {
            continue;
        }
        fputs(line, stdout);
        fflush(stdout);
    }
    free(line);
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    struct sockaddr_in to = {AF_INET, htons(atoi(argv[2])), {inet_addr(argv[1])}, {0}};
    signal(SIGPIPE, SIG_IGN);
    for (int wait = 1;; sleep(wait), wait = wait < 16 ? 2 * wait : 30) {
        int fd = socket(AF_INET, SOCK_STREAM, 0), ended;
        FILE *server = fdopen(fd, "r");
        // After 20 s of silence the kernel asks for a sign of life, and gives the connection up when 45 s have passed.
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &(int){1}, sizeof(int));
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &(int){20}, sizeof(int));
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &(int){5}, sizeof(int));
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &(int){45000}, sizeof(int));
        if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) {
            dprintf(fd, "/format json\n/name %s\n/leave\n/join %s since=%s-%llu\n", argv[4], argv[3], epoch, last);
            pid_t speaker = fork();
            if (speaker == 0) {
                char typed[4096];
                ssize_t count;
                while ((count = read(STDIN_FILENO, typed, sizeof typed)) > 0 && send(fd, typed, count, 0) == count) {}
                _exit(count == 0 ? shutdown(fd, SHUT_WR) : 1);
            }
            hear(server);
            wait = 1;
            kill(speaker, SIGTERM);
            waitpid(speaker, &ended, 0);
            if (ended == 0) return 0;
        } else {
            perror(argv[1]);
        }
        fclose(server);
    }
}
