# tests/block/img_basic.py VITRINE-IMG - create, info, map, compare, check, resize, convert of raw
# SPDX-License-Identifier: GPL-3.0-or-later
import os
import resource
import shutil
import signal
import subprocess

import images
from images import (KIB, MIB, Folder, both, both_json, check, equal, fill, img, mixed, need,
                    qemu_img, qemu_io, run,
                    same_content)


def test_create_raw():
    with Folder() as f:
        both("create", "-f", "raw", f("a"), "10M")
        equal(os.path.getsize(f("a")), 10 * MIB)
        both("create", f("a"), "1k")
        both("create", "-q", f("a"), "1.5G")
        both("create", "-o", "preallocation=full", f("a"), "64k")
        equal(os.stat(f("a")).st_blocks, 128)
        both("create", "-o", "size=3M", f("a"))
        equal(os.path.getsize(f("a")), 3 * MIB)


def test_create_refused():
    with Folder() as f:
        for args in (["-f", "nope", f("a"), "1M"], [f("a")], [f("a"), "1Q"], [f("a"), "1M", "2M"],
                     ["-Z"], ["--bad"], [], ["-f", "raw", "-o", "nope=1", f("a"), "1M"],
                     ["-f", "raw", "-b", f("b"), "-F", "raw", f("a"), "1M"]):
            both("create", *args)
        check(not os.path.exists(f("a")), "a refused create made a file")


def test_probed_raw():
    """What was taken for raw unasked must not be made to look like another format."""
    with Folder() as f:
        qemu_img("create", "-q", "-f", "qcow2", f("q"), "1M")
        for pieces in ([(0, 65536)], [(0, 512)], [(0, 4), (4, 508)], [(4, 508), (0, 4)]):
            for name in ("raw", None):
                fill(f("a"), MIB)
                for offset, length in pieces:
                    with open(f("q"), "rb") as q, open(f("piece"), "wb") as piece:
                        q.seek(offset)
                        piece.write(q.read(length))
                    args = ["-f", name] if name else []
                    last = run(images.OURS.replace("-img", "-io"), *args, "-c",
                               f"write -s {f('piece')} {offset} {length}", f("a"), status=None)
                equal(last.returncode, 1 if name is None else 0, last.stdout + last.stderr)
                check(("WARNING" in last.stderr) == (name is None), last.stderr)
                check(name or "Operation not permitted" in last.stdout + last.stderr, last)
                said = img("info", "--output=json", f("a")).stdout
                check(('"raw"' in said) == (name is None), said)
        for args in (["resize"], ["resize", "-q"], ["bench", "-c", "1", "-w", "-q"]):
            fill(f("a"), MIB)
            more = ["2M"] if args[0] == "resize" else []
            both(*args, f("a"), *more, stdout=args[0] == "resize")


def test_host_device():
    with Folder() as f:
        fill(f("a"), MIB)
        fill(f("b"), MIB)
        both("info", "-f", "host_device", f("a"))
        both("create", "-f", "host_device", f("a"), "1M")
        for args in ([], ["-n"]):
            both("convert", *args, "-O", "host_device", f("b"), f("a"))


class Loop:
    """A block device of 64 MiB, full of what was on it before; with-statement."""

    def __init__(self, path):
        fill(path, 64 * MIB, [(0, 64 * MIB, 0xA7)])
        if not shutil.which("losetup"):
            raise images.Skip("losetup is not installed")
        done = run("losetup", "-f", "--show", path, status=None)
        if done.returncode:
            raise images.Skip(f"no loop device: {done.stderr.strip()}")
        self.path = done.stdout.strip()

    def __enter__(self):
        return self.path

    def __exit__(self, *exc):
        run("losetup", "-d", self.path)


def test_dirty_device():
    """What lay on a device does not come to light in an image that is made there."""
    with Folder() as f, Loop(f("loop")) as device:
        fill(f("a"), 8 * MIB, [(256 * KIB, 3000, 7), (3 * MIB, 64 * KIB, "random")])
        for fmt, options in (("qcow2", ""), ("qcow2", "preallocation=metadata"), ("vdi", ""),
                             ("vdi", "static=on"), ("vhdx", "block_state_zero=off"),
                             ("vhdx", "subformat=fixed")):
            with open(device, "wb") as file:
                file.write(b"\xa7" * (64 * MIB))
            img("convert", "-O", fmt, *(["-o", options] if options else []), f("a"), device)
            same_content(f("a"), device, "raw", fmt)
            img("compare", "-f", "raw", "-F", fmt, f("a"), f"host_device:{device}")
        with open(device, "wb") as file:
            file.write(b"\xa7" * (64 * MIB))
        img("dd", "-O", "raw", "bs=1M", f"if={f('a')}", f"of={device}")
        img("dd", "-O", "raw", "bs=1M", "count=8", f"if={device}", f"of={f('back')}")
        same_content(f("a"), f("back"), "raw", "raw")
        for fmt in ("qed", "vmdk", "vpc", "parallels"):
            done = img("convert", "-O", fmt, f("a"), device, status=1)
            check("needs a file that grows" in done.stderr, done.stderr)


def test_locks():
    """What is refused while another program writes to the image: raw ones may be read."""
    commands = [["info"], ["info", "--output=json"], ["map"], ["measure", "-O", "qcow2"],
                ["bench", "-c", "1"], ["bench", "-w", "-c", "1"], ["snapshot", "-l"],
                ["check"], ["resize", "+1M"]]
    io = images.OURS.replace("-img", "-io")
    with Folder() as f:
        for fmt in ("raw", "qcow2"):
            img("create", "-f", fmt, f("a"), "1M")
            img("create", f("b"), "1M")
            with subprocess.Popen([io, "-f", fmt, f("a")], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as busy:
                busy.stdin.write(b"write 0 512\n")
                busy.stdin.flush()
                busy.stdout.readline()
                for command in commands:
                    line = command[:1] + ["-f", fmt] + command[1:]
                    name = [f("a"), line.pop()] if command[0] == "resize" else [f("a")]
                    both(*line, *name, stdout=False)
                both("info", f("a"), stdout=False)
                both("compare", f("a"), f("b"))
                both("dd", "bs=64k", f"if={f('a')}", f"of={f('c')}")
                both("convert", "-f", fmt, f("a"), f("c"))
                both("convert", "-n", f("b"), f("a"))
                for tool in ("qemu-io", io):
                    for mode, status in ((["-r"], int(fmt != "raw")), ([], 1)):
                        done = run(tool, "-f", fmt, *mode, "-c", "read 0 512", f("a"), status=None)
                        equal(done.returncode, status, f"{tool} {mode} {fmt}: {done.stderr}")


def limit():
    """In a child process: its files have at most 4 MiB."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 * MIB, 4 * MIB))


def test_growth_that_fails():
    """Nothing is left of it: no cluster that is lost, and none that leads out of the file."""
    with Folder() as f:
        fill(f("a"), MIB, [(0, MIB, "random")])
        for options in ("lazy_refcounts=on", "extended_l2=on", "compat=0.10"):
            for kind in ("falloc", "full"):
                img("convert", "-O", "qcow2", "-o", options, f("a"), f("b"))
                img("resize", f"--preallocation={kind}", f("b"), "64M", status=1,
                    preexec_fn=limit)
                qemu_img("check", f("b"))
                same_content(f("a"), f("b"), "raw", "qcow2")
                check(os.path.getsize(f("b")) < 2 * MIB, "the file has grown")
                qemu_img("resize", f("b"), "64M")
                qemu_img("check", f("b"))


def test_dd_that_fails():
    with Folder() as f:
        fill(f("a"), 8 * MIB, [(0, 8 * MIB, "random")])
        for fmt in ("raw", "qcow2"):
            done = img("dd", "-O", fmt, f"if={f('a')}", f"of={f('b')}", status=1, preexec_fn=limit)
            check("too large" in done.stderr, done.stderr)
            check(not os.path.exists(f("b")), "half a copy was left behind")


def test_usage():
    both()
    both("frobnicate")
    for command in ("info", "map", "check", "compare", "convert", "resize"):
        both(command, "--nonsense")
        both(command)
    both("info", "--output=xml", "x")
    both("info", "-f", "raw", "--image-opts", "x")


def test_info():
    with Folder() as f:
        mixed(f("a"))
        both("info", f("a"))
        both_json("info", "--output=json", f("a"))
        both("info", "--output=json", f("a"))
        both("info", "--backing-chain", "--output", "json", f("a"))
        both("info", "--image-opts", f"driver=raw,file.filename={f('a')}")
        both("info", "--image-opts", f"file.filename={f('a')}")
        fill(f("odd"), 1000)
        both("info", f("odd"))
        both("info", f("missing"), stderr=False)


def test_map():
    with Folder() as f:
        mixed(f("a"))
        both("map", f("a"))
        both("map", "--output=json", f("a"))
        both("map", "--output=json", "--start-offset", "1M", "--max-length", "4k", f("a"))
        both("map", "--output=json", "--start-offset", "1G", f("a"))
        both("map", "--start-offset", "x", f("a"))


def test_compare():
    with Folder() as f:
        mixed(f("a"))
        mixed(f("b"))
        fill(f("empty"), 8 * MIB)
        fill(f("longer"), 9 * MIB)
        fill(f("tail"), 9 * MIB, [(8 * MIB + 700, 1, 1)])
        for args in ((f("a"), f("b")), (f("a"), f("empty")), (f("empty"), f("longer")),
                     (f("longer"), f("empty")), (f("empty"), f("tail")), (f("tail"), f("longer")),
                     ("-s", f("empty"), f("longer")), ("-q", f("a"), f("empty")),
                     ("-p", f("a"), f("b")), ("-f", "raw", "-F", "raw", f("a"), f("b"))):
            both("compare", *args)
        both("compare", f("a"), f("missing"), stderr=False)


def test_map_of_what_is_not_stored():
    """Preallocated files and clusters, zero clusters, holes inside clusters, odd ends, chains."""
    need("qcow2")
    with Folder() as f:
        fill(f("hole.raw"), 4 * MIB, [(MIB, 1, 1)])
        for mode in ("falloc", "full"):
            qemu_img("create", "-f", "raw", "-o", f"preallocation={mode}", f(mode + ".raw"), "2M")
        for mode in ("off", "metadata", "falloc", "full"):
            name = f(mode + ".qcow2")
            qemu_img("create", "-f", "qcow2", "-o", f"preallocation={mode}", name, "4M")
            qemu_io(name, "write 1M 64k")
        qemu_img("create", "-f", "qcow2", f("z.qcow2"), "4M")
        qemu_io(f("z.qcow2"), "write -P 1 0 256k", "write -z 64k 64k", "write -z -u 128k 64k",
                "write -z 1M 64k", "discard 192k 64k")
        qemu_img("create", "-f", "qcow2", "-o", "extended_l2=on", f("e.qcow2"), "4M")
        qemu_io(f("e.qcow2"), "write -P 1 2k 20k", "write -z 32k 4k", "write -z 128k 64k")
        qemu_img("create", "-f", "qcow2", "-o", f"data_file={f('d.data')},data_file_raw=on",
                 f("d.qcow2"), "4M")
        qemu_io(f("d.qcow2"), "write -P 1 128k 20k")
        for base, fmt, size in (("z.qcow2", "qcow2", "5M"), ("hole.raw", "raw", "4M")):
            name = f(base + ".top.qcow2")
            qemu_img("create", "-f", "qcow2", "-b", f(base), "-F", fmt, name, size)
            qemu_io(name, "write -P 1 512k 128k", "write -z 1M 64k", "discard 128k 64k")
        qemu_img("convert", "-c", "-O", "qcow2", f("hole.raw"), f("c.qcow2"))
        for name, size in (("odd.raw", 1000), ("tiny.raw", 5)):
            with open(f(name), "wb") as file:
                file.write(b"1" * size)
        for name in sorted(os.listdir(f.path)):
            fmt = name.rsplit(".", 1)[1]
            if fmt in ("raw", "qcow2"):
                both("map", "-f", fmt, "--output=json", f(name))
                both("map", "-f", fmt, f(name))


def test_map_of_new_images():
    with Folder() as f:
        for fmt, options in (("raw", "size=4M"), ("vmdk", "subformat=monolithicFlat,size=4M"),
                             ("vdi", "static=on,size=4M"), ("vpc", "subformat=fixed,size=4M"),
                             ("qcow2", "preallocation=metadata,size=4M")):
            for tool in ("qemu-img", images.OURS):
                run(tool, "create", "-q", "-f", fmt, "-o", options, f(fmt))
                qemu_io(f(fmt), "write -P 1 1M 64k", fmt=fmt)
                both("map", "--output=json", "-f", fmt, f(fmt))
                both("measure", "-O", "qcow2", "-f", fmt, f(fmt))
            maps = []
            for tool in ("qemu-img", images.OURS):
                run(tool, "create", "-q", "-f", fmt, "-o", options, f(fmt))
                maps.append(run("qemu-img", "map", "--output=json", "-f", fmt, f(fmt)).stdout)
            check(fmt == "qcow2" or maps[0] == maps[1], f"{fmt}: {maps}")


def test_data_file_elsewhere():
    """Its name is taken from where the tool runs, or else from beside the image."""
    with Folder() as f:
        os.mkdir(f("in"))
        for tool in ("qemu-img", images.OURS):
            run(tool, "create", "-q", "-f", "qcow2", "-o", "data_file=in/data", "in/disk", "4M",
                cwd=f.path)
            run("qemu-io", "-c", "write -P 5 0 64k", "in/disk", cwd=f.path)
            for judge in ("qemu-img", images.OURS):
                equal("in/data" in run(judge, "map", "in/disk", cwd=f.path).stdout, True, judge)
        img("create", "-q", "-f", "qcow2", "-o", "data_file=data", "disk", "4M", cwd=f("in"))
        img("map", "in/disk", cwd=f.path)


def test_compare_strictly():
    need("qcow2")
    with Folder() as f:
        names = ["hole.raw", "zero.raw", "none.qcow2", "zero.qcow2", "kept.qcow2", "data.qcow2"]
        fill(f("hole.raw"), MIB)
        fill(f("zero.raw"), MIB, [(0, MIB, 0)])
        for name in names[2:]:
            qemu_img("create", "-f", "qcow2", f(name), "1M")
        qemu_io(f("zero.qcow2"), "write -z 0 1M")
        qemu_io(f("kept.qcow2"), "write -P 1 0 1M", "write -z 0 1M")
        qemu_io(f("data.qcow2"), "write -P 0 0 1M")
        for first in names:
            for second in names:
                both("compare", "-s", f(first), f(second))


def test_compare_refused():
    with Folder() as f:
        fill(f("a"), MIB)
        options = f"driver=raw,file.filename={f('a')}"
        both("compare", "--image-opts", "-f", "raw", options, options)
        both("compare", "--image-opts", "-F", "raw", options, options)
        both("compare", "--image-opts", "-f", "raw")
        both("compare", "-T", "nothing", f("a"), f("a"))
        both("compare", f("a"))


def test_check_unsupported():
    with Folder() as f:
        mixed(f("a"))
        both("check", f("a"))
        both("check", "--output=json", "-f", "raw", f("a"))
        both("check", "-r", "some", f("a"), stderr=False)


def test_resize():
    with Folder() as f:
        for args in (["+5M"], ["20M"], ["--shrink", "1M"], ["4M"], ["-4M"], ["+0"], ["1x"],
                     ["--shrink", "-1M"], ["--preallocation=full", "+1M"],
                     ["--preallocation=off", "+1M"], ["--preallocation=odd", "+1M"],
                     ["--preallocation=full", "--shrink", "1M"], ["--shrink", "-1G"]):
            both("resize", "-f", "raw", *args[:-1], f("a"), args[-1],
                 prepare=lambda: fill(f("a"), 8 * MIB), stderr=args != ["-4M"])


def test_convert_raw():
    with Folder() as f:
        mixed(f("a"))
        img("convert", "-f", "raw", "-O", "raw", f("a"), f("b"))
        images.same_bytes(f("a"), f("b"))
        check(os.stat(f("b")).st_blocks < 8 * MIB // 512 // 2, "the copy has no holes")
        fill(f("c"), 64 * KIB, [(0, 64 * KIB, 7)])
        img("convert", f("a"), f("c"), f("joined"))
        qemu_img("convert", f("a"), f("c"), f("theirs"))
        images.same_bytes(f("joined"), f("theirs"))


images.main(globals())
