"""Publishers and a follower for each room, who take down what they do and what they are told, as checker/ reads it."""

import http.client
import itertools
import json
import threading
import time

# As many as make a commit in which messages of many rooms are recent before they are filed.
ROOMS = ["one", "two", "short", "four", "five", "six"]
PUBLISHERS = 12
PATIENCE = 10


class Told:
    """All that was done and told, in one order, and how much of it was acknowledged, and refused."""

    def __init__(self):
        self.lock = threading.Lock()
        self.lines = []
        self.errors = []
        self.calls = itertools.count(1)
        # What a refusal shows: where a sync failed, it may be there at the next start.
        self.refusal = "fail"
        self.acknowledged = 0
        self.refused = 0

    def note(self, op, **what):
        with self.lock:
            self.lines.append(json.dumps({"op": op, **what}))
            self.acknowledged += op == "ok"
            self.refused += op == self.refusal


def publish(port, name, place, told, stopping):
    """Posts one message after the other to all rooms in turn, from one of them on, until the server is gone."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    number = 0
    try:
        while not stopping.is_set():
            number += 1
            room, text = ROOMS[(place + number) % len(ROOMS)], f"{name}-{number}" + "x" * (number * 37 % 400)
            call = next(told.calls)
            told.note("invoke", call=call, client=name, room=room, text=text)
            connection.request("POST", f"/rooms/{room}", body=text.encode())
            answer = connection.getresponse()
            body = answer.read()
            if answer.status == 200:
                told.note("ok", call=call, id=json.loads(body)["id"])
            elif answer.status == 503:
                told.note(told.refusal, call=call)
                time.sleep(0.05)
            else:
                told.errors.append(f"a publication was answered by {answer.status}: {body!r}")
    except (OSError, http.client.HTTPException, ValueError):
        # What has no outcome is unknown.
        pass
    finally:
        connection.close()


def follow(port, name, room, told, stopping):
    """Reads what a room shows, from its beginning on, until the server is gone."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    stay = f"{name}-{room}"
    try:
        connection.request("GET", f"/rooms/{room}/messages?follow=1&since=0-0")
        answer = connection.getresponse()
        while not stopping.is_set():
            line = answer.readline()
            if not line.endswith(b"\n"):
                return
            message = json.loads(line)
            shown = told_of(message)
            if shown:
                told.note("told", stay=stay, **shown)
            elif message.get("event") == "you-joined":
                told.note("join", stay=stay, room=room, since="0-0", last=message["id"])
    except (OSError, http.client.HTTPException, ValueError):
        pass
    finally:
        connection.close()


def told_of(message):
    """What a room shows by it, as checker/ reads that; None if nothing."""
    if "text" in message and "id" in message:
        return {"id": message["id"], "text": message["text"]}
    if message.get("event") == "gap":
        return {"from_seq": message["from_seq"], "lost": message["lost"]}
    return {"epoch": message["epoch"]} if message.get("event") == "reset" else None


class Load:
    """All of them, running."""

    def __init__(self, port, name, told):
        self.stopping = threading.Event()
        work = [(publish, (port, f"{name}-{number}", number, told, self.stopping)) for number in range(PUBLISHERS)]
        work += [(follow, (port, name, room, told, self.stopping)) for room in ROOMS]
        self.threads = [threading.Thread(target=function, args=arguments, daemon=True) for function, arguments in work]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(PATIENCE * 2)
