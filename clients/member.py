"""A room client: python3 member.py http://127.0.0.1:8082/rooms/lobby alice"""
import json, random, sys, threading, time, urllib.parse, urllib.request

room, name = sys.argv[1:]


def listen(since=""):
    while True:
        try:
            # The server says something every 20 s, so a connection that is silent for longer is dead.
            for line in urllib.request.urlopen(f"{room}/messages?follow=1{since}", timeout=45):
                told = json.loads(line)
                since = f"&since={told['id']}" if "id" in told else since
                if "seq" in told:  # !r, since other people chose the text: it must not control our terminal.
                    print(f"{told['from']}: {told.get('text')!r}", flush=True)
                elif told["event"] in ("gap", "reset"):
                    print("--", line.decode().strip(), flush=True)
        except Exception as error:
            print("--", error, file=sys.stderr)
        time.sleep(random.uniform(0, 5))


threading.Thread(target=listen, daemon=True).start()
for line in sys.stdin:
    body, url = line.rstrip("\n").encode(), f"{room}?name={urllib.parse.quote(name)}"
    try:
        urllib.request.urlopen(url, body, timeout=10).close()
    except OSError as error:
        print("-- may not have arrived:", error, file=sys.stderr)
