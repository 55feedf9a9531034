# tests/block/differ_qmp.py - random QMP commands to qemu-storage-daemon and vitrine-storage-daemon
# SPDX-License-Identifier: GPL-3.0-or-later
import json
import os
import random
import re
import select
import subprocess
import time

from differ import OURS, PATIENCE, SANITIZER, THEIRS, Difference, Pair, finish
from differ_images import KIB, MIB
from differ_steps import verify

FILES = {"a": ("qcow2", 4 * MIB), "b": ("qcow2", 4 * MIB), "r": ("raw", 4 * MIB),
         "s": ("raw", MIB), "v": ("vmdk", 4 * MIB), "o": ("qcow2", 4 * MIB)}
NODES = ["a", "b", "r", "s", "v", "o", "t", "nosuch", "", "1x"]
JOBS = ["j", "k", "nosuch"]
BITMAPS = ["m", "n", "nosuch"]
MOVING = ("created", "running", "waiting", "aborting")


class Plan:
    """Commands and their arguments, drawn from the seed before anything runs."""

    def __init__(self, rng, count):
        self.rng, self.commands = rng, []
        for name in ("a", "r", "b"):
            self.commands.append(("blockdev-add", self.image(name)))
        for _ in range(count):
            act = rng.choices([fn for fn, _ in self.ACTS], [weight for _, weight in self.ACTS])[0]
            command, arguments = act(self)
            if rng.random() < 0.04 and arguments:
                arguments = self.spoilt(arguments)
            self.commands.append((command, arguments))

    def maybe(self, chance, **words):
        if self.rng.random() >= chance:
            return {}
        return {k.replace("_", "-"): v for k, v in words.items()}

    def pick(self, *values):
        return self.rng.choice(values)

    def node(self):
        return self.pick("a", "a", "a", "b", "b", "r", "r", "s", "v", "o", *NODES)

    def job(self):
        return self.pick(*JOBS[:2], *JOBS)

    def spoilt(self, arguments):
        arguments = dict(arguments)
        key = self.rng.choice(list(arguments))
        roll = self.rng.random()
        if roll < 0.3:
            del arguments[key]
        elif roll < 0.6:
            arguments[key] = self.pick(None, -1, "x", {}, [], True, 1 << 70, 1.5, "")
        else:
            arguments["nosuch"] = 1
        return arguments

    def image(self, name):
        fmt = FILES[name][0]
        return {"driver": fmt, "node-name": name,
                "file": {"driver": "file", "filename": name}}

    # ---- nodes ----

    def add(self):
        name = self.pick(*FILES)
        value = self.image(name)
        if name == "o" and self.rng.random() < 0.7:
            value["backing"] = self.pick("a", "b", None)
        value |= self.maybe(0.1, read_only=True) | self.maybe(0.1, discard="unmap")
        value |= self.maybe(0.1, detect_zeroes=self.pick("on", "off", "unmap"))
        if self.rng.random() < 0.15:
            value = {"driver": self.pick("throttle", "raw", "copy-on-read", "compress", "blkdebug"),
                     "node-name": "t", self.pick("file", "file", "image"): self.node()}
        return "blockdev-add", value

    def delete(self):
        return "blockdev-del", {"node-name": self.node()}

    def reopen(self):
        name = self.pick(*FILES)
        value = self.image(name) | self.maybe(0.5, read_only=self.pick(True, False))
        value |= self.maybe(0.3, discard=self.pick("unmap", "ignore"))
        return "blockdev-reopen", {"options": [value]}

    def snapshot(self):
        return "blockdev-snapshot", {"node": self.node(), "overlay": self.pick("o", self.node())}

    def snapshot_sync(self):
        return "blockdev-snapshot-sync", {"node-name": self.node(), "snapshot-file": "snap",
                                          "snapshot-node-name": self.pick("t", "u"),
                                          } | self.maybe(0.3, format=self.pick("qcow2", "raw", "x"))

    def internal(self):
        return self.pick("blockdev-snapshot-internal-sync",
                         "blockdev-snapshot-delete-internal-sync"), {
                             "device": self.node(), "name": self.pick("one", "two")}

    def resize(self):
        return "block_resize", {"node-name": self.node(),
                                "size": self.pick(4 * MIB, 5 * MIB, 3 * MIB, 4 * MIB + 512, 0, -1,
                                                  1000)}

    def create(self):
        options = {"driver": self.pick("qcow2", "raw", "vmdk", "luks", "vdi", "qed"),
                   "file": self.node(), "size": self.pick(MIB, 4 * MIB, 0, 1000)}
        options |= self.maybe(0.2, cluster_size=self.pick(512, 65536, 3, 4096))
        if self.rng.random() < 0.2:
            options = {"driver": "file", "filename": "made", "size": MIB}
        return "blockdev-create", {"job-id": self.job(), "options": options}

    def backing_name(self):
        return "change-backing-file", {"device": self.node(), "image-node-name": self.node(),
                                       "backing-file": self.pick("a", "b", "")}

    # ---- jobs ----

    def common(self):
        return (self.maybe(0.95, job_id=self.job()) | self.maybe(0.2, speed=self.pick(0, 1 << 30)) |
                self.maybe(0.15, auto_finalize=False) | self.maybe(0.15, auto_dismiss=False) |
                self.maybe(0.1, on_error=self.pick("report", "ignore", "stop", "enospc")))

    def mirror(self):
        return "blockdev-mirror", self.common_without("on-error") | {
            "device": self.node(), "target": self.node(),
            "sync": self.pick("full", "full", "top", "none", "bitmap", "incremental")} | \
            self.maybe(0.1, granularity=self.pick(512, 65536, 3)) | \
            self.maybe(0.1, copy_mode=self.pick("background", "write-blocking")) | \
            self.maybe(0.1, replaces=self.node())

    def common_without(self, *names):
        return {k: v for k, v in self.common().items() if k not in names}

    def backup(self):
        sync = self.pick("full", "full", "top", "none", "bitmap", "incremental")
        value = {"device": self.node(), "target": self.node(), "sync": sync}
        if sync in ("bitmap", "incremental") or self.rng.random() < 0.1:
            value |= self.maybe(0.9, bitmap=self.pick(*BITMAPS)) | \
                self.maybe(0.7, bitmap_mode=self.pick("on-success", "never", "always"))
        return "blockdev-backup", self.common_without("on-error") | value | self.maybe(
            0.1, compress=True)

    def commit(self):
        return "block-commit", self.common() | {"device": self.node()} | self.maybe(
            0.3, top_node=self.node()) | self.maybe(0.3, base_node=self.node())

    def stream(self):
        return "block-stream", self.common() | {"device": self.node()} | self.maybe(
            0.2, base_node=self.node())

    def control(self):
        verb = self.pick("cancel", "complete", "dismiss", "finalize", "pause", "resume")
        if self.rng.random() < 0.5:
            return "job-" + verb, {"id": self.job()}
        name = {"device": self.job()} if verb not in ("dismiss", "finalize") else {"id": self.job()}
        return "block-job-" + verb, name

    def speed(self):
        return "block-job-set-speed", {"device": self.job(), "speed": self.pick(0, 1 << 30, -1)}

    # ---- bitmaps ----

    def bitmap_action(self):
        verb = self.pick("add", "add", "add", "remove", "clear", "enable", "disable", "merge")
        value = {"node": self.node(), "name": self.pick(*BITMAPS)}
        if verb == "add":
            value |= self.maybe(0.3, granularity=self.pick(512, 65536, 3, 1 << 20)) | \
                self.maybe(0.3, persistent=True) | self.maybe(0.2, disabled=True)
        if verb == "merge":
            value = {"node": value["node"], "target": value["name"],
                     "bitmaps": [self.pick(*BITMAPS)]}
        return "block-dirty-bitmap-" + verb, value

    def transaction(self):
        actions = []
        for _ in range(self.rng.randrange(1, 4)):
            kind = self.pick(self.bitmap_action, self.bitmap_action, self.snapshot, self.backup)
            name, data = kind()
            actions.append({"type": name, "data": data})
        if self.rng.random() < 0.1:
            actions.append({"type": self.pick("abort", "nosuch"), "data": {}})
        return "transaction", {"actions": actions} | (
            {"properties": {"completion-mode": "grouped"}} if self.rng.random() < 0.2 else {})

    # ---- exports and the rest ----

    def export(self):
        return self.pick(
            ("nbd-server-start", {"addr": {"type": "unix", "data": {"path": "socket"}}}),
            ("nbd-server-stop", {}),
            ("nbd-server-add", {"device": self.node()} | self.maybe(0.5, writable=True)),
            ("nbd-server-remove", {"name": self.node()}),
            ("block-export-add", {"type": "nbd", "id": self.pick("x", "y", "1 "),
                                  "node-name": self.node()} | self.maybe(0.5, writable=True) |
             self.maybe(0.3, name=self.pick("name", "")) |
             self.maybe(0.2, bitmaps=[self.pick(*BITMAPS)])),
            ("block-export-del", {"id": self.pick("x", "y")} | self.maybe(
                0.3, mode=self.pick("hard", "safe"))))

    def ask(self):
        return self.pick("query-jobs", "query-block-jobs", "query-block-exports",
                         "query-blockstats", "query-named-block-nodes", "nosuch"), {}

    def object(self):
        return self.pick(
            ("object-add", {"qom-type": "throttle-group", "id": "g"}),
            ("object-add", {"qom-type": "secret", "id": "sec", "data": "x"}),
            ("object-add", {"qom-type": self.pick("iothread", "nosuch"),
                            "id": self.pick("io", "1")}),
            ("object-del", {"id": self.pick("g", "sec", "io", "nosuch")}))

    def threshold(self):
        return "block-set-write-threshold", {"node-name": self.node(),
                                             "write-threshold": self.pick(0, MIB, -1)}

    ACTS = [(add, 12), (delete, 8), (reopen, 4), (snapshot, 5), (snapshot_sync, 3), (internal, 3),
            (resize, 5), (create, 4), (backing_name, 2), (mirror, 8), (backup, 8), (commit, 6),
            (stream, 5), (control, 12), (speed, 2), (bitmap_action, 12), (transaction, 6),
            (export, 8), (ask, 8), (object, 3), (threshold, 1)]


# ---- one daemon ----------------------------------------------------------------------------------


class Parted(Exception):
    """Nothing to compare any more: the distribution's daemon has crashed or hangs, or the two do
    different things on purpose."""


class Daemon:
    """A daemon in its folder; talks QMP on its standard streams."""

    def __init__(self, pair, side):
        self.process = subprocess.Popen(
            [pair.tools.path(side, "daemon"), "--chardev", "stdio,id=monitor", "--monitor",
             "monitor"], cwd=pair.folder(side), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        self.left, self.events = b"", []
        self.theirs = side == THEIRS
        self.read()
        self.ask("qmp_capabilities", {})

    def read(self):
        end = time.monotonic() + PATIENCE
        while b"\n" not in self.left:
            if not select.select([self.process.stdout], [], [], end - time.monotonic())[0]:
                raise self.failed("does not answer")
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                text = self.process.stderr.read().decode(errors="replace")
                raise self.failed(f"has ended: {text}{self.process.wait()}")
            self.left += data
        line, self.left = self.left.split(b"\n", 1)
        # what a new image is like is told among the answers
        return json.loads(line) if line.startswith(b"{") else self.read()

    def failed(self, text):
        return Parted() if self.theirs else Difference("qmp crash", f"ours {text}")

    def ask(self, command, arguments):
        text = json.dumps({"execute": command, "arguments": arguments}) + "\n"
        try:
            self.process.stdin.write(text.encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        while True:
            answer = self.read()
            if "event" not in answer:
                return answer
            self.events.append(answer)

    def settle(self, ready_moves):
        """Until no job moves any more, but for those that wait to be told; their states."""
        end = time.monotonic() + 5
        while True:
            jobs = self.ask("query-jobs", {}).get("return", [])
            moving = [job for job in jobs if job["status"] in MOVING or
                      ready_moves and job["status"] == "ready"]
            if not moving or time.monotonic() > end:
                return sorted((job["id"], job["type"], job["status"], job.get("error"))
                              for job in jobs)
            time.sleep(0.003)

    def end(self):
        self.process.stdin.close()
        self.process.terminate()
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = f"did not end, {self.process.wait()}"
        text = self.process.stderr.read().decode(errors="replace")
        self.process.stdout.close()
        self.process.stderr.close()
        if any(word in text for word in SANITIZER):
            raise Difference("sanitizer", text)
        return code


DROPPED = ("actual-size", "seconds", "microseconds", "busy", "children", "format-specific",
           "actively-synced", "current-progress", "total-progress", "offset", "len", "timestamp",
           "image", "iops_rd", "write_threshold", "vm-clock-sec",
           "vm-clock-nsec", "stats", "driver-specific", "parent", "cache")


def normal(value):
    if isinstance(value, dict):
        return {k: normal(v) for k, v in value.items() if k not in DROPPED}
    if isinstance(value, list):
        return [normal(v) for v in value]
    if isinstance(value, str):
        return re.sub(r"#block\d+", "#block", value)
    return value


def of_jobs(events):
    """What each job told, in its order; how often it paused is its own affair."""
    told = {}
    for event in events:
        data = normal(event.get("data", {}))
        name = str(data.get("id", data.get("device", "")))
        row = event["event"], json.dumps(data, sort_keys=True)
        if data.get("status") in ("paused", "running", "standby"):
            continue
        if row not in told.setdefault(name, []):
            told[name].append(row)
    return told


def order_free(command, value):
    if command.startswith("query-") and isinstance(value.get("return"), list):
        return {"return": sorted(json.dumps(row, sort_keys=True) for row in value["return"])}
    return value


def round_of(tools, known, seed):
    plan = Plan(random.Random(f"qmp {seed}"), int(os.environ.get("STEPS", "14")))
    done = []
    with Pair(tools, known) as pair:
        prepare(pair)
        daemons = []
        try:
            daemons = [Daemon(pair, side) for side in (THEIRS, OURS)]
            for command, arguments in plan.commands:
                done.append((command, arguments))
                one(pair, daemons, command, arguments)
            codes = [daemon.end() for daemon in daemons]
            daemons = []
            if codes[0] != codes[1]:
                raise Difference("qmp end", f"theirs {codes[0]}, ours {codes[1]}")
            for name, (fmt, _size) in FILES.items():
                verify(pair, name, fmt, False)
            if pair.words:
                raise Difference("words", "\n".join(pair.words))
        except Parted:
            pass
        except Difference as difference:
            lines = [f"{command} {json.dumps(arguments)}" for command, arguments in done]
            raise Difference(difference.kind, "\n".join([*lines, str(difference)])) from None
        finally:
            for daemon in daemons:
                daemon.process.kill()
                daemon.process.wait()
        return len(plan.commands)


def prepare(pair):
    for side in (THEIRS, OURS):
        for number, (name, (fmt, size)) in enumerate(FILES.items()):
            for tool, args in (
                    ("img", ["create", "-q", "-f", fmt, name, str(size)]),
                    ("io", ["-f", fmt, "-c", f"write -P {number + 1} {number * 64 * KIB} 200k",
                            name])):
                finish(pair.tools.start(THEIRS, tool, args, pair.folder(side)), tool)


def one(pair, daemons, command, arguments):
    answers = [order_free(command, normal(daemon.ask(command, arguments))) for daemon in daemons]
    told_to_end = command.endswith(("complete", "cancel")) and "return" in answers[THEIRS]
    states = [daemon.settle(told_to_end) for daemon in daemons]
    told = [of_jobs(daemon.events) for daemon in daemons]
    for daemon in daemons:
        daemon.events.clear()
    for what, (theirs, ours) in (("reply", answers), ("jobs", states), ("events", told)):
        theirs, ours = [json.loads(json.dumps(v).replace(pair.folder(side), "DIR"))
                        for side, v in ((THEIRS, theirs), (OURS, ours))]
        if theirs != ours:
            text = f"{command} {json.dumps(arguments)}"
            refused = what == "reply" and theirs.get("error") and ours.get("error")
            if any(known.covers(text, theirs, ours) for known in pair.known):
                if refused:
                    continue
                raise Parted    # what comes next need not be the same
            text += f"\n--- theirs {theirs}\n--- ours   {ours}"
            if not refused or theirs["error"]["class"] != ours["error"]["class"]:
                raise Difference(f"qmp {what}", text)
            pair.words.append(text)
