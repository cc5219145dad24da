"""A member of a room: python3 member.py http://127.0.0.1:8082/rooms/lobby alice"""
import http.client, json, random, re, sys, threading, time, urllib.error, urllib.parse, urllib.request

room, name = sys.argv[1:]


def listen():
    since, wait = "", 1
    while True:
        try:
            # The server says something every 20 s, so that a connection in which nothing comes for longer is dead.
            with urllib.request.urlopen(f"{room}/messages?follow=1{since}", timeout=45) as lines:
                for line in lines:
                    told = json.loads(line)
                    wait = 1
                    if "id" in told:
                        since = f"&since={told['id']}"
                    if "seq" in told:
                        # Others choose the text: it shall not drive our terminal.
                        text = re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", told.get("text", "(not text)"))
                        print(f"{told['from']}: {text}", flush=True)
                    elif told["event"] in ("gap", "reset"):
                        print("--", line.decode().strip(), flush=True)
        # A connection can be lost within a line, which is a ValueError.
        except (OSError, ValueError, http.client.HTTPException) as error:
            print("--", error, file=sys.stderr)
        time.sleep(random.uniform(0, wait))
        wait = min(2 * wait, 30)


threading.Thread(target=listen, daemon=True).start()
for line in sys.stdin:
    try:
        url = f"{room}?name={urllib.parse.quote(name)}"
        urllib.request.urlopen(url, line.rstrip("\n").encode(), timeout=10).close()
    except urllib.error.HTTPError as error:
        print(f"-- refused: {error.read().decode()}", file=sys.stderr)
    except OSError as error:
        print(f"-- may not have arrived: {error}", file=sys.stderr)
