# tests/block/img_chain.py VITRINE-IMG - commit, rebase, snapshot, bitmap, amend, measure, dd, bench
# SPDX-License-Identifier: GPL-3.0-or-later
import os
import shutil

from images import (KIB, MIB, Folder, both, both_json, check, equal, fill, formats, img, main,
                    mixed,
                    need, need_feature, qemu_img, qemu_io, same_bytes, same_content)


def chain(f, fmt="qcow2"):
    """base <- mid <- top, each with something of its own; raw copies of what each reads as."""
    for name, under in (("base", None), ("mid", "base"), ("top", "mid")):
        backing = ["-b", f(under), "-F", fmt] if under else []
        qemu_img("create", "-q", "-f", fmt, *backing, f(name), *([] if under else ["8M"]))
    qemu_io(f("base"), "write -P 1 0 2M", "write -P 1 6M 1M", fmt=fmt)
    qemu_io(f("mid"), "write -P 2 1M 1M", "write -z 6M 64k", fmt=fmt)
    qemu_io(f("top"), "write -P 3 2M 64k", "write -P 4 1536k 512", "write -z 1M 64k", fmt=fmt)
    for name in ("base", "mid", "top"):
        qemu_img("convert", "-f", fmt, "-O", "raw", f(name), f(name + ".raw"))


def test_commit():
    for fmt in ("qcow2", "qed"):
        if fmt not in formats():
            continue
        with Folder() as f:
            prepare = lambda: chain(f, fmt)
            both("commit", "-f", fmt, f("top"), prepare=prepare)
            same_content(f("mid"), f("top.raw"), fmt)
            same_content(f("top"), f("top.raw"), fmt)
            same_content(f("base"), f("base.raw"), fmt)
            both("commit", "-f", fmt, "-d", f("top"), prepare=prepare)
            same_content(f("mid"), f("top.raw"), fmt)
            both("commit", "-f", fmt, "-b", f("base"), f("top"), prepare=prepare)
            same_content(f("base"), f("top.raw"), fmt)
            qemu_img("check", "-f", fmt, f("base"))
            both("commit", "-f", fmt, "-b", f("nowhere"), f("top"), prepare=prepare)
            both("commit", "-f", fmt, f("base"), prepare=prepare)
            both("commit", "-f", fmt, "-r", "x", f("top"), prepare=prepare)


def test_grows_from_nothing():
    need("qcow2")
    with Folder() as f:
        for options in ("cluster_size=64k", "compat=0.10", "extended_l2=on", "preallocation=full"):
            img("create", "-q", "-f", "qcow2", "-o", options, f("a"), "0")
            qemu_img("check", f("a"))
            img("resize", "-q", f("a"), "1M")
            qemu_io(f("a"), "write -P 1 0 1M", fmt="qcow2")
            qemu_img("check", f("a"))
            both("info", "--output=json", f("a"))


def test_commit_grows():
    need("qcow2")
    with Folder() as f:
        qemu_img("create", "-q", "-f", "raw", f("base"), "1M")
        qemu_img("create", "-q", "-f", "qcow2", "-b", f("base"), "-F", "raw", f("top"), "4M")
        qemu_io(f("top"), "write -P 3 3M 64k")
        img("convert", f("top"), f("wanted"))
        img("commit", f("top"))
        same_bytes(f("base"), f("wanted"))


def test_shorter_middle():
    """Past the end of an image in between, what lies below it must not come to light."""
    need("qcow2")
    with Folder() as f:
        def prepare():
            for name in ("base", "mid", "top"):
                if os.path.exists(f(name)):
                    os.unlink(f(name))
            qemu_img("create", "-q", "-f", "qcow2", f("base"), "8M")
            qemu_io(f("base"), "write -P 1 0 8M")
            qemu_img("create", "-q", "-f", "qcow2", "-b", f("base"), "-F", "qcow2", f("mid"), "4M")
            qemu_img("create", "-q", "-f", "qcow2", "-b", f("mid"), "-F", "qcow2", f("top"), "8M")
            qemu_io(f("top"), "write -P 3 1M 64k")

        prepare()
        both_json("map", "--output=json", f("top"))
        qemu_img("convert", "-O", "raw", f("top"), f("wanted"))
        both("commit", "-b", f("base"), f("top"), prepare=prepare)
        same_content(f("base"), f("wanted"))
        both("rebase", "-b", f("base"), "-F", "qcow2", f("top"), prepare=prepare)
        same_content(f("top"), f("wanted"))


def test_rebase():
    need("qcow2")
    with Folder() as f:
        chain(f)
        need_feature("rebase", "-u", "-b", f("mid"), "-F", "qcow2", f("top"))
        for args in (["-b", f("base"), "-F", "qcow2"], ["-b", ""],
                     ["-c", "-b", f("base"), "-F", "qcow2"]):
            chain(f)
            both("rebase", *args, f("top"), prepare=lambda: chain(f))
            same_content(f("top"), f("top.raw"))
            qemu_img("check", f("top"))
        both("rebase", "-u", "-b", "elsewhere", "-F", "qcow2", f("top"), prepare=lambda: chain(f))
        both("info", f("top"))
        for args in ([f("top")], ["-b", f("base"), "-F", "nope", f("top")]):
            both("rebase", *args, prepare=lambda: chain(f))
        img("rebase", "-b", f("missing"), "-F", "qcow2", f("top"), status=1)


def test_rebase_compressed():
    """Clusters of which a part is stored already are not compressed."""
    need("qcow2")
    with Folder() as f:
        fill(f("old"), MIB, [(0, MIB, "text")])
        fill(f("new"), MIB, [(0, MIB, 9)])
        for options in ("extended_l2=on", "cluster_size=4k"):
            img("create", "-f", "qcow2", "-o", options, "-b", f("old"), "-F", "raw", f("top"))
            qemu_io(f("top"), "write -P 3 68k 2k", "write -P 4 300k 8k", fmt="qcow2")
            qemu_img("convert", "-O", "raw", f("top"), f("top.raw"))
            img("rebase", "-c", "-b", f("new"), "-F", "raw", f("top"))
            qemu_img("check", f("top"))
            same_content(f("top"), f("top.raw"))
            check('"compressed": true' in img("map", "--output=json", f("top")).stdout, options)


def test_rebase_from_nothing():
    """An image without a backing file gets one: what it read as zeroes stays zero."""
    with Folder() as f:
        fill(f("below"), 4 * MIB, [(0, 4 * MIB, 7)])
        for fmt, options in (("qcow2", "compat=1.1"), ("qcow2", "compat=0.10"),
                             ("qcow2", "extended_l2=on"), ("qcow2", "cluster_size=2M"),
                             ("qed", "cluster_size=64k")):
            for more in ([], ["-c"]) if fmt == "qcow2" else ([],):
                qemu_img("create", "-q", "-f", fmt, "-o", options, f("a"), "3M")
                qemu_io(f("a"), "write -P 3 100k 70k", "write -z 1M 64k", "write -P 4 2000k 3k",
                        "discard 110k 20k", fmt=fmt)
                qemu_img("convert", "-f", fmt, "-O", "raw", f("a"), f("wanted"))
                img("rebase", *more, "-f", fmt, "-b", f("below"), "-F", "raw", f("a"))
                same_content(f("a"), f("wanted"), fmt, "raw")
                qemu_img("check", "-f", fmt, f("a"))
        both("dd", "-U", "-f", "raw", "-O", "raw", "count=1", f"if={f('below')}", f"of={f('c')}")


def test_rebase_shorter():
    need("qcow2")
    with Folder() as f:
        chain(f)
        need_feature("rebase", "-u", "-b", f("mid"), "-F", "qcow2", f("top"))
        fill(f("short"), 3 * MIB, [(0, 3 * MIB, 7)])
        img("rebase", "-b", f("short"), "-F", "raw", f("top"))
        same_content(f("top"), f("top.raw"))


def test_snapshot():
    need("qcow2")
    with Folder() as f:
        mixed(f("a"))
        img("convert", "-O", "qcow2", f("a"), f("b"))
        need_feature("snapshot", "-c", "one", f("b"))
        equal(img("snapshot", "-l", f("b")).stdout, qemu_img("snapshot", "-l", f("b")).stdout)
        both("snapshot", f("b"))
        both_json("info", "--output=json", f("b"))
        qemu_io(f("b"), "write -P 9 0 4M")
        img("snapshot", "-c", "two", f("b"))
        img("snapshot", "-a", "one", f("b"))
        same_content(f("a"), f("b"))
        img("snapshot", "-d", "two", f("b"))
        qemu_img("check", f("b"))
        both("snapshot", "-d", "two", f("b"))
        both("snapshot", "-a", "two", f("b"))
        both("snapshot", "-c", "x", "-d", "y", f("b"))
        both("snapshot", "-l", f("a"))


def test_bitmap():
    need("qcow2")
    with Folder() as f:
        qemu_img("create", "-q", "-f", "qcow2", f("fresh"), "8M")
        shutil.copy(f("fresh"), f("a"))
        need_feature("bitmap", "--add", f("a"), "x")

        def prepare():
            shutil.copy(f("fresh"), f("a"))
            qemu_img("bitmap", "--add", "-g", "32k", f("a"), "b1")
            qemu_img("bitmap", "--add", f("a"), "b2")
            qemu_io(f("a"), "write 1M 64k")

        for args in (["--add", f("a"), "b3"], ["--add", "-g", "4k", f("a"), "b3"],
                     ["--add", "-g", "3", f("a"), "b3"], ["--add", f("a"), "b1"],
                     ["--remove", f("a"), "b1"], ["--remove", f("a"), "nope"],
                     ["--clear", f("a"), "b1"], ["--disable", f("a"), "b1"],
                     ["--disable", "--clear", "--merge", "b2", f("a"), "b1"],
                     ["--merge", "nope", f("a"), "b1"], ["--add", f("a")], [f("a"), "b1"],
                     ["--add", "--merge", "nope", f("a"), "b3"],
                     ["-g", "4k", "--clear", f("a"), "b1"],
                     ["-b", f("a"), "--clear", f("a"), "b1"]):
            both("bitmap", *args, prepare=prepare)
            qemu_img("check", f("a"))
            both("info", f("a"))


def test_amend():
    need("qcow2")
    with Folder() as f:
        qemu_img("create", "-q", "-f", "qcow2", f("a"), "8M")
        need_feature("amend", "-o", "lazy_refcounts=on", f("a"))
        for option in ("lazy_refcounts=off", "compat=0.10", "compat=1.1", "nope=1",
                       "cluster_size=1M"):
            both("amend", "-f", "qcow2", "-o", option, f("a"))
            both("info", f("a"))
        both("amend", f("a"))


def test_measure():
    with Folder() as f:
        mixed(f("a"))
        both("measure", "-O", "raw", f("a"))
        both("measure", "-O", "raw", "--size", "1G")
        for args in ([], ["--size", "1G", f("a")], ["-O", "nope", "--size", "1"],
                     ["--size", "x"], ["-f", "raw", "--size", "1G"], [f("a"), f("a")]):
            both("measure", *args, stderr=args != [f("a"), f("a")])
        need("qcow2")
        need_feature("measure", "-O", "qcow2", "--size", "1G")
        for args in (["--size", "1G"], [f("a")], ["--output=json", f("a")],
                     ["-o", "cluster_size=1k", "--size", "64G"],
                     ["-o", "preallocation=full", "--size", "1G"]):
            both("measure", "-O", "qcow2", *args)
        qemu_img("create", "-q", "-f", "qcow2", "-o", "compat=0.10", f("old"), "1M")
        both("measure", "-O", "qcow2", f("old"))
        both("measure", "-O", "raw", "-o", "preallocation=falloc", f("old"))
        qemu_img("create", "-q", "-f", "qcow2", f("b"), "100M")
        for name, granularity in (("one", "65536"), ("another", "512")):
            qemu_img("bitmap", "--add", "-g", granularity, f("b"), name)
        for args in ([], ["-o", "cluster_size=4k"], ["--output=json"]):
            both("measure", "-O", "qcow2", *args, f("b"))


def test_dd():
    with Folder() as f:
        mixed(f("a"))
        for number, args in enumerate((["bs=1M", "count=2"], ["bs=64k", "skip=3"], [],
                                       ["bs=1M", "count=5", "skip=2"], ["skip=100000000"])):
            both("dd", "-f", "raw", *args, f"if={f('a')}", f"of={f('b')}")
            qemu_img("dd", "-f", "raw", *args, f"if={f('a')}", f"of={f('c')}")
            img("dd", "-f", "raw", *args, f"if={f('a')}", f"of={f('b')}")
            same_bytes(f("b"), f("c"))
        for args in (["bs=0"], ["bs=x"], ["count=x"], ["foo=1"], ["foo"]):
            both("dd", *args, f"if={f('a')}", f"of={f('b')}")
        both("dd", f"if={f('a')}")


def test_bench():
    with Folder() as f:
        fill(f("a"), MIB)
        first = lambda text: text.splitlines()[0]
        for args in (["-c", "10", "-d", "3", "-s", "8k", "-S", "16k", "-o", "4k"],
                     ["-w", "-c", "10", "-d", "2", "--flush-interval", "5", "--pattern", "7"]):
            mine = img("bench", "-f", "raw", *args, f("a")).stdout
            theirs = qemu_img("bench", "-f", "raw", *args, f("a")).stdout
            equal(first(mine), first(theirs))
        with open(f("a"), "rb") as file:
            equal(file.read(40 * KIB), bytes([7]) * (40 * KIB))
        for args in (["-c", "x"], ["-d", "x"], ["-s", "x"], ["-S", "x"], ["-o", "x"],
                     ["--flush-interval", "2"], ["-w", "-d", "4", "--flush-interval", "2"],
                     ["-i", "odd"], ["-t", "odd"], ["-n"], ["-i", "native"],
                     ["-w", "--pattern", "300"]):
            both("bench", "-f", "raw", *args, f("a"))


def test_create_backing():
    need("qcow2")
    with Folder() as f:
        qemu_img("create", "-q", "-f", "qcow2", f("base"), "8M")
        for args in (["-b", f("base"), "-F", "qcow2", f("a")],
                     ["-b", f("base"), "-F", "qcow2", f("a"), "16M"], ["-b", f("base"), f("a")],
                     ["-b", f("base"), "-F", "nope", f("a")],
                     ["-u", "-b", "nowhere", "-F", "qcow2", f("a"), "1M"],
                     ["-u", "-b", "nowhere", f("a"), "1M"],
                     ["-o", f"backing_file={f('base')},backing_fmt=qcow2", f("a")],
                     ["-o", "cluster_size=4k,lazy_refcounts=on,preallocation=metadata", f("a"),
                      "1G"],
                     ["-o", "cluster_size=x", f("a"), "1M"],
                     ["-o", "lazy_refcounts=x", f("a"), "1M"]):
            both("create", "-f", "qcow2", *args)
            if os.path.exists(f("a")):
                both("info", "--backing-chain", f("a"), stderr=False)
                os.unlink(f("a"))
        check(True, "")


def test_check():
    need("qcow2")
    with Folder() as f:
        mixed(f("a"))
        qemu_img("convert", "-O", "qcow2", f("a"), f("b"))
        need_feature("check", f("b"))
        both("check", f("b"))
        both_json("check", "--output=json", f("b"))
        both("check", "-T", "odd", f("b"))
        both("check", "-r", "odd", f("b"))


main(globals())
