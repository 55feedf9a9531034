# tests/block/differ_nbd.py - random options of qemu-nbd and vitrine-nbd, random requests to both
# SPDX-License-Identifier: GPL-3.0-or-later
import hashlib
import json
import os
import random
import re
import subprocess
import threading
import time

import nbd

from differ import OURS, PATIENCE, THEIRS, Difference, Pair, finish, line_of, plain
from differ_images import KIB, MIB
from differ_steps import verify

FORMATS = ["qcow2"] * 6 + ["raw"] * 5 + ["vmdk", "vdi", "vpc", "qed", "vhdx", "parallels"]
FLAGS = [0, 0, 0, 0, nbd.CMD_FLAG_FUA, nbd.CMD_FLAG_DF, nbd.CMD_FLAG_NO_HOLE,
         nbd.CMD_FLAG_FAST_ZERO, nbd.CMD_FLAG_REQ_ONE, 1 << 9]
MINIMUM = re.compile(r'("block_size_minimum": )\d+')   # ours takes any byte
CONTEXTS = ["base:allocation", "qemu:allocation-depth", "qemu:dirty-bitmap:b1", "qemu:", "base:",
            "qemu:nosuch", "nosuch:x"]


class Plan:
    """What one round does; drawn from the seed before anything runs."""

    def __init__(self, rng):
        self.rng = rng
        self.fmt = rng.choice(FORMATS)
        self.size = rng.choice([MIB, 4 * MIB, 4 * MIB + 512, 3 * MIB + 64 * KIB, 100 * KIB,
                                16 * MIB])
        self.prepare = [["img", "create", "-q", "-f", self.fmt, "disk", str(self.size)]]
        self.name = ""
        pieces = []
        for _ in range(rng.randrange(0, 6)):
            at = rng.randrange(0, self.size // 512) * 512
            length = min(self.size - at, rng.choice([512, 4096, 65536, 200000]))
            verb = rng.choice(["write -P %d" % rng.randrange(1, 255)] * 3 + ["write -z", "discard"])
            pieces += ["-c", f"{verb} {at} {length}"]
        work = ["io", "-f", self.fmt, *pieces, "disk"]
        if pieces:
            self.prepare.append(work)
        if self.fmt == "qcow2" and rng.random() < 0.5:
            self.prepare.append(["img", "snapshot", "-c", "s1", "disk"])
            self.prepare.append(["img", "bitmap", "--add", "-g", "64k", "disk", "b1"])
            self.prepare.append(["io", "-f", "qcow2", "-c", "write -P 77 64k 32k", "disk"])
        if self.fmt == "qcow2" and rng.random() < 0.3:
            self.prepare.append(["img", "create", "-q", "-f", "qcow2", "-b", "disk", "-F", "qcow2",
                                 "top"])
            self.prepare.append(["io", "-f", "qcow2", "-c", "write -P 78 32k 80k", "top"])
            self.image = "top"
        else:
            self.image = "disk"
        self.options = self.draw_options()
        self.requests = [self.draw_request() for _ in range(rng.randrange(5, 40))]

    def maybe(self, chance, *words):
        return list(words) if self.rng.random() < chance else []

    def draw_options(self):
        pick = self.rng.choice
        words = ["-f", self.fmt] if self.rng.random() < 0.95 else self.maybe(0.5, "-f", pick(
            ["raw", "qcow2", "nosuch"]))
        words += self.maybe(0.2, "-r") + self.maybe(0.1, "-s") + self.maybe(0.2, "-A")
        words += self.maybe(0.15, "-l", pick(["s1", "1", "snapshot.name=s1", "snapshot.id=1",
                                              "nosuch", "snapshot.id=2,snapshot.name=s1"]))
        words += self.maybe(0.2, "-o", pick(["512", "1k", "4096", "64k", "1M", "100M", "x",
                                             "-1"]))
        words += self.maybe(0.2, "-B", pick(["b1", "b1", "nosuch"]))
        words += self.maybe(0.3, "-e", pick(["0", "1", "5", "x", "-1", "70000"]) if
                            self.rng.random() < 0.2 else "5")
        words += self.maybe(0.2, f"--discard={pick(['unmap', 'ignore', 'on', 'x'])}")
        words += self.maybe(0.15, f"--detect-zeroes={pick(['on', 'off', 'unmap', 'x'])}")
        caches = ["none", "writeback", "writethrough", "unsafe", "x"]
        words += self.maybe(0.15, f"--cache={pick(caches)}")
        words += self.maybe(0.1, f"--aio={pick(['threads', 'native', 'io_uring', 'x'])}")
        if self.rng.random() < 0.3:
            self.name = pick(["name", "a b", "é", "x" * 300])
            words += ["-x", self.name]
        words += self.maybe(0.2, "-D", pick(["a disk", "", "é"]))
        words += self.maybe(0.05, pick(["--nosuch", "-Z", "-c", "--fork=1", "-P", "-p", "extra",
                                        "--tls-creds=nosuch", "--object=foo", "--handshake-limit=x",
                                        "--handshake-limit=5", "--image-opts"]))
        return words

    def draw_request(self):
        pick = self.rng.choice
        size = self.size
        unit = pick([1, 512, 512, 4096, 65536])
        length = max(unit, pick([1, 512, 4096, 65536, 100000, MIB]) // unit * unit)
        at = self.rng.randrange(0, max(1, size // unit)) * unit
        roll = self.rng.random()
        if roll < 0.1:
            at = max(0, size - length)
        elif roll < 0.15:
            at = pick([size, size + 512, 1 << 62, size - 100])
        elif roll < 0.17:
            length = pick([0, 33 * MIB, 65 * MIB])
        elif at + length > size:
            length = max(1, size - at)
        kind = pick(["pread"] * 4 + ["pwrite"] * 4 + ["zero"] * 2 + ["trim", "cache", "flush",
                                                                    "block_status", "block_status"])
        if kind == "trim":      # what is left of a part of a cluster is up to the server
            at, length = at // MIB * MIB, MIB
        return kind, at, length, pick(FLAGS), self.rng.randrange(256)


class Server:
    """One of the two at work, or what it said when it did not come up."""

    def __init__(self, pair, side, args):
        self.socket = os.path.join(pair.path, f"socket{side}")
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        self.line = line_of("nbd", args)
        self.process = pair.start(side, "nbd", ["-t", "-k", self.socket, *args])
        end = time.monotonic() + 20
        while not os.path.exists(self.socket) and self.process.poll() is None and \
                time.monotonic() < end:
            time.sleep(0.005)
        time.sleep(0.03)

    def up(self):
        return self.process.poll() is None

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        return finish(self.process, self.line)


# ---- what a client sees --------------------------------------------------------------------------


def merged(rows):
    out = []
    for row in rows:
        if out and out[-1]["type"] == row["type"] and \
                out[-1]["offset"] + out[-1]["length"] == row["offset"]:
            out[-1]["length"] += row["length"]
        else:
            out.append({key: row[key] for key in ("offset", "length", "type")})
    return out


def walk(server, name, limit=20):
    """What nbdinfo and qemu-nbd see."""
    uri = f"nbd+unix:///{name.replace(' ', '%20')}?socket={server.socket}"
    seen = {}
    for what, command in (("facts", ["nbdinfo", "--json", uri]),
                          ("list", ["nbdinfo", "--list", "--json", uri]),
                          ("map", ["nbdinfo", "--map", "--json", uri]),
                          ("depth", ["nbdinfo", "--map=qemu:allocation-depth", "--json", uri]),
                          ("dirty", ["nbdinfo", "--map=qemu:dirty-bitmap:b1", "--json", uri]),
                          ("theirs", ["qemu-nbd", "-L", "-k", server.socket])):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit,
                                  check=False, errors="replace")
        except subprocess.TimeoutExpired:
            seen[what] = "did not end"
            continue
        text = done.stdout.replace(server.socket, "SOCKET")
        text = re.sub(r"min block: \d+", "min block: 1", text)
        if what != "theirs":
            try:
                text = json.loads(MINIMUM.sub(r"\g<1>1", text))
            except ValueError:
                pass
        if isinstance(text, list):
            text = merged(text)
        errors = plain(done.stderr.replace(server.socket, "SOCKET"))
        seen[what] = done.returncode, text, errors
    return seen


class Client:
    """A connection that does the requests of a plan; the same for both sides."""

    def __init__(self, server, plan, rng):
        self.handle = handle = nbd.NBD()
        handle.set_strict_mode(nbd.STRICT_AUTO_FLAG)
        handle.set_request_structured_replies(rng.random() < 0.9)
        handle.set_request_extended_headers(rng.random() < 0.5)
        handle.set_export_name(plan.name)
        for context in rng.sample(CONTEXTS, rng.randrange(0, 4)):
            handle.add_meta_context(context)
        self.timer = threading.Timer(PATIENCE, server.process.kill)
        self.timer.start()
        handle.connect_unix(server.socket)

    def facts(self):
        handle, facts = self.handle, {}
        for name in ("get_size", "is_read_only", "can_flush", "can_fua", "can_trim", "can_zero",
                     "can_fast_zero", "can_df", "can_cache", "can_multi_conn", "is_rotational",
                     "get_structured_replies_negotiated", "get_extended_headers_negotiated",
                     "get_protocol"):
            facts[name] = getattr(handle, name)()
        # ours takes any byte where theirs wants sectors
        for which in (nbd.SIZE_PREFERRED, nbd.SIZE_MAXIMUM, nbd.SIZE_PAYLOAD):
            facts[f"block size {which}"] = handle.get_block_size(which)
        facts["contexts"] = [c for c in CONTEXTS if handle.can_meta_context(c)]
        return facts

    def do(self, kind, at, length, flags, value):
        handle = self.handle
        try:
            if kind == "pread":
                return hashlib.md5(handle.pread(length, at, flags)).hexdigest()
            if kind == "pwrite":
                return handle.pwrite(bytes([value]) * length, at, flags)
            if kind == "flush":
                return handle.flush(flags)
            if kind == "block_status":
                return self.status(at, length, flags)
            return getattr(handle, kind)(length, at, flags)
        except nbd.Error as error:
            return f"{error.errno}"

    def status(self, at, length, flags):
        rows = {}

        def heard(context, offset, entries, _error):
            rows.setdefault(context, []).extend(entries)
            return 0

        self.handle.block_status_64(length, at, lambda c, o, e, x: heard(
            c, o, [word for extent in e for word in extent], x), flags)
        # what it says of the first bytes: how far one answer goes is the server's affair
        return {context: words[1] for context, words in sorted(rows.items())}

    def end(self):
        self.timer.cancel()
        try:
            self.handle.shutdown()
        except nbd.Error:
            pass


def talk(server, plan):
    said = []
    try:
        client = Client(server, plan, random.Random(plan.size))
    except nbd.Error as error:
        return [("connect", error.errno)]
    try:
        said.append(("facts", client.facts()))
        for request in plan.requests:
            said.append((request, client.do(*request)))
            if client.handle.aio_is_dead() or client.handle.aio_is_closed():
                said.append("the connection is gone")
                break
    finally:
        client.end()
    return said


# ---- one round -----------------------------------------------------------------------------------


def agree(theirs, ours):
    """Whether what one request gave is the same.  Theirs refuses all that it finds wrong in a
    request with EINVAL; ours with what the protocol has for the case. Each knows other zeroes that
    it makes fast, and theirs holds a cache for a change. What is too long ends the connection."""
    if theirs == ours or theirs[0] != ours[0]:
        return theirs == ours
    both, (kind, _at, length, *_more) = (theirs[1], ours[1]), theirs[0]
    return both in (("EINVAL", "EPERM"), ("EINVAL", "ENOSPC")) or \
        kind == "zero" and set(both) == {"ENOTSUP", None} or \
        kind == "cache" and both == ("EPERM", None) or length > 32 * MIB


def same(kind, plan, theirs, ours):
    if kind == "walk" and plan.fmt == "vhdx":   # ours knows which blocks are stored
        theirs, ours = [{what: said[what] for what in said if what not in ("map", "depth")}
                        for said in (theirs, ours)]
    talk = kind == "talk" and len(theirs) == len(ours)
    if theirs == ours or talk and all(map(agree, theirs, ours)):
        return
    if isinstance(theirs, list) and isinstance(ours, list):
        for a, b in zip(theirs, ours):
            if not agree(a, b):
                theirs, ours = a, b
                break
    elif isinstance(theirs, dict) and isinstance(ours, dict):
        keys = [key for key in theirs if theirs[key] != ours.get(key)]
        theirs, ours = {k: theirs[k] for k in keys}, {k: ours.get(k) for k in keys}
    raise Difference(f"nbd {kind}", f"{kind}\n--- theirs {theirs}\n--- ours   {ours}")


def round_of(tools, known, seed):
    plan = Plan(random.Random(f"nbd {seed}"))
    with Pair(tools, known) as pair:
        for tool, *args in plan.prepare:
            for side in (THEIRS, OURS):
                finish(pair.tools.start(THEIRS, tool, args, pair.folder(side)), tool)
        args = plan.options + [plan.image]
        try:
            serve(pair, plan, args)
            for name in ("disk", "top"):
                verify(pair, name, plan.fmt, False)
            if pair.words:
                raise Difference("words", "\n".join(pair.words))
        except Difference as difference:
            lines = [line_of(tool, words) for tool, *words in plan.prepare]
            raise Difference(difference.kind, "\n".join([*lines, line_of("nbd", args),
                                                         str(difference)])) from None
        return 2 + len(plan.requests)


def serve(pair, plan, args):
    servers = [Server(pair, side, args) for side in (THEIRS, OURS)]
    said = []
    try:
        up = [server.up() for server in servers]
        if up[THEIRS] != up[OURS]:      # one may only be slow to find out that it cannot serve
            time.sleep(2)
            up = [server.up() for server in servers]
        if up[THEIRS] != up[OURS]:
            raise Difference("nbd start", f"up: theirs {up[0]}, ours {up[1]}\n"
                             f"--- theirs {servers[0].stop()!r}\n--- ours {servers[1].stop()!r}")
        if up[THEIRS]:
            same("walk", plan, *[walk(server, plan.name) for server in servers])
            same("talk", plan, *[talk(server, plan) for server in servers])
    finally:
        said = [server.stop() for server in servers]
    pair.compare("nbd", servers[OURS].line, *said)
