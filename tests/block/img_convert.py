# tests/block/img_convert.py VITRINE-IMG - convert: all formats to and from qemu-img, its options
# SPDX-License-Identifier: GPL-3.0-or-later
import os
import pty
import re
import resource
import signal
import subprocess
import time

import images
from images import (KIB, MIB, OURS, Folder, both, can_create, check, equal, fill, formats, img,
                    mixed,
                    need, qemu_img, qemu_io, run, same_bytes, same_content)

WRITTEN = ["raw", "qcow2", "qed", "vmdk", "vdi", "vhdx", "vpc", "parallels"]
OPTIONS = {"vpc": "force_size=on"}


def remove(path):
    if os.path.exists(path):
        os.unlink(path)


def option(fmt):
    return ["-o", OPTIONS[fmt]] if fmt in OPTIONS else []


def test_ours_to_theirs():
    with Folder() as f:
        mixed(f("a"))
        for fmt in can_create(*WRITTEN):
            img("convert", "-f", "raw", "-O", fmt, *option(fmt), f("a"), f(fmt))
            same_content(f("a"), f(fmt), "raw", fmt)
            if fmt not in ("raw", "vpc"):
                qemu_img("check", "-f", fmt, f(fmt))


def test_theirs_to_ours():
    with Folder() as f:
        mixed(f("a"))
        for fmt in [name for name in WRITTEN if name in formats()]:
            qemu_img("convert", "-f", "raw", "-O", fmt, *option(fmt), f("a"), f(fmt))
            img("convert", "-f", fmt, "-O", "raw", f(fmt), f("back"))
            same_bytes(f("a"), f("back"))
            img("compare", "-f", "raw", "-F", fmt, f("a"), f(fmt))


def test_compressed():
    need("qcow2")
    with Folder() as f:
        mixed(f("a"))
        for extra in (["-o", "compression_type=zlib"], ["-o", "compression_type=zstd"],
                      ["-o", "cluster_size=4k"], ["-o", "cluster_size=2M"], ["-W", "-m", "16"]):
            img("convert", "-c", "-O", "qcow2", *extra, f("a"), f("b"))
            qemu_img("check", f("b"))
            same_content(f("a"), f("b"))
            qemu_img("convert", "-c", "-O", "qcow2", *extra, f("a"), f("c"))
            mine, theirs = (os.stat(f(name)).st_blocks for name in "bc")
            check(mine < theirs * 1.1 + 4 * MIB // 512,
                  f"{extra}: {mine} blocks where theirs has {theirs}")
            img("convert", "-O", "raw", f("c"), f("d"))
            same_bytes(f("a"), f("d"))
        # Two sources that meet inside a cluster.
        fill(f("odd"), 100 * KIB, [(0, 100 * KIB, "text")])
        img("convert", "-c", "-O", "qcow2", f("odd"), f("a"), f("e"))
        qemu_img("convert", f("odd"), f("a"), f("both"))
        same_content(f("both"), f("e"))


def test_sparse():
    with Folder() as f:
        fill(f("a"), 4 * MIB, [(0, MIB, 0), (MIB, 64 * KIB, 1), (MIB + 8192, 4096, 0)])
        sizes = {}
        for sparse in ("0", "4k", "64k"):
            img("convert", "-S", sparse, f("a"), f("b"))
            same_bytes(f("a"), f("b"))
            sizes[sparse] = os.stat(f("b")).st_blocks * 512
        equal(sizes["0"], 4 * MIB, "-S 0 leaves holes")
        check(sizes["4k"] <= sizes["64k"] <= 128 * KIB, f"zeroes were written: {sizes}")
        for bad in ("1", "x", "32M"):
            both("convert", "-S", bad, f("a"), f("c"))


def test_existing_target():
    with Folder() as f:
        mixed(f("a"))
        fill(f("dirty"), 9 * MIB, [(0, 9 * MIB, 3)])
        img("convert", "-n", f("a"), f("dirty"))
        qemu_img("convert", "-n", f("a"), f("dirty"))
        with open(f("dirty"), "rb") as file, open(f("a"), "rb") as source:
            equal(file.read(8 * MIB) == source.read(), True)
            equal(file.read(), bytes([3]) * MIB, "what lies past the source has changed")
        fill(f("small"), MIB)
        both("convert", "-n", f("a"), f("small"))
        fill(f("zero"), 8 * MIB)
        img("convert", "-n", "--target-is-zero", f("a"), f("zero"))
        same_bytes(f("a"), f("zero"))
        fill(f("opts"), 8 * MIB)
        img("convert", "-n", "--target-image-opts", f("a"), f"driver=raw,file.filename={f('opts')}")
        same_bytes(f("a"), f("opts"))


def test_refused():
    with Folder() as f:
        mixed(f("a"))
        for args in (["-O", "nope", f("a"), f("b")], [f("a")], ["-m", "17", f("a"), f("b")],
                     ["-m", "x", f("a"), f("b")], ["-r", "x", f("a"), f("b")],
                     ["-t", "x", f("a"), f("b")], ["-T", "x", f("a"), f("b")],
                     ["-c", f("a"), f("b")], ["-C", "-S", "4k", f("a"), f("b")],
                     ["-C", "-c", f("a"), f("b")], ["--target-is-zero", f("a"), f("b")],
                     ["--target-image-opts", f("a"), f("b")],
                     ["--skip-broken-bitmaps", f("a"), f("b")], ["--bitmaps", f("a"), f("b")],
                     ["-n", "-o", "size=1", f("a"), f("b")],
                     ["-B", f("a"), "-F", "raw", f("a"), f("b")]):
            both("convert", *args, prepare=lambda: remove(f("b")))
            check(not os.path.exists(f("b")), f"{args} made a file")
        both("convert", f("a"), f("no/such"), stderr=False)
        both("convert", f("missing"), f("b"), stderr=False)
        img("convert", "-f", "raw", f("a"), f("a"), status="fail")
        equal(os.path.getsize(f("a")), 8 * MIB, "a source was overwritten")


def test_backing():
    need("qcow2")
    with Folder() as f:
        mixed(f("base"))
        qemu_img("create", "-q", "-f", "qcow2", "-b", f("base"), "-F", "raw", f("top"))
        qemu_io(f("top"), "write -P 9 1M 64k", "write -z 3M 1M", "discard 6M 64k")
        img("convert", "-O", "qcow2", "-B", f("base"), "-F", "raw", f("top"), f("copy"))
        qemu_img("check", f("copy"))
        same_content(f("top"), f("copy"))
        check(os.path.getsize(f("copy")) < MIB, "what the base has was copied")
        both("convert", "-O", "qcow2", "-B", f("base"), f("top"), f("copy"))
        img("convert", "-O", "qcow2", f("top"), f("flat"))
        same_content(f("top"), f("flat"))


def test_snapshot():
    need("qcow2")
    with Folder() as f:
        mixed(f("a"))
        qemu_img("convert", "-O", "qcow2", f("a"), f("b"))
        qemu_img("snapshot", "-c", "one", f("b"))
        qemu_io(f("b"), "write -P 9 0 4M")
        for name in ("one", "1", "snapshot.name=one", "snapshot.id=1"):
            done = img("convert", "-l", name, f("b"), f("c"), status=None)
            if done.returncode and "not support" in done.stderr:
                raise images.Skip("qcow2 has no snapshots in this build")
            equal(done.returncode, 0, done.stderr)
            same_bytes(f("a"), f("c"))
        img("convert", "-l", "nope", f("b"), f("d"), status=1)


def test_image_opts_and_cache():
    with Folder() as f:
        mixed(f("a"))
        for cache in ("none", "writeback", "writethrough", "directsync", "unsafe"):
            img("convert", "-T", cache, "-t", cache, f("a"), f("b"))
            same_bytes(f("a"), f("b"))
        img("convert", "--image-opts", f"driver=raw,file.filename={f('a')},offset=1M,size=1M",
            f("c"))
        equal(os.path.getsize(f("c")), MIB)


def test_refused_options():
    need("qcow2")
    with Folder() as f:
        mixed(f("a"))
        qemu_img("convert", "-O", "qcow2", f("a"), f("s"))
        qemu_img("snapshot", "-c", "one", f("s"))
        for args in (("-m", "0"), ("-m", "17"), ("-m", "-1"), ("-m", "4k"), ("-m", "9" * 20),
                     ("-r", "-1"), ("-r", "x"), ("-S", "-1"), ("-S", "511"), ("-S", "32M"),
                     ("-C", "-c", "-O", "qcow2"), ("-C", "-S", "4k"), ("-C", "--salvage"),
                     ("--target-is-zero",), ("--skip-broken-bitmaps",), ("--bitmaps",),
                     ("-O", "qcow2", "-F", "raw"), ("-O", "qcow2", "-B", f("a")),
                     ("-O", "qcow2", "-B", f("a"), "-F", "nothing"),
                     ("-O", "qcow2", "-B", f("a"), "-F", "raw", f("a")),
                     ("-n", "--target-image-opts", "-O", "raw"), ("-l", "one", "-f", "raw")):
            both("convert", *args, f("a"), f("b"), names=(f("b"),),
                 prepare=lambda: remove(f("b")))
        for name in ("one", "1", "two", "snapshot.id=1", "snapshot.name=one",
                     "snapshot.id=1,snapshot.name=one", "snapshot.id=1,snapshot.name=two"):
            both("convert", "-l", name, "-O", "raw", f("s"), f("b"))


def test_onto_a_chain():
    need("qcow2")
    with Folder() as f:
        mixed(f("a"))
        qemu_img("create", "-f", "qcow2", "-b", f("a"), "-F", "raw", f("top"))
        qemu_io(f("top"), "write -P 9 1M 64k")
        maps = []
        for tool in ("qemu-img", OURS):
            qemu_img("create", "-f", "qcow2", "-b", f("a"), "-F", "raw", f("b"))
            run(tool, "convert", "-n", "-B", f("a"), "-F", "raw", "-O", "qcow2", f("top"), f("b"))
            same_content(f("top"), f("b"))
            maps.append([(e["start"], e["length"], e["depth"]) for e in images.json.loads(
                run("qemu-img", "map", "--output=json", f("b")).stdout)])
        equal(maps[1], maps[0])


def test_rate_of_nothing():
    """What is not written does not count for -r."""
    with Folder() as f:
        fill(f("a"), 64 * MIB)
        began = time.monotonic()
        img("convert", "-r", "1M", f("a"), f("b"))
        check(time.monotonic() - began < 10, "-r slowed down a hole")


def test_progress_and_rate():
    with Folder() as f:
        fill(f("a"), 4 * MIB, [(0, 4 * MIB, 5)])
        text = img("convert", "-p", f("a"), f("b")).stdout
        check(text.startswith("    (0.00/100%)\n") and text.endswith("(100.00/100%)\n"), repr(text))
        equal(img("convert", "-p", "-q", f("a"), f("b")).stdout, "")
        began = time.monotonic()
        img("convert", "-r", "8M", f("a"), f("b"))
        check(time.monotonic() - began > 0.2, "-r did not slow it down")


def test_progress_on_a_terminal():
    """There it says how fast it is and how long it takes."""
    with Folder() as f:
        fill(f("a"), 16 * MIB, [(0, 16 * MIB, 5)])
        leader, follower = pty.openpty()
        child = subprocess.Popen([OURS, "convert", "-p", "-r", "8M", "-m", "1", f("a"), f("b")],
                                 stdout=follower)
        os.close(follower)
        seen = b""
        try:
            while piece := os.read(leader, 4096):
                seen += piece
        except OSError:     # how the other side's end shows
            pass
        os.close(leader)
        equal(child.wait(timeout=20), 0)
        check(re.search(rb"\(\d+\.\d\d/100%\)  [\d.]+ MiB/s, 0:\d\d left", seen), repr(seen))


def test_progress_of_all():
    need("qcow2")
    with Folder() as f:
        mixed(f("a"))
        qemu_img("convert", "-O", "qcow2", f("a"), f("q"))
        for name in ("top", "again"):
            qemu_img("create", "-f", "qcow2", "-b", f("a"), "-F", "raw", f(name))
        qemu_io(f("top"), "write 0 1M")
        for args in (("create", "-q", "-o", "preallocation=full", f("c"), "4M"),
                     ("create", "-o", "preallocation=full", f("c"), "4M"),
                     ("compare", f("a"), f("a")), ("check", f("q")),
                     ("amend", "-o", "compat=0.10", f("q")), ("commit", f("top")),
                     ("rebase", "-b", f("q"), "-F", "qcow2", f("again")),
                     ("resize", "-f", "raw", f("c"), "8M")):
            text = img(args[0], "-p", *args[1:]).stdout
            lines = re.findall(r"^    \((\d+\.\d\d)/100%\)$", text, re.M)
            if "-q" in args:
                equal(text, "", args[0])
            else:
                check(lines[:1] == ["0.00"] and lines[-1:] == ["100.00"], f"{args}: {text!r}")


def test_interrupted():
    with Folder() as f:
        fill(f("a"), 64 * MIB, [(0, 64 * MIB, 5)])
        child = subprocess.Popen([OURS, "convert", "-r", "1M", f("a"), f("b")],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(0.5)
        child.send_signal(signal.SIGUSR1)
        time.sleep(0.3)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=20)
        check(child.returncode != 0, "it was not interrupted")
        check("/100%)" in out, f"SIGUSR1 showed nothing: {out!r}{err!r}")
        check(not os.path.exists(f("b")), "half a copy was left behind")


def test_full_host():
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MIB, 2 * MIB))

    with Folder() as f:
        mixed(f("a"))
        done = run(OURS, "convert", "-O", "vdi" if "vdi" in formats() else "raw", f("a"), f("b"),
                   status="fail", preexec_fn=limit)
        check("error while" in done.stderr or "File too large" in done.stderr, done.stderr)
        check(not os.path.exists(f("b")), "half a copy was left behind")


def failing(path, what, number):
    """Options of a raw image whose requests of a kind fail, those to the sector at 2 MiB."""
    return (f"driver=raw,file.driver=blkdebug,file.image.driver=file,file.image.filename={path},"
            f"file.inject-error.0.event=none,file.inject-error.0.iotype={what},"
            f"file.inject-error.0.sector=4096,file.inject-error.0.errno={number}")


def test_failing_disks():
    need("blkdebug")
    with Folder() as f:
        fill(f("a"), 4 * MIB, [(0, 4 * MIB, "random")])
        both("convert", "--image-opts", failing(f("a"), "read", 5), f("b"),
             prepare=lambda: remove(f("b")))
        check(not os.path.exists(f("b")), "half a copy was left behind")
        both("convert", "--salvage", "--image-opts", failing(f("a"), "read", 5), f("b"))
        with open(f("b"), "rb") as file, open(f("a"), "rb") as source:
            wanted = bytearray(source.read())
            wanted[2 * MIB:2 * MIB + 512] = bytes(512)
            check(file.read() == wanted, "--salvage gave other bytes")
        fill(f("c"), 4 * MIB)
        done = img("convert", "-n", "--target-image-opts", f("a"), failing(f("c"), "write", 28),
                   status=1)
        check("error while writing" in done.stderr and "No space left" in done.stderr, done.stderr)
        check(os.path.exists(f("c")), "a target that was there before was removed")


def test_bitmaps():
    need("qcow2")
    with Folder() as f:
        mixed(f("a"))
        qemu_img("convert", "-O", "qcow2", f("a"), f("b"))
        qemu_img("bitmap", "--add", "-g", "32k", f("b"), "seen")
        qemu_img("bitmap", "--add", "--disable", f("b"), "idle")
        qemu_io(f("b"), "write -P 9 1M 64k")
        done = img("convert", "-O", "qcow2", "--bitmaps", f("b"), f("c"), status=None)
        if done.returncode and "does not support bitmaps" in done.stderr:
            raise images.Skip("qcow2 has no bitmaps in this build")
        equal(done.returncode, 0, done.stderr)
        qemu_img("check", f("c"))
        facts = [run("qemu-img", "info", f(name)).stdout.split("bitmaps:")[1].split("refcount")[0]
                 for name in ("b", "c")]
        equal(facts[1], facts[0])


images.main(globals())
