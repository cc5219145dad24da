// An echo server on uWebSockets, as in its own examples: each message comes back behind a prefix. No TLS and no compression.

#include "App.h"

#include <cstdlib>
#include <string>

struct Nothing {};

int main(int count, char **words) {
    if (count != 2) {
        std::fprintf(stderr, "usage: uwebsockets PORT\n");
        return 2;
    }
    std::string reply;
    uWS::App()
        .ws<Nothing>("/*", {.compression = uWS::DISABLED,
                            .maxPayloadLength = 64 * 1024,
                            .maxBackpressure = 1024 * 1024,
                            .message =
                                [&reply](auto *socket, std::string_view message, uWS::OpCode code) {
                                    reply.assign("echo: ").append(message);
                                    socket->send(reply, code, false);
                                }})
        .listen("127.0.0.1", std::atoi(words[1]),
                [](auto *listening) {
                    if (!listening) {
                        std::exit(1);
                    }
                })
        .run();
}
