# tests/block/img_readonly.py VITRINE-IMG - dmg, cloop and bochs images, made here and by bximage
# SPDX-License-Identifier: GPL-3.0-or-later
import base64
import bz2
import lzma
import os
import random
import struct
import zlib

import images
from images import KIB, Folder, check, content, equal, img, need, qemu_img, run, same_bytes

SECTOR = 512
END, COMMENT = 0xFFFFFFFF, 0x7FFFFFFE


# ---- making dmg ---------------------------------------------------------------------------------


def lzfse(data):
    """An LZFSE stream of blocks that are not compressed."""
    return b"bvx-" + struct.pack("<I", len(data)) + data + b"bvx$"


def adc(data):
    """Runs of a repeated byte as copies, the rest as it is: all three kinds of codes."""
    out, at = bytearray(), 0
    while at < len(data):
        run_length = 1
        while at + run_length < len(data) and data[at + run_length] == data[at]:
            run_length += 1
        if run_length > 4:
            out += bytes([0x80, data[at]])
            at, left = at + 1, run_length - 1
            while left:
                if left > 18:
                    step = min(left, 67)
                    out += bytes([0x40 | (step - 4), 0, 0])
                elif left >= 3:
                    step = left
                    out += bytes([(step - 3) << 2, 0])
                else:
                    step = left
                    out += bytes([0x80 | (step - 1)]) + data[at:at + step]
                at, left = at + step, left - step
        else:
            step = min(run_length, 128)
            out += bytes([0x80 | (step - 1)]) + data[at:at + step]
            at += step
    return bytes(out)


KINDS = {
    "zero": (0, None), "raw": (1, bytes), "ignore": (2, None), "adc": (0x80000004, adc),
    "zlib": (0x80000005, zlib.compress), "bzip2": (0x80000006, bz2.compress),
    "lzfse": (0x80000007, lzfse), "xz": (0x80000008, lzma.compress),
}


def mish(first, count, entries):
    """entries: (kind, sector, sectors, offset, length)"""
    head = struct.pack(">4sIQQQII24x136xI", b"mish", 1, first, count, 0, 0, 0, len(entries))
    return head + b"".join(struct.pack(">IIQQQQ", kind, 0, *rest) for kind, *rest in entries)


def koly(data_length, total, fork=(0, 0), xml=(0, 0)):
    head = struct.pack(">4sIIIQQQQQ", b"koly", 4, 512, 1, 0, 0, data_length, *fork)
    block = bytearray(512)
    block[:len(head)] = head
    struct.pack_into(">QQ", block, 216, *xml)
    struct.pack_into(">IQ", block, 488, 1, total)
    return bytes(block)


def plist(tables):
    items = "".join(f"<dict><key>Attributes</key><string>0x0050</string><key>Data</key>\n<data>\n"
                    f"{base64.encodebytes(table).decode()}</data><key>ID</key><string>{n}</string>"
                    f"</dict>" for n, table in enumerate(tables))
    return ('<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST'
            ' 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">\n<plist version="1.0">'
            "<dict><key>resource-fork</key><dict><key>plst</key><array><dict><key>Data</key><data>"
            f"AAAA</data></dict></array><key>blkx</key><array>{items}</array></dict></dict>"
            "</plist>").encode()


def fork(tables):
    data, offsets = bytearray(), []
    for table in tables:
        offsets.append(len(data))
        data += struct.pack(">I", len(table)) + table
    references = b"".join(struct.pack(">hHII", n, 0xFFFF, offset, 0)
                          for n, offset in enumerate(offsets))
    types = struct.pack(">H4sHH", 0, b"blkx", len(tables) - 1, 10) + references
    resource_map = bytes(24) + struct.pack(">HH", 28, 28 + len(types)) + types
    head = struct.pack(">IIII", 256, 256 + len(data), len(data), len(resource_map))
    return head.ljust(256, b"\0") + bytes(data) + resource_map


def make_dmg(path, kinds, style="plist", chunk=128 * KIB, damage=None, shuffle=True):
    """Two tables of chunks of these kinds; returns the disk's content."""
    disk, stored, tables, entries, first = bytearray(), bytearray(), [], [], 0
    for n, name in enumerate(kinds):
        kind, pack = KINDS[name]
        data = bytes(chunk)
        if pack:
            data = content(n, chunk // 2, "text") + bytes([n]) * 3000
            data = data.ljust(chunk, b"\0")
        packed = pack(data) if pack else b""
        entries.append((kind, len(disk) // SECTOR - first, chunk // SECTOR, len(stored),
                        len(packed)))
        entries.append((COMMENT, 0, 0, 0, 0))
        disk += data
        stored += packed
        if n == len(kinds) // 2 or n == len(kinds) - 1:
            if damage:
                entries = damage(entries)
            entries.append((END, len(disk) // SECTOR, 0, 0, 0))
            tables.append(mish(first, len(disk) // SECTOR - first, entries))
            first, entries = len(disk) // SECTOR, []
    if shuffle:     # the order of tables means nothing, but to qemu-img
        tables.reverse()
    resources = plist(tables) if style == "plist" else fork(tables)
    place = {"xml" if style == "plist" else "fork": (len(stored), len(resources))}
    with open(path, "wb") as file:
        file.write(stored + resources + koly(len(stored), len(disk) // SECTOR, **place))
    return bytes(disk)


def reads_as(path, disk, fmt):
    raw = path + ".raw"
    img("convert", "-f", fmt, "-O", "raw", path, raw)
    with open(raw, "rb") as file:
        data = file.read()
    equal(len(data), len(disk), f"{path}: size")
    check(data == disk, f"{path}: content differs")


def test_dmg():
    need("dmg")
    with Folder() as f:
        everything = ["zlib", "raw", "zero", "bzip2", "xz", "ignore", "adc", "lzfse", "zlib"]
        for style in ("plist", "fork"):
            disk = make_dmg(f(f"{style}.dmg"), everything, style)
            reads_as(f(f"{style}.dmg"), disk, "dmg")
            check("file format: dmg" in img("info", f(f"{style}.dmg")).stdout, "not probed")
        disk = make_dmg(f("simple.dmg"), ["zlib", "raw", "zero", "zlib"], shuffle=False)
        with open(f("disk"), "wb") as file:
            file.write(disk)
        qemu_img("compare", "-f", "dmg", "-F", "raw", f("simple.dmg"), f("disk"))
        img("compare", "-f", "dmg", "-F", "raw", f("simple.dmg"), f("disk"))


def test_dmg_corrupt():
    need("dmg")

    def change(n, **fields):
        def damage(entries):
            names = ["kind", "sector", "sectors", "offset", "length"]
            entry = dict(zip(names, entries[n])) | fields
            return [*entries[:n], tuple(entry[name] for name in names), *entries[n + 1:]]
        return damage

    with Folder() as f:
        for damage, complaint in (
                (change(0, kind=0x80000099), "not supported"),
                (change(0, offset=1 << 40), "past the file's end"),
                (change(0, offset=(1 << 64) - 1), "past the file's end"),
                (change(0, length=1 << 62), "past the file's end"),
                (change(0, sectors=1 << 20), "larger than max"),
                (change(0, sector=1 << 62), "no sensible sector"),
                (change(0, kind=0, sectors=(1 << 64) - 1), "no sensible sector"),
                (change(0, sector=100), "two chunks claim"),
                (change(0, kind=1, length=5), "shorter than its sectors")):
            make_dmg(f("bad.dmg"), ["zlib", "raw", "zlib", "zlib"], damage=damage)
            done = img("info", "-f", "dmg", f("bad.dmg"), status="fail")
            check(complaint in done.stderr, f"{complaint!r} is not in {done.stderr!r}")
        make_dmg(f("bad.dmg"), ["zlib", "zlib"], damage=change(0, length=20))
        img("info", f("bad.dmg"))
        img("convert", "-O", "raw", f("bad.dmg"), f("raw"), status="fail")
        make_dmg(f("good.dmg"), ["zlib", "raw", "xz", "adc"], "fork", chunk=4 * KIB)
        fuzz(f("good.dmg"), f("fuzz.dmg"), "dmg")


def fuzz(good, bad, fmt, rounds=25):
    """Whatever one finds in the file, it ends, and not by a signal."""
    source = random.Random(fmt)
    with open(good, "rb") as file:
        data = file.read()
    for _ in range(rounds):
        mutant = bytearray(data)
        for _ in range(source.randrange(1, 8)):
            at = source.randrange(max(len(mutant) - 1500, 0), len(mutant))
            if source.random() < 0.5:
                at = source.randrange(min(len(mutant), 1200))
            mutant[at] = source.choice([0, 0xFF, 0x80, source.randrange(256)])
        with open(bad, "wb") as file:
            file.write(mutant)
        done = img("compare", "-f", fmt, "-F", fmt, bad, bad, status=None)
        check(done.returncode in range(5), f"status {done.returncode}: {done.stderr}")


# ---- cloop ---------------------------------------------------------------------------------------


def make_cloop(path, blocks, block_size, n_blocks=None, offsets=None):
    script = b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1"
    packed = [zlib.compress(block) for block in blocks]
    at = 136 + 8 * (len(blocks) + 1)
    places = [at]
    for block in packed:
        places.append(places[-1] + len(block))
    for n, value in (offsets or {}).items():
        places[n] = value
    with open(path, "wb") as file:
        file.write(script.ljust(128, b"\0"))
        file.write(struct.pack(">II", block_size, len(blocks) if n_blocks is None else n_blocks))
        file.write(b"".join(struct.pack(">Q", place) for place in places) + b"".join(packed))


def test_cloop():
    need("cloop")
    with Folder() as f:
        blocks = [content(n, 64 * KIB, "text") for n in range(40)]
        make_cloop(f("a"), blocks, 64 * KIB)
        reads_as(f("a"), b"".join(blocks), "cloop")
        qemu_img("compare", "-f", "cloop", "-F", "raw", f("a"), f("a.raw"))
        for more, complaint in (({"block_size": 1000}, "multiple of 512"),
                                ({"block_size": 1 << 30}, "64 MB or less"),
                                ({"n_blocks": 1 << 31}, "more than the file has room for"),
                                ({"offsets": {3: 0}}, "monotonically"),
                                ({"offsets": {3: 1 << 60}}, "past the file's end")):
            make_cloop(f("bad"), blocks, **{"block_size": 64 * KIB} | more)
            done = img("info", "-f", "cloop", f("bad"), status="fail")
            check(complaint in done.stderr, f"{complaint!r} is not in {done.stderr!r}")
        make_cloop(f("small"), blocks[:3], 64 * KIB)
        fuzz(f("small"), f("fuzz"), "cloop")


# ---- bochs ---------------------------------------------------------------------------------------


def test_bochs():
    need("bochs")
    with Folder() as f:
        source = random.Random(5)
        with open(f("flat"), "wb") as file:     # sectors and whole extents of both kinds
            for sector in range(4 * 16 * 63):
                full = sector % 7 == 0 or 640 <= sector < 1280
                file.write(source.randbytes(SECTOR) if full and sector < 3000 else bytes(SECTOR))
        run("bximage", "-q", "-func=convert", "-imgmode=growing", f("flat"), f("growing"))
        check("file format: bochs" in img("info", f("growing")).stdout, "not probed")
        img("convert", "-f", "bochs", "-O", "raw", f("growing"), f("raw"))
        same_bytes(f("flat"), f("raw"))
        check(os.stat(f("raw")).st_blocks < 16 * 63 * 4, "what is not stored was written")
        fuzz(f("growing"), f("fuzz"), "bochs")


def test_read_only():
    need("dmg", "cloop", "bochs")
    with Folder() as f:
        run("bximage", "-q", "-func=create", "-hd=10M", "-imgmode=growing", f("a"))
        done = img("resize", "-f", "bochs", f("a"), "80M", status="fail")
        check("read-only" in done.stderr, done.stderr)
        for fmt in ("dmg", "cloop", "bochs"):
            img("create", "-f", fmt, f("b"), "1M", status="fail")


if __name__ == "__main__":
    images.main(globals())
