"""Publishers and a follower for each room, who note what they were told."""

import http.client
import json
import threading
import time

ROOMS = ["one", "two", "short"]
PUBLISHERS = 6
PATIENCE = 10


class Told:
    """What a server has acknowledged, and shown, by room: ids and texts."""

    def __init__(self):
        self.lock = threading.Lock()
        self.acknowledged = {room: {} for room in ROOMS}
        self.shown = {room: {} for room in ROOMS}
        self.errors = []
        self.refused = 0

    def note(self, where, room, message_id, text):
        with self.lock:
            before = where[room].setdefault(message_id, text)
            if before != text:
                self.errors.append(f"{room} {message_id} was {before!r} and is {text!r}")


def publish(port, name, told, stopping):
    """Posts one message after the other to all rooms in turn, until the server is gone."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    number = 0
    try:
        while not stopping.is_set():
            number += 1
            room, text = ROOMS[number % len(ROOMS)], f"{name}-{number}" + "x" * (number * 37 % 400)
            connection.request("POST", f"/rooms/{room}", body=text.encode())
            answer = connection.getresponse()
            body = answer.read()
            if answer.status == 200:
                told.note(told.acknowledged, room, json.loads(body)["id"], text)
            elif answer.status == 503:
                told.refused += 1
                time.sleep(0.05)
            else:
                told.errors.append(f"a publication was answered by {answer.status}: {body!r}")
    except (OSError, http.client.HTTPException, ValueError):
        pass
    finally:
        connection.close()


def follow(port, room, told, stopping):
    """Reads what a room shows, from its beginning on, until the server is gone."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    last = 0
    try:
        connection.request("GET", f"/rooms/{room}/messages?follow=1&since=0-0")
        answer = connection.getresponse()
        while not stopping.is_set():
            line = answer.readline()
            if not line.endswith(b"\n"):
                return
            message = json.loads(line)
            if "text" in message:
                told.note(told.shown, room, message["id"], message["text"])
                if message["seq"] <= last:
                    told.errors.append(f"{room}: {message['seq']} was shown behind {last}")
                last = message["seq"]
    except (OSError, http.client.HTTPException, ValueError):
        pass
    finally:
        connection.close()


class Load:
    """All of them, running."""

    def __init__(self, port, name, told):
        self.stopping = threading.Event()
        work = [(publish, (port, f"{name}-{number}", told, self.stopping)) for number in range(PUBLISHERS)]
        work += [(follow, (port, room, told, self.stopping)) for room in ROOMS]
        self.threads = [threading.Thread(target=function, args=arguments, daemon=True) for function, arguments in work]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(PATIENCE * 2)
