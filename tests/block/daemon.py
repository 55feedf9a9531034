# tests/block/daemon.py VITRINE-STORAGE-DAEMON VITRINE-RUN - the storage daemon: its QMP beside
# that of the distribution's daemon, jobs under load; and the same commands of a machine
# SPDX-License-Identifier: GPL-3.0-or-later
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

import nbd
from nbd_common import Folder, check, equal, report, run
from qmp import Qmp

OURS, RUN = sys.argv[1:3]
THEIRS = "qemu-storage-daemon"
MIB = 1 << 20


class Load(threading.Thread):
    """Random writes through NBD until told to stop; keeps what the disk must hold."""

    def __init__(self, uri, size, seed=7, pause=0.0):
        super().__init__(daemon=True)
        self.handle = nbd.NBD()
        self.handle.connect_uri(uri)
        self.content = bytearray(self.handle.pread(size, 0))
        self.random = random.Random(seed)
        self.pause = pause
        self.stopped = threading.Event()
        self.writes = 0
        self.error = None

    def run(self):
        try:
            while not self.stopped.is_set():
                size = self.random.choice([512, 4096, 65536, 100 * 512])
                at = self.random.randrange(0, (len(self.content) - size) // 512) * 512
                data = self.random.randbytes(size) if self.random.random() < 0.8 else bytes(size)
                if any(data):
                    self.handle.pwrite(data, at)
                else:
                    self.handle.zero(size, at)
                self.content[at:at + size] = data
                self.writes += 1
                time.sleep(self.pause)
        except nbd.Error as error:
            self.error = error

    def stop(self):
        self.stopped.set()
        self.join(30)
        check(not self.is_alive(), "a write does not end")
        check(self.error is None, self.error)
        check(self.writes > 0, "nothing was written")
        self.handle.flush()
        check(self.handle.pread(len(self.content), 0) == self.content, "the disk has changed")
        self.handle.shutdown()
        return bytes(self.content)


def qcow2(folder, name, size=16 * MIB, seed=1, backing=None, patches=8):
    path = folder(name)
    if backing:
        run("qemu-img", "create", "-q", "-f", "qcow2", "-b", backing, "-F", "qcow2", path)
    else:
        run("qemu-img", "create", "-q", "-f", "qcow2", path, str(size))
    commands, rng = [], random.Random(seed)
    for _ in range(patches):
        at = rng.randrange(0, size // 65536 - 4) * 65536
        value, length = rng.randrange(1, 255), rng.randrange(1, 4) * 49152
        commands += ["-c", f"write -q -P {value} {at} {length}"]
    if commands:
        run("qemu-io", "-f", "qcow2", *commands, path)
    return path


def content(path, form="qcow2"):
    """What the distribution's tool reads."""
    out = path + ".content"
    run("qemu-img", "convert", "-f", form, "-O", "raw", path, out)
    with open(out, "rb") as file:
        data = file.read()
    os.unlink(out)
    if form == "qcow2":
        run("qemu-img", "check", "-q", path)
    return data


# ---- conversations -------------------------------------------------------------------------------

def normal(value):
    """Without what differs between any two programs."""
    dropped = ("actual-size", "seconds", "microseconds", "busy", "children", "format-specific",
               "actively-synced")
    if isinstance(value, dict):
        return {k: normal(v) for k, v in value.items() if k not in dropped}
    if isinstance(value, list):
        return [normal(v) for v in value]
    return value


def conversation(program, folder, steps):
    heard = []
    with Qmp(program) as q:
        for command, arguments in steps:
            heard.append((command, json.dumps(arguments), normal(q(command, arguments))))
            jobs = q.good("query-jobs")
            while jobs and jobs[0]["status"] in ("created", "running", "waiting", "aborting"):
                time.sleep(0.01)
                jobs = q.good("query-jobs")
            events = [(e["event"], normal(e["data"])) for e in q.events
                      if e["data"].get("status") != "paused"]
            heard.append(("events", "", [e for i, e in enumerate(events)
                                         if not (i and e == events[i - 1]) and
                                         not again(events, i)]))
            q.events.clear()
    return heard


def again(events, i):
    """"running" once more, after a pause that only one of the two took."""
    running = [n for n, e in enumerate(events) if e[1].get("status") == "running"]
    return i in running[1:]


def compare(make_steps):
    with Folder() as one, Folder() as two:
        theirs = conversation(THEIRS, one, make_steps(one))
        ours = conversation(OURS, two, make_steps(two))
        for a, b in zip(theirs, ours, strict=True):
            a = json.loads(json.dumps(a).replace(one.path, "DIR"))
            b = json.loads(json.dumps(b).replace(two.path, "DIR"))
            check(a == b, f"{a[0]} {a[1]}\n  theirs {a[2]}\n  ours   {b[2]}")


def file_node(path):
    return {"driver": "file", "filename": path}


def nodes():
    def steps(folder):
        a, r = qcow2(folder, "a", patches=0), folder.raw("r", 16 * MIB, blank=True)
        return [
            ("blockdev-add", {"driver": "qcow2", "node-name": "a", "file": file_node(a)}),
            ("blockdev-add", {"driver": "file", "node-name": "rf", "filename": r}),
            ("blockdev-add", {"driver": "raw", "node-name": "r", "file": "rf"}),
            ("blockdev-add", {"driver": "qcow2", "node-name": "a", "file": "rf"}),
            ("blockdev-add", {"driver": "raw", "file": "rf"}),
            ("blockdev-add", {"driver": "raw", "node-name": "1x", "file": "rf"}),
            ("blockdev-add", {"node-name": "x", "file": "rf"}),
            ("blockdev-add", {"driver": "nope", "node-name": "x", "file": "rf"}),
            *[("blockdev-add", {"driver": "raw", "node-name": "x", "file": "rf", **more})
              for more in ({"foo": 1}, {"read-only": "on"}, {"discard": "foo"}, {"file": "nope"},
                           {"detect-zeroes": "unmap"}, {"cache": {"direct": 1}}, {"size": "x"},
                           {"offset": 32 * MIB}, {"size": 32 * MIB}, {"size": 1000},
                           {"file": {"driver": "nope"}},
                           {"file": {"driver": "file", "filename": "/nowhere"}})],
            ("blockdev-add", {"driver": "qcow2", "node-name": "x", "file": "rf"}),
            ("blockdev-del", {"node-name": "nope"}),
            ("blockdev-del", {"node-name": "rf"}),
            ("block_resize", {"node-name": "nope", "size": 1}),
            ("block_resize", {"node-name": "r", "size": -1}),
            ("block_resize", {"node-name": "r", "size": 32 * MIB}),
            ("block_resize", {"size": 32 * MIB}),
            ("blockdev-reopen", {"options": [{"driver": "raw", "node-name": "r", "file": "rf",
                                              "read-only": True}]}),
            ("blockdev-reopen", {"options": [{"driver": "raw", "node-name": "zz", "file": "rf"}]}),
            ("query-block", {}),
            ("query-blockstats", {}),
            ("nope", {}),
            ("blockdev-del", {"node-name": "r"}),
            ("blockdev-del", {"node-name": "rf"}),
            ("blockdev-del", {"node-name": "a"}),
        ]
    compare(steps)


def jobs():
    def steps(folder):
        a, r = qcow2(folder, "a"), folder.raw("r", 16 * MIB, blank=True)
        small = folder.raw("s", MIB, blank=True)
        mirror = {"device": "a", "target": "r", "sync": "full", "job-id": "j"}
        backup = {"device": "a", "target": "r", "sync": "full", "job-id": "k"}
        return [
            ("blockdev-add", {"driver": "qcow2", "node-name": "a", "file": file_node(a)}),
            ("blockdev-add", {"driver": "raw", "node-name": "r", "file": file_node(r)}),
            ("blockdev-add", {"driver": "raw", "node-name": "s", "file": file_node(small)}),
            ("block-job-cancel", {"device": "j"}),
            ("job-cancel", {"id": "j"}),
            ("block-job-dismiss", {"id": "j"}),
            ("blockdev-mirror", mirror | {"device": "nope"}),
            ("blockdev-mirror", mirror | {"target": "nope"}),
            ("blockdev-mirror", mirror | {"target": "a"}),
            ("blockdev-mirror", mirror | {"target": "s"}),
            ("blockdev-mirror", mirror | {"sync": "bitmap"}),
            ("blockdev-mirror", mirror | {"sync": "nope"}),
            ("blockdev-mirror", mirror | {"granularity": 3}),
            ("blockdev-mirror", mirror | {"granularity": 1000}),
            ("blockdev-mirror", {k: v for k, v in mirror.items() if k != "job-id"}),
            ("blockdev-backup", backup | {"auto-finalize": False, "auto-dismiss": False}),
            ("query-jobs", {}),
            ("query-block-jobs", {}),
            ("job-complete", {"id": "k"}),
            ("job-pause", {"id": "k"}),
            ("job-finalize", {"id": "k"}),
            ("query-jobs", {}),
            ("job-dismiss", {"id": "k"}),
            ("blockdev-backup", backup | {"sync": "incremental"}),
            ("blockdev-backup", backup | {"sync": "incremental", "bitmap": "nope"}),
            ("blockdev-backup", backup | {"target": "a"}),
            ("block-commit", {"job-id": "c", "device": "a"}),
            ("block-commit", {"job-id": "c", "device": "nope"}),
            ("block-stream", {"job-id": "s", "device": "nope"}),
            ("block-stream", {"job-id": "s", "device": "a", "base": "nope"}),
            ("block-stream", {"job-id": "s", "device": "a"}),
            ("blockdev-create", {"job-id": "n", "options": {
                "driver": "file", "filename": folder("n"), "size": MIB}}),
            ("query-jobs", {}),
            ("job-dismiss", {"id": "n"}),
        ]
    compare(steps)


def bitmaps():
    def steps(folder):
        a = qcow2(folder, "a", patches=0)
        b0 = {"node": "a", "name": "b0"}
        return [
            ("blockdev-add", {"driver": "qcow2", "node-name": "a", "file": file_node(a)}),
            ("block-dirty-bitmap-add", b0),
            ("block-dirty-bitmap-add", b0),
            ("block-dirty-bitmap-add", b0 | {"node": "nope"}),
            ("block-dirty-bitmap-add", b0 | {"name": "b1", "granularity": 100}),
            ("block-dirty-bitmap-add", b0 | {"name": "b2", "disabled": True}),
            ("block-dirty-bitmap-remove", b0 | {"name": "nope"}),
            ("block-dirty-bitmap-clear", {"node": "nope", "name": "nope"}),
            ("block-dirty-bitmap-disable", b0),
            ("block-dirty-bitmap-merge", {"node": "a", "target": "b0", "bitmaps": ["b2"]}),
            ("block-dirty-bitmap-merge", {"node": "a", "target": "b0", "bitmaps": ["nope"]}),
            ("transaction", {"actions": [
                {"type": "block-dirty-bitmap-add", "data": b0 | {"name": "t"}},
                {"type": "abort", "data": {}}]}),
            ("transaction", {"actions": [
                {"type": "block-dirty-bitmap-add", "data": b0 | {"name": "t"}},
                {"type": "block-dirty-bitmap-enable", "data": b0}]}),
            ("transaction", {"actions": [{"type": "nope", "data": {}}]}),
            ("block-dirty-bitmap-remove", b0 | {"name": "t"}),
            ("block-dirty-bitmap-remove", b0 | {"name": "t"}),
        ]
    compare(steps)


def exports():
    def steps(folder):
        a = qcow2(folder, "a", patches=0)
        server = {"addr": {"type": "unix", "data": {"path": folder("s")}}}
        export = {"type": "nbd", "id": "e", "node-name": "a"}
        return [
            ("blockdev-add", {"driver": "qcow2", "node-name": "a", "file": file_node(a)}),
            ("nbd-server-stop", {}),
            ("nbd-server-start", server),
            ("nbd-server-start", server),
            ("block-export-add", export),
            ("block-export-add", export),
            ("block-export-add", export | {"id": "f", "node-name": "nope"}),
            ("query-block-exports", {}),
            ("blockdev-del", {"node-name": "a"}),
            ("block-export-del", {"id": "nope"}),
            ("block-export-del", {"id": "e"}),
            ("nbd-server-add", {"device": "a", "name": "x"}),
            ("nbd-server-remove", {"name": "y"}),
            ("nbd-server-remove", {"name": "x"}),
            ("nbd-server-stop", {}),
            ("nbd-server-stop", {}),
            ("object-add", {"qom-type": "secret", "id": "s0", "data": "abc"}),
            ("object-del", {"id": "nope"}),
            ("object-del", {"id": "s0"}),
        ]
    compare(steps)


def command_line():
    for options in (["--nope"], ["x"], ["--blockdev"], ["--monitor", "chardev=zz"],
                    ["--export", "type=nbd,id=x,node-name=zz"], ["--nbd-server", "foo=1"],
                    ["--pidfile", "/nonexistent/x"]):
        theirs = run(THEIRS, *options, rc=1).replace("qemu-", "vitrine-")
        equal(run(OURS, *options, rc=1), theirs)
    check("--blockdev" in run(OURS, "--help"), "help")
    check(run(OURS, "--version").startswith("vitrine-storage-daemon version"), "version")
    check("trac" in run(OURS, "--trace", "x", rc=1), "trace")
    with Folder() as folder:
        pid = folder("pid")
        run(OURS, "--daemonize", "--pidfile", pid, "--blockdev",
            "file,node-name=a,filename=" + folder.raw("a", MIB), "--nbd-server",
            "addr.type=unix,addr.path=" + folder("s"), "--export", "nbd,id=e,node-name=a,name=a")
        size = run("nbdinfo", "--size", f"nbd+unix:///a?socket={folder('s')}")
        equal(int(size), MIB)
        with open(pid, encoding="ascii") as file:
            number = int(file.read())
        os.kill(number, signal.SIGTERM)
        for _ in range(300):
            if not os.path.exists(pid):
                break
            time.sleep(0.02)
        check(not os.path.exists(pid), "the daemon stays")


# ---- jobs under load -----------------------------------------------------------------------------

def mirrored(**options):
    with Folder() as folder, Qmp(OURS) as q:
        source = qcow2(folder, "source")
        target = qcow2(folder, "target", patches=0)
        q.add("source", source)
        q.add("target", target)
        load = Load(q.export(folder, "source"), 16 * MIB, pause=0.0005)
        load.start()
        q.good("blockdev-mirror", device="source", target="target", sync="full", job_id="j",
               **options)
        q.wait("BLOCK_JOB_READY", device="j")
        time.sleep(0.3)
        q.good("block-job-complete", device="j")
        check("error" not in q.gone("j"), "the job has failed")
        time.sleep(0.2)
        wanted = load.stop()
        q.good("block-export-del", id="export-source")
        q.good("blockdev-del", node_name="target")
        check(content(target) == wanted, "the target differs")


def mirror_under_load():
    mirrored()


def mirror_write_blocking():
    mirrored(copy_mode="write-blocking")


def mirror_cancelled_when_ready():
    with Folder() as folder, Qmp(OURS) as q:
        source, target = qcow2(folder, "source"), folder.raw("target", 16 * MIB, seed=5)
        q.add("source", source)
        q.add("target", target, "raw")
        q.good("blockdev-mirror", device="source", target="target", sync="full", job_id="j")
        q.wait("BLOCK_JOB_READY", device="j")
        q.good("block-job-cancel", device="j")
        check("error" not in q.gone("j"), "the job has failed")
        q.good("blockdev-del", node_name="target")
        q.good("blockdev-del", node_name="source")
        check(content(target, "raw") == content(source), "the target differs")


def mirror_cancelled_by_force():
    with Folder() as folder, Qmp(OURS) as q:
        q.add("source", qcow2(folder, "source"))
        q.add("target", folder.raw("target", 16 * MIB, blank=True), "raw")
        for speed in (1, 65536, 1 << 20):
            q.good("blockdev-mirror", device="source", target="target", sync="full", job_id="j",
                   speed=speed)
            time.sleep(0.05)
            q.good("block-job-pause", device="j")
            check(q("block-job-cancel", device="j")["class"] == "GenericError", "paused")
            q.good("block-job-cancel", device="j", force=True)
            q.wait("BLOCK_JOB_CANCELLED", device="j")
            q.wait("JOB_STATUS_CHANGE", id="j", status="null")
        names = [node["node-name"] for node in q.good("query-named-block-nodes")]
        check(not [n for n in names if n.startswith("#") and len(names) > 4], names)
        q.good("blockdev-del", node_name="source")
        q.good("blockdev-del", node_name="target")


def backup_under_load():
    for options in ({}, {"compress": True}):
        with Folder() as folder, Qmp(OURS) as q:
            source, target = qcow2(folder, "source"), qcow2(folder, "target", patches=0)
            q.add("source", source)
            q.add("target", target)
            load = Load(q.export(folder, "source"), 16 * MIB, pause=0.0005)
            before = bytes(load.content)
            q.good("blockdev-backup", device="source", target="target", sync="full", job_id="k",
                   speed=16 * MIB, **options)
            load.start()
            check("error" not in q.gone("k"), "the job has failed")
            after = load.stop()
            check(before != after, "nothing has changed")
            q.good("blockdev-del", node_name="target")
            check(content(target) == before, "the backup is not of its moment")


def incremental_chain():
    with Folder() as folder, Qmp(OURS) as q:
        source = qcow2(folder, "source")
        q.add("source", source)
        load = Load(q.export(folder, "source"), 16 * MIB)
        full = qcow2(folder, "full", patches=0)
        q.add("full", full)
        q.good("transaction", actions=[
            {"type": "block-dirty-bitmap-add", "data": {"node": "source", "name": "b"}},
            {"type": "blockdev-backup", "data": {"device": "source", "target": "full",
                                                 "sync": "full", "job-id": "k"}}])
        load.start()
        check("error" not in q.gone("k"), "the full backup has failed")
        q.good("blockdev-del", node_name="full")
        last = full
        for number in range(3):
            time.sleep(0.05)
            target = qcow2(folder, f"inc{number}", backing=last, patches=0)
            q.add("inc", target, backing=None)
            if number == 2:
                load.stop()
            q.good("blockdev-backup", device="source", target="inc", sync="incremental",
                   bitmap="b", job_id="k")
            check("error" not in q.gone("k"), "an incremental backup has failed")
            q.good("blockdev-del", node_name="inc")
            last = target
        check(content(last) == bytes(load.content), "the chain differs")


def failed_backup_keeps_bitmap():
    with Folder() as folder, Qmp(OURS) as q:
        q.add("source", qcow2(folder, "source", patches=0))
        q.good("block-dirty-bitmap-add", node="source", name="b")
        uri = q.export(folder, "source")
        run("qemu-io", "-f", "raw", "-c", "write -P 5 0 1M", uri)
        q.good("blockdev-add", driver="raw", node_name="target", file={
            "driver": "blkdebug",
            "inject-error": [{"event": "none", "iotype": "write", "errno": 5}],
            "image": {"driver": "file", "filename": folder.raw("t", 16 * MIB, blank=True)}})
        q.good("blockdev-backup", device="source", target="target", sync="incremental",
               bitmap="b", job_id="k")
        q.wait("BLOCK_JOB_ERROR", device="k", operation="write", action="report")
        check("error" in q.gone("k"), "an error was not told")
        node = [n for n in q.good("query-named-block-nodes") if n["node-name"] == "source"][0]
        equal([b["count"] for b in node["dirty-bitmaps"]], [MIB])


def snapshots_stream_commit():
    with Folder() as folder, Qmp(OURS) as q:
        base = qcow2(folder, "base")
        q.add("base", base)
        load = Load(q.export(folder, "base"), 16 * MIB, pause=0.0005)
        load.start()
        for name in ("one", "two", "three"):
            time.sleep(0.05)
            q.good("blockdev-snapshot-sync", node_name="base" if name == "one" else last,
                   snapshot_file=folder(name), snapshot_node_name=name)
            last = name
        # the middle goes down, then all of the rest up
        q.good("block-commit", device="three", top_node="two", base_node="one", job_id="c")
        check("error" not in q.gone("c"), "commit")
        q.good("block-stream", device="three", base_node="base", job_id="s")
        check("error" not in q.gone("s"), "stream")
        q.good("blockdev-snapshot-sync", node_name="three", snapshot_file=folder("four"),
               snapshot_node_name="four")
        time.sleep(0.05)
        q.good("block-commit", device="four", job_id="a", base_node="three")
        q.wait("BLOCK_JOB_READY", device="a")
        q.good("block-job-complete", device="a")
        check("error" not in q.gone("a"), "active commit")
        wanted = load.stop()
        q.good("block-export-del", id="export-base")
        q.good("nbd-server-stop")
        for name in ("four", "three", "two", "one"):
            if q("query-named-block-nodes"):
                q("blockdev-del", node_name=name)
        check(content(folder("three")) == wanted, "the chain differs")


def stream_past_the_end():
    """Below an image that is shorter than the one above it lies what must not come to light."""
    with Folder() as folder, Qmp(OURS) as q:
        for name, size, below in (("base", "8M", None), ("mid", "4M", "base"),
                                  ("top", "8M", "mid")):
            backing = ["-b", folder(below), "-F", "qcow2"] if below else []
            run("qemu-img", "create", "-q", "-f", "qcow2", *backing, folder(name), size)
        run("qemu-io", "-f", "qcow2", "-c", "write -P 1 0 8M", folder("base"))
        run("qemu-img", "convert", "-O", "raw", folder("top"), folder("wanted"))
        q.add("top", folder("top"))
        base = [n["node-name"] for n in q.good("query-named-block-nodes")
                if n["file"] == folder("base") and n["drv"] == "qcow2"][0]
        q.good("block-stream", device="top", base_node=base, job_id="s")
        check("error" not in q.gone("s"), "stream")
        q.good("blockdev-del", node_name="top")
        run("qemu-img", "compare", folder("top"), folder("wanted"))


def commit_past_the_end():
    """The same where the short image goes."""
    with Folder() as folder, Qmp(OURS) as q:
        for name, size, below in (("base", "8M", None), ("mid", "4M", "base"),
                                  ("top", "7M", "mid")):
            backing = ["-b", folder(below), "-F", "qcow2"] if below else []
            run("qemu-img", "create", "-q", "-f", "qcow2", *backing, folder(name), size)
        run("qemu-io", "-f", "qcow2", "-c", "write -P 1 0 8M", folder("base"))
        run("qemu-io", "-f", "qcow2", "-c", "write -P 2 1M 1M", folder("mid"))
        run("qemu-img", "convert", "-O", "raw", folder("top"), folder("wanted"))
        q.add("top", folder("top"))
        nodes = {n["file"]: n["node-name"] for n in q.good("query-named-block-nodes")
                 if n["drv"] == "qcow2"}
        q.good("block-commit", device="top", top_node=nodes[folder("mid")],
               base_node=nodes[folder("base")], job_id="c")
        check("error" not in q.gone("c"), "commit")
        q.good("blockdev-del", node_name="top")
        run("qemu-img", "compare", folder("top"), folder("wanted"))


def client_goes():
    with Folder() as folder, Qmp(OURS) as q:
        source, target = qcow2(folder, "source"), folder.raw("target", 16 * MIB, blank=True)
        q.add("source", source)
        q.add("target", target, "raw")
        uri = q.export(folder, "source")
        client = subprocess.Popen(["nbdcopy", "--no-extents", uri, "null:"])
        q.good("blockdev-mirror", device="source", target="target", sync="full", job_id="j")
        client.kill()
        client.wait()
        q.wait("BLOCK_JOB_READY", device="j")
        q.good("block-export-del", id="export-source", mode="hard")
        q.wait("BLOCK_EXPORT_DELETED", id="export-source")
        q.good("block-job-complete", device="j")
        check("error" not in q.gone("j"), "the job has failed")


def claims():
    """Who uses a node is named when another is refused."""
    with Folder() as folder, Qmp(OURS) as q:
        for name in "abc":
            q.add(name, folder.raw(name, 16 * MIB), "raw")
        low = qcow2(folder, "low")
        middle = qcow2(folder, "middle", backing=low)
        q.add("top", qcow2(folder, "top", backing=middle))
        names = {n["file"]: n["node-name"] for n in q.good("query-named-block-nodes")
                 if n["drv"] == "qcow2"}
        q.good("blockdev-mirror", device="a", target="b", sync="full", speed=65536, job_id="j")
        busy = "Node '%s' is busy: block device is in use by block job: %s"
        for target, source in (("a", "c"), ("b", "c")):
            for command in ("blockdev-mirror", "blockdev-backup"):
                equal(q(command, device=source, target=target, sync="full", job_id="k")["desc"],
                      busy % (target, "mirror"))
                equal(q(command, device=target, target=source, sync="full", job_id="k")["desc"],
                      busy % (target, "mirror"))
            equal(q("block_resize", node_name=target, size=MIB)["desc"],
                  busy % (target, "mirror"))
        answer = q("block-export-add", type="vhost-user-blk", id="e", node_name="b", writable=True,
                   addr={"type": "unix", "path": folder("s")})["desc"]
        check("block job: mirror" in answer and "block export 'e'" in answer, answer)
        q.good("block-export-add", type="vhost-user-blk", id="e", node_name="c", writable=True,
               addr={"type": "unix", "path": folder("s")})
        answer = q("blockdev-mirror", device="top", target="c", sync="full", job_id="k")["desc"]
        check("block job: mirror" in answer and "block export 'e'" in answer, answer)
        q.good("block-stream", device="top", speed=65536, job_id="s")
        for name in (low, middle):
            equal(q("blockdev-mirror", device=names[name], target="c", sync="full",
                    job_id="k")["desc"], busy % (names[name], "stream"))
        equal(q("block-commit", device="top", top_node=names[middle], job_id="k")["desc"],
              busy % ("top", "stream"))
        for job in "js":
            q.good("block-job-cancel", device=job, force=True)
            q.wait("JOB_STATUS_CHANGE", id=job, status="null")
    with Folder() as folder:
        node = json.dumps({"driver": "raw", "node-name": "n",
                           "file": file_node(folder.raw("n", MIB))})
        drive = ["-S", "-display", "none", "-nodefaults", "-blockdev", node]
        pair = ["-device", "virtio-blk-pci,drive=n,id=x%s", "-device",
                "virtio-blk-pci,drive=n,id=y%s"]
        said = run(RUN, *drive, *[p.replace("%s", "") for p in pair], rc=1)
        check("'x'" in said and "'y'" in said and "'n'" in said, said)
        with Qmp(RUN, *drive, *[p.replace("%s", ",share-rw=on") for p in pair]) as q:
            q.good("query-block")
        with Qmp(RUN, *drive, *pair[:1], pair[1].replace("%s", "")) as q:
            export = {"type": "vhost-user-blk", "id": "e", "node-name": "n", "writable": True,
                      "addr": {"type": "unix", "path": folder("s")}}
            said = q("block-export-add", export)["desc"]
            check("block device 'x'" in said and "block export 'e'" in said, said)
            q.good("block-export-add", export | {"writable": False})


def iothreads():
    """Nodes on iothreads of their own: every command goes to them, exports reach over."""
    with Folder() as folder, Qmp(OURS, "--object", "iothread,id=t1", "--object",
                                 "iothread,id=t2") as q:
        def place(node, where, **more):
            return q("x-blockdev-set-iothread", {"node-name": node, "iothread": where}, **more)

        source, target = qcow2(folder, "source"), qcow2(folder, "target", patches=0)
        q.add("source", source)
        q.add("target", target)
        equal(place("source", "nope")["desc"], "Cannot find iothread nope")
        equal(place("source", "t1"), {})
        equal(q("object-del", id="t1")["desc"], "object 't1' is in use, can not be deleted")
        check(len(q.good("query-named-block-nodes")) == 4, "nodes")
        q.good("query-blockstats", query_nodes=True)
        load = Load(q.export(folder, "source"), 16 * MIB, pause=0.0005)
        q.good("blockdev-add", driver="nbd", node_name="remote", read_only=True, export="source",
               server={"type": "unix", "path": folder("nbd-source")})
        load.start()
        check("use force=true" in place("source", "t2")["desc"], "force")
        for i in range(30):
            equal(place("source", ["t2", None, "t1"][i % 3], force=True), {})
            equal(place("remote", ["t1", "t2", None][i % 3]), {})
            time.sleep(0.01)
        q.good("block-dirty-bitmap-add", node="source", name="b")
        q.good("block-dirty-bitmap-clear", node="source", name="b")
        # The target comes to where the source is, and neither goes while the job works.
        q.good("blockdev-mirror", device="source", target="target", sync="full", job_id="j")
        q.wait("BLOCK_JOB_READY", device="j")
        check("block job: mirror" in place("source", "t2", force=True)["desc"], "the job")
        q.good("block-job-complete", device="j")
        check("error" not in q.gone("j"), "the job has failed")
        equal(place("target", "t2", force=True), {})
        q.good("blockdev-snapshot-sync", node_name="target", snapshot_file=folder("top"),
               snapshot_node_name="top")
        q.good("block-commit", device="top", job_id="c")
        q.wait("BLOCK_JOB_READY", device="c")
        q.good("block-job-complete", device="c")
        check("error" not in q.gone("c"), "the commit has failed")
        time.sleep(0.1)
        equal(place("target", "t1", force=True), {})
        wanted = load.stop()
        q.add("copy", folder.raw("copy", 16 * MIB), "raw")
        equal(place("remote", "t2"), {})
        q.good("blockdev-backup", device="remote", target="copy", sync="full", job_id="r")
        check("error" not in q.gone("r"), "the copy from the server has failed")
        q.good("blockdev-del", node_name="copy")
        check(content(folder("copy"), "raw") == wanted, "the copy from the server differs")
        q.good("blockdev-del", node_name="remote")
        q.good("block-export-del", id="export-source")
        q.good("nbd-server-stop")
        # An export that works where its node is holds it there.
        q.good("block-export-add", type="vhost-user-blk", id="v", node_name="target",
               writable=True, iothread="t2", addr={"type": "unix", "path": folder("v")})
        check("block export 'v'" in place("target", None, force=True)["desc"], "the export")
        equal(q("block-export-add", type="vhost-user-blk", id="w", node_name="target",
                iothread="t1", fixed_iothread=True,
                addr={"type": "unix", "path": folder("w")})["class"], "GenericError")
        q.good("block-export-del", id="v")
        for node in ("target", "source"):
            equal(place(node, None, force=True), {})
        q.good("object-del", id="t1")
        q.good("blockdev-del", node_name="target")
        check(content(target) == wanted, "the target differs")


def machine():
    with Folder() as folder:
        disk, plain = qcow2(folder, "disk"), folder.raw("plain", 16 * MIB)
        wanted, untouched = content(disk), content(plain, "raw")
        with Qmp(RUN, "-S", "-display", "none", "-drive",
                 f"file={disk},format=qcow2,if=virtio,id=d0", "-drive",
                 f"file={plain},format=raw,if=virtio,id=d1,snapshot=on", "-blockdev",
                 json.dumps({"driver": "raw", "node-name": "n", "file": file_node(
                     folder.raw("n", MIB))}), "-device", "virtio-blk-pci,drive=n") as q:
            q.good("blockdev-snapshot-sync", device="d0", snapshot_file=folder("overlay"))
            q.good("drive-mirror", device="d0", target=folder("mirror"), sync="full",
                   format="qcow2")
            q.wait("BLOCK_JOB_READY", device="d0")
            q.good("cont")
            q.good("block-job-complete", device="d0")
            check("error" not in q.gone("d0"), "the mirror has failed")
            disks = {d["device"] or d["inserted"]["node-name"]: d["inserted"]
                     for d in q.good("query-block")}
            equal(disks["d0"]["file"], folder("mirror"))
            equal([disks["d1"]["drv"], disks["d1"]["backing_file"]], ["qcow2", plain])
            equal(disks["n"]["node-name"], "n")
            q.good("drive-backup", device="d0", target=folder("backup"), sync="full",
                   format="raw")
            check("error" not in q.gone("d0"), "the backup has failed")
            equal(q("blockdev-del", node_name="n")["desc"], "Node n is in use")
            equal(q("block-job-cancel", device="d0")["class"], "DeviceNotActive")
        equal([content(folder("mirror")) == wanted, content(folder("backup"), "raw") == wanted,
               content(plain, "raw") == untouched], [True] * 3)


sys.exit(report([command_line, nodes, jobs, bitmaps, exports, mirror_under_load,
                 mirror_write_blocking, mirror_cancelled_when_ready, mirror_cancelled_by_force,
                 backup_under_load, incremental_chain, failed_backup_keeps_bitmap,
                 snapshots_stream_commit, stream_past_the_end,
                 commit_past_the_end, client_goes, claims, iothreads,
                 machine]))
