"""What the stream has, as nobody's replica: read message by message from its leader, and understood here."""

import base64
import json
import struct
import time

from nemesis.world import Failed

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
# Of switchboard/src/log/replica/envelope.rs.
HEAD = struct.Struct(">BIQHQQQQ")


def epoch(number):
    text = ""
    while True:
        number, digit = divmod(number, 36)
        text = DIGITS[digit] + text
        if number == 0:
            return text


def messages(envelope):
    """The room of an envelope, and the ids and texts of what it holds."""
    form, incarnation, first, count, _, _, _, _ = HEAD.unpack_from(envelope)
    if form != 1:
        raise Failed(f"an envelope has format {form}")
    at = HEAD.size
    room, at = text(envelope, at)
    found = []
    for seq in range(first, first + count):
        _, at = text(envelope, at + 16)
        _, at = text(envelope, at)
        (length,) = struct.unpack_from(">I", envelope, at)
        found.append((f"{epoch(incarnation)}-{seq}", envelope[at + 4 : at + 4 + length].decode()))
        at += 4 + length
    return room.lower(), found


def text(envelope, at):
    end = at + 1 + envelope[at]
    return envelope[at + 1 : end].decode(), end


def last(world, room):
    """The id of the room's last message."""
    question = json.dumps({"last_by_subj": f"sb.r.*.{room}"}).encode()
    world.until(lambda: world.ask("$JS.API.STREAM.MSG.GET.SB", question), "the stream does not say what is last")
    envelope = base64.b64decode(world.ask("$JS.API.STREAM.MSG.GET.SB", question)["message"]["data"])
    return messages(envelope)[1][-1][0]


def kept(world):
    """All messages of each room, in the order of the stream."""
    rooms, number, end = {}, 1, time.monotonic() + 30
    world.until(lambda: world.ask("$JS.API.STREAM.INFO.SB"), "the stream has no leader")
    with world.conversation() as ask:
        while True:
            answer = ask("$JS.API.STREAM.MSG.GET.SB", json.dumps({"seq": number, "next_by_subj": "sb.r.>"}).encode())
            if "error" in answer:
                # No leader, for a moment.
                if answer["error"].get("code") == 503 and time.monotonic() < end:
                    time.sleep(0.5)
                    continue
                if answer["error"].get("err_code") != 10037:
                    raise Failed(f"the stream cannot be read: {answer['error']}")
                return rooms
            room, found = messages(base64.b64decode(answer["message"]["data"]))
            rooms.setdefault(room, []).extend(found)
            number = answer["message"]["seq"] + 1
