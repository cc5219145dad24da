"""What goes wrong, drawn by a seed: what happens, to whom, and for how long."""

import json
import shutil
import time

# What leaves everything there that was acknowledged, if one copy of several is enough.
SAFE = ["kill-node", "freeze-node", "cut-node", "vanish-node", "clock", "kill-server", "freeze-server", "kill-servers"]
# Where there are three copies.
OF_THREE = ["cut-server", "step-down", "wipe-one", "old-copy-of-one"]
# What takes something away, or all.
LOSSES = ["wipe", "old-copy", "purge"]


class Nemesis:
    def __init__(self, world, load, rng, say):
        self.world, self.load, self.rng, self.say = world, load, rng, say
        # Whether what rooms begin with may be gone in their incarnation.
        self.has_purged = False

    def schedule(self, count, has_losses, only):
        """So many faults, all or `only` some, and how long each lasts and how long it is quiet behind it."""
        kinds = list(SAFE)
        if len(self.world.servers) == 3:
            kinds += OF_THREE if self.world.profile == "durable" else ["step-down"]
        if self.world.profile == "memory":
            # A restart is a loss there.
            kinds = [kind for kind in kinds if "server" not in kind]
        losses = [kind for kind in LOSSES if self.world.profile != "memory" or kind != "old-copy"]
        schedule = []
        for number in range(count):
            kind = self.rng.choice(only or (losses if has_losses and number % 2 else kinds))
            # Leases of names last 15 s, and publishers are told after 5 s.
            lasts = self.rng.choice([0.3, 1, 3, 7]) * self.rng.uniform(0.7, 1.3)
            schedule.append((kind, self.rng.randrange(3), lasts, self.rng.uniform(0.5, 2.5)))
        return schedule

    def run(self, schedule):
        for kind, target, lasts, rest in schedule:
            node = self.world.nodes[target]
            server = self.world.servers[target % len(self.world.servers)]
            self.say(f"{kind} {node.name if 'node' in kind or kind == 'clock' else server.name} for {lasts:.1f} s")
            # Where servers are away, no node can hold its lease.
            touched = [node] if "node" in kind else [] if kind in ("clock", "step-down", "purge") else self.world.nodes
            self.load.lapse(touched)
            getattr(self, kind.replace("-", "_"))(node, server, lasts)
            time.sleep(rest)

    def kill_node(self, node, _, lasts):
        node.kill()
        time.sleep(lasts)
        node.run(self.rng.choice([-1, 0, 1]))
        node.until_ready()

    def freeze_node(self, node, _, lasts):
        node.freeze()
        time.sleep(lasts * 2)
        node.thaw()

    def cut_node(self, node, _, lasts):
        directions = self.rng.choice([["input"], ["output"], ["input", "output"]])
        node.cut(self.world.servers, directions)
        time.sleep(lasts * 2)
        node.heal()

    def vanish_node(self, node, _, lasts):
        """For clients too."""
        node.link("down")
        time.sleep(lasts)
        node.link("up")

    def clock(self, node, _, lasts):
        if node.has_clock:
            node.set_clock(self.rng.choice([-1, 1]))
            time.sleep(lasts)
            node.set_clock(0)

    def kill_server(self, _, server, lasts):
        server.kill()
        time.sleep(lasts)
        server.run()
        self.whole()

    def freeze_server(self, _, server, lasts):
        server.freeze()
        time.sleep(lasts)
        server.thaw()
        self.whole()

    def cut_server(self, _, server, lasts):
        directions = self.rng.choice([["input"], ["output"], ["input", "output"]])
        server.cut([*self.world.servers, *self.world.nodes], directions)
        time.sleep(lasts)
        server.heal()
        self.whole()

    def kill_servers(self, *_):
        self.restart(lambda: None)

    def step_down(self, _, server, lasts):
        self.world.ask("$JS.API.STREAM.LEADER.STEPDOWN.SB")
        time.sleep(lasts)

    def wipe_one(self, _, server, lasts):
        server.kill()
        time.sleep(lasts)
        shutil.rmtree(server.data)
        server.run()
        self.whole()

    def old_copy_of_one(self, _, server, lasts):
        """Of one of three: the others have it all, or nothing is acknowledged."""
        copy = server.folder / "copy"
        server.kill()
        shutil.copytree(server.data, copy)
        server.run()
        self.whole()
        time.sleep(lasts)
        self.whole()
        server.kill()
        time.sleep(1)
        put_back(server, copy)
        server.run()
        self.whole()

    def wipe(self, *_):
        """All of it."""
        self.restart(lambda: [shutil.rmtree(server.data, ignore_errors=True) for server in self.world.servers])

    def old_copy(self, _, __, lasts):
        """All of it goes back to where it was."""
        copies = [(server, server.folder / "copy") for server in self.world.servers]
        self.restart(lambda: [shutil.copytree(server.data, copy) for server, copy in copies])
        time.sleep(lasts)
        self.restart(lambda: [put_back(server, copy) for server, copy in copies])

    def restart(self, between):
        for server in self.world.servers:
            server.kill()
        between()
        for server in self.world.servers:
            server.run()
        self.world.until(lambda: self.world.ask("$JS.API.INFO"), "the nats-servers do not start again")
        self.whole()

    def purge(self, *_):
        """Of all rooms, or but the last of each."""
        payload = self.rng.choice([{}, {"keep": 3}])
        self.has_purged = True
        self.world.ask("$JS.API.STREAM.PURGE.SB", json.dumps(payload).encode())

    def whole(self):
        self.world.until(self.world.is_whole, "the stream is not whole again", 60)


def put_back(server, copy):
    shutil.rmtree(server.data)
    copy.rename(server.data)
