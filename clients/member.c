// A room client: cc -o member member.c && ./member 127.0.0.1 8082 lobby alice
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// HTTP/1.0, so that an answer is whatever comes until the end.
static FILE *ask(char **to, const char *method, const char *rest, const char *body) {
    struct sockaddr_in address = {AF_INET, htons(atoi(to[2])), {inet_addr(to[1])}, {0}};
    FILE *server = fdopen(socket(AF_INET, SOCK_STREAM, 0), "r+");
    // The server says something every 20 s, so a connection that is silent for longer is dead.
    setsockopt(fileno(server), SOL_SOCKET, SO_RCVTIMEO, &(long[]){45, 0}, 2 * sizeof(long));
    if (connect(fileno(server), (struct sockaddr *)&address, sizeof address)) perror(to[1]);
    fprintf(server, "%s /rooms/%s%s HTTP/1.0\r\nHost: %s\r\nContent-Length: %zu\r\n\r\n%s", method, to[3], rest, to[1], strlen(body), body);
    fflush(server);
    return server;
}

int main(int argc, char **argv) {
    static char line[1 << 19], rest[128] = "/messages?follow=1";
    if (argc != 5 || signal(SIGPIPE, SIG_IGN) == SIG_ERR) return 2;
    pid_t listener = fork();
    for (FILE *server; listener == 0; fclose(server), sleep(1)) {
        for (server = ask(argv, "GET", rest, ""); fgets(line, sizeof line, server) && strchr(line, '\n');) {
            char *id = strstr(line, "\"id\":\"");
            if (id) snprintf(rest, sizeof rest, "/messages?follow=1&since=%.*s", (int)strcspn(id + 6, "\""), id + 6);
            if (*line == '{' && strncmp(line, "{\"event\":\"pong", 14)) fputs(line, stdout), fflush(stdout);
        }
    }
    for (snprintf(rest, sizeof rest, "?name=%s", argv[4]); listener > 0 && fgets(line, sizeof line, stdin);) {
        line[strcspn(line, "\n")] = 0;
        FILE *server = ask(argv, "POST", rest, line);
        if (!fgets(line, sizeof line, server) || !strstr(line, " 200 ")) fputs("-- may not have arrived\n", stderr);
        fclose(server);
    }
    return listener > 0 ? kill(listener, SIGTERM) : 1;
}
