# tests/block/qcow2_meta.py VITRINE-IMG - snapshots, bitmaps, amendments, turn about with qemu-img
# SPDX-License-Identifier: GPL-3.0-or-later
import json
import random
import shutil
import struct

import images
from images import MIB, Folder, both, both_json, check, equal, img, qemu_img, qemu_io, same_bytes

TOOLS = (img, qemu_img)
OPTIONS = ("", "compat=0.10", "cluster_size=4k", "extended_l2=on", "lazy_refcounts=on")


def make(tool, path, options, size="16M"):
    tool("create", "-q", "-f", "qcow2", *(["-o", options] if options else []), path, size)


def sound(path):
    for tool in TOOLS:
        tool("check", "-q", path)


def scribble(path, source):
    commands = []
    for _ in range(4):
        offset, length = source.randrange(0, 15 * MIB, 512), source.randrange(1, 1500) * 512
        kind = source.choice(["-P %d" % source.randrange(1, 255), "-z"])
        commands.append(f"write {kind} {offset} {min(length, 16 * MIB - offset)}")
    qemu_io(path, *commands, fmt="qcow2")


def raw(path, target, snapshot=None):
    qemu_img("convert", "-O", "raw", *(["-l", snapshot] if snapshot else []), path, target)


def test_snapshots_turn_about():
    """Each step by either tool; the content of every snapshot is known all the time."""
    source = random.Random(5)
    for options in OPTIONS:
        with Folder() as f:
            make(source.choice(TOOLS), f("d"), options)
            kept = []
            for step in range(8):
                scribble(f("d"), source)
                tool, what = source.choice(TOOLS), source.choice(["-c", "-c", "-a", "-d"])
                if what == "-c" or not kept:
                    name = f"s{step}"
                    tool("snapshot", "-c", name, f("d"))
                    raw(f("d"), f(name))
                    kept.append(name)
                elif what == "-a":
                    name = source.choice(kept)
                    tool("snapshot", "-a", name, f("d"))
                    raw(f("d"), f("now"))
                    same_bytes(f("now"), f(name))
                else:
                    name = kept.pop(source.randrange(len(kept)))
                    tool("snapshot", "-d", name, f("d"))
                sound(f("d"))
            for name in kept:
                raw(f("d"), f("now"), name)
                same_bytes(f("now"), f(name))
                img("convert", "-O", "raw", "-l", name, f("d"), f("now"))
                same_bytes(f("now"), f(name))
            both("snapshot", "-l", f("d"))
            both_json("info", "--output=json", f("d"))


def bitmaps(path):
    data = json.loads(qemu_img("info", "--output=json", path).stdout)["format-specific"]["data"]
    return sorted((b["name"], b["granularity"], b["flags"]) for b in data.get("bitmaps", []))


def test_bitmaps_turn_about():
    source = random.Random(6)
    for options in ("", "cluster_size=4k", "extended_l2=on"):
        with Folder() as f:
            make(source.choice(TOOLS), f("d"), options)
            for step in range(6):
                tool = source.choice(TOOLS)
                names = [b[0] for b in bitmaps(f("d"))]
                verb = source.choice(["--add", "--add", "--remove", "--disable", "--enable",
                                      "--clear"])
                if verb == "--add" or not names:
                    tool("bitmap", "--add", "-g", source.choice(["4k", "64k", "1M"]), f("d"),
                         f"b{step}")
                else:
                    tool("bitmap", verb, f("d"), source.choice(names))
                scribble(f("d"), source)
                check(all("in-use" not in b[2] for b in bitmaps(f("d"))), "left in use")
                sound(f("d"))
                both_json("info", "--output=json", f("d"))


def test_bitmaps_say_the_same():
    """Bits written by one tool's programs are read by the other: merged, they come back."""
    with Folder() as f:
        for maker, merger in (TOOLS, TOOLS[::-1]):
            make(maker, f("d"), "")
            maker("bitmap", "--add", f("d"), "a")
            qemu_io(f("d"), "write 1M 64k", "write 9M 2M")
            merger("bitmap", "--add", "--merge", "a", "-g", "128k", f("d"), "b")
            sound(f("d"))
            both_json("info", "--output=json", f("d"))


def test_amend_turn_about():
    source = random.Random(7)
    with Folder() as f:
        images.mixed(f("raw"))
        for maker in TOOLS:
            maker("convert", "-O", "qcow2", f("raw"), f("d"))
            for change in ("refcount_bits=64", "refcount_bits=8", "compat=v2,refcount_bits=16",
                           "compat=1.1,lazy_refcounts=on", "size=12M", "size=8M"):
                source.choice(TOOLS)("amend", "-f", "qcow2", "-o", change, f("d"))
                sound(f("d"))
                both_json("info", "--output=json", f("d"))
            raw(f("d"), f("now"))
            same_bytes(f("now"), f("raw"))


def test_damaged_snapshots():
    """A snapshot whose table cannot be is named by check and stays as it is; all else works, and
    what only it may use is not freed."""
    with Folder() as f:
        images.mixed(f("raw"))
        qemu_img("convert", "-O", "qcow2", f("raw"), f("whole"))
        for name in ("s1", "s2"):
            qemu_img("snapshot", "-c", name, f("whole"))
        with open(f("whole"), "rb") as file:
            image = bytearray(file.read())
        entry = struct.unpack_from(">Q", image, 64)[0]
        offset = struct.unpack_from(">Q", image, entry)[0]
        for offset, size in ((offset + 512, 1), (1 << 40, 1), (offset, 0x7fffffff)):
            struct.pack_into(">QI", image, entry, offset, size)
            with open(f("d"), "wb") as file:
                file.write(image)
            shutil.copyfile(f("d"), f("before"))
            equal(img("check", f("d"), status=2).stdout, qemu_img("check", f("d"), status=2).stdout)
            both("snapshot", "-l", f("d"))
            for change in ("-a", "-d"):
                img("snapshot", change, "s1", f("d"), status=1)
            img("check", "-r", "leaks", f("d"), status=2)
            same_bytes(f("d"), f("before"))
            img("snapshot", "-a", "s2", f("d"))
            raw(f("d"), f("now"))
            same_bytes(f("now"), f("raw"))


images.main(globals())
