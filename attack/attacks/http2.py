"""As much of HTTP/2 as it takes to misuse it (RFC 9113). Header fields are literals that no table remembers (RFC 7541 §6.2.2)."""

import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
INITIAL_WINDOW_SIZE = 4


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def field(name: str, value: str) -> bytes:
    def text(string: str) -> bytes:
        encoded = string.encode()
        if len(encoded) < 127:
            return bytes((len(encoded),)) + encoded
        rest, length = len(encoded) - 127, b"\x7f"
        while rest >= 128:
            length += bytes((rest % 128 + 128,))
            rest //= 128
        return length + bytes((rest,)) + encoded

    return b"\0" + text(name) + text(value)


def head(path: str, method: str = "GET", host: str = "10.99.0.1", **others: str) -> bytes:
    fields = {":method": method, ":scheme": "http", ":path": path, ":authority": host, **others}
    return b"".join(field(name, value) for name, value in fields.items())


def request(stream: int, path: str, method: str = "GET", ends: bool = True) -> bytes:
    return frame(HEADERS, END_HEADERS | (END_STREAM if ends else 0), stream, head(path, method))


def hello(window: int | None = None) -> bytes:
    settings = b"" if window is None else struct.pack(">HI", INITIAL_WINDOW_SIZE, window)
    return PREFACE + frame(SETTINGS, 0, 0, settings) + frame(SETTINGS, ACK, 0)


def begin(connection: socket.socket, window: int | None = None) -> None:
    """Says hello; `window` is how much of an answer each stream takes."""
    connection.sendall(hello(window))


def update(stream: int, by: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", by))
