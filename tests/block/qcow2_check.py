# tests/block/qcow2_check.py VITRINE-IMG - damaged qcow2 images: found, repaired, then good
# SPDX-License-Identifier: GPL-3.0-or-later
import json
import struct

import images
from images import KIB, MIB, Folder, both, both_json, check, equal, img, qemu_img, qemu_io, run

C = 64 * KIB
COPIED, COMPRESSED = 1 << 63, 1 << 62
OFFSET = 0x00fffffffffffe00


class Image:
    """A small qcow2 image in memory, to be damaged: 17 clusters of data, of them 16 in a row."""

    def __init__(self, data):
        self.data = bytearray(data)
        self.l1, self.rt = self.get(40), self.get(48)
        self.l2, self.block = self.get(self.l1) & OFFSET, self.get(self.rt)

    def get(self, at):
        return struct.unpack_from(">Q", self.data, at)[0]

    def put(self, at, value):
        struct.pack_into(">Q", self.data, at, value)

    def entry(self, index, value=None):
        if value is not None:
            self.put(self.l2 + 8 * index, value)
        return self.get(self.l2 + 8 * index)

    def refcount(self, cluster, value):
        struct.pack_into(">H", self.data, self.block + 2 * cluster, value)

    @property
    def clusters(self):
        return len(self.data) // C


def leak(i):
    n = i.clusters
    i.data += bytes(2 * C)
    i.refcount(n, 1)
    i.refcount(n + 1, 3)


def not_copied(i):
    i.entry(1, i.entry(1) & ~COPIED)
    i.put(i.l1, i.get(i.l1) & ~COPIED)


# What is done, which data is lost by it (clusters of the disk), whether qemu-img says the same
# without and with repairs (it leaves some errors as they are).
DAMAGE = {
    "leak": (leak, [], True),
    "free but used": (lambda i: i.refcount(6, 0), [], True),
    "counted too high": (lambda i: i.refcount(6, 2), [], True),
    "not copied": (not_copied, [], True),
    "used twice": (lambda i: i.entry(1, i.entry(2)), [1], True),
    "compressed and copied": (lambda i: i.entry(20, COMPRESSED | COPIED | i.entry(1) & OFFSET),
                              None,
                              False),
    "corrupt bit": (lambda i: i.data.__setitem__(79, 2), [], True),
    "data out of the file": (lambda i: i.entry(1, COPIED | 1 << 30), [1], False),
    "compressed out of the file": (lambda i: i.entry(20, COMPRESSED | 5 << 28), [20], False),
    "data not aligned": (lambda i: i.entry(1, i.entry(1) + 512), [1], False),
    "zeroes not aligned": (lambda i: i.entry(1, 0x60201), [1], False),
    "table out of the file": (lambda i: i.put(i.l1, COPIED | 1 << 30), range(16), False),
    "table not aligned": (lambda i: i.put(i.l1, i.get(i.l1) + 512), range(16), False),
    "reserved bits in L2": (lambda i: i.entry(1, i.entry(1) | 1 << 60), [], False),
    "reserved bits in L1": (lambda i: i.put(i.l1, i.get(i.l1) | 1 << 60), [], False),
    "data over a refcount block": (lambda i: i.entry(1, COPIED | i.block), [1], False),
    "block out of the file": (lambda i: i.put(i.rt, 1 << 30), [], False),
    "block not aligned": (lambda i: i.put(i.rt, i.block + 512), [], False),
    "no block": (lambda i: i.put(i.rt, 0), [], False),
    "block used twice": (lambda i: i.put(i.rt + 8, i.block), [], False),
    "cut short": (lambda i: i.data.__delitem__(slice(-3 * C, None)), [13, 14, 15], False),
}


def sound(path, options=""):
    qemu_img("create", "-q", "-f", "qcow2", *(["-o", options] if options else []), path, "64M")
    qemu_io(path, "write -P 1 0 1M", "write -z 4M 64k")
    with open(path, "rb") as file:
        return file.read()


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def test_same_words():
    with Folder() as f:
        data = sound(f("base"))
        for name, (damage, _, same) in DAMAGE.items():
            if not same:
                continue
            i = Image(data)
            damage(i)
            for repair in ([], ["-r", "leaks"], ["-r", "all"]):
                if repair == ["-r", "leaks"] and name in ("free but used", "used twice"):
                    continue
                if repair == ["-r", "all"] and name == "free but used":
                    continue                # repaired where it is, not rebuilt
                both("check", *repair, f("t"), prepare=lambda d=i.data: write(f("t"), d),
                     names=[f("t")])


def test_repaired():
    with Folder() as f:
        data = sound(f("base"))
        qemu_img("convert", "-O", "raw", f("base"), f("raw"))
        for name, (damage, lost, _) in DAMAGE.items():
            i = Image(data)
            damage(i)
            write(f("t"), i.data)
            before = img("check", f("t"), status=None)
            check(name == "corrupt bit" or before.returncode in (2, 3),
                  f"{name}: {before.returncode}")
            after = img("check", "-r", "all", f("t"), status=None)
            equal(after.returncode, 0, f"{name}\n{after.stdout}{after.stderr}")
            equal(qemu_img("check", f("t"), status=None).returncode, 0, name)
            with open(f("t"), "rb") as file:
                equal(file.read(80)[79], 0, name)
            if lost is None:        # cannot be read, as before
                continue
            qemu_img("convert", "-O", "raw", f("t"), f("now"))
            with open(f("raw"), "rb") as a, open(f("now"), "rb") as b:
                for n in range(32):
                    x, y = a.read(C), b.read(C)
                    check(x == y or n in lost, f"{name}: cluster {n} has changed")


def test_facts():
    with Folder() as f:
        sound(f("base"))
        both("check", f("base"), names=[f("base")])
        both_json("check", "--output=json", f("base"))
        qemu_io(f("base"), "write 32M 64k", "write 20M 64k", "write 33M 128k")
        both("check", f("base"), names=[f("base")])
        both_json("check", "--output=json", f("base"))


def test_sound():
    """What qemu-img writes, in its variety, has no errors."""
    with Folder() as f:
        images.mixed(f("raw"))
        for n, options in enumerate(
                ["compat=0.10", "cluster_size=512", "cluster_size=2M", "refcount_bits=1",
                 "refcount_bits=64", "refcount_bits=8", "extended_l2=on,cluster_size=128k",
                 "lazy_refcounts=on", "preallocation=metadata", "preallocation=falloc",
                 f"data_file={f('data')}", f"data_file={f('data')},data_file_raw=on"]):
            for compress in [[], ["-c"]]:
                if compress and ("data_file" in options or "preallocation" in options):
                    continue
                path = f(f"i{n}")
                qemu_img("convert", *compress, "-O", "qcow2", "-o", options, f("raw"), path)
                both_json("check", "--output=json", path)
                if "data_file" in options or "refcount_bits=1" in options:
                    continue
                qemu_img("snapshot", "-c", "one", path)
                qemu_io(path, "write 0 512k")
                qemu_img("snapshot", "-c", "two", path)
                both_json("check", "--output=json", path)
                # Damage every refcount block: all is built anew.
                with open(path, "r+b") as file:
                    head = file.read(104)
                    table, count = struct.unpack_from(">QI", head, 48)
                    file.seek(table)
                    file.write(bytes(8))
                img("check", "-r", "all", path)
                qemu_img("check", path)
                both_json("check", "--output=json", path)


def test_bitmaps():
    with Folder() as f:
        sound(f("b"))
        qemu_img("bitmap", "--add", f("b"), "one")
        qemu_img("bitmap", "--add", "-g", "512", f("b"), "two")
        qemu_io(f("b"), "write 8M 1M", "write 60M 64k")
        both_json("check", "--output=json", f("b"))
        info = json.loads(img("info", "--output=json", f("b")).stdout)
        equal(info["format-specific"]["data"]["bitmaps"],
              json.loads(qemu_img("info", "--output=json", f("b")).stdout)
              ["format-specific"]["data"]["bitmaps"])


images.main(globals())
