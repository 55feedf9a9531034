# tests/block/img_words.py VITRINE-IMG - refusals and oddities, word for word as qemu-img says them
# SPDX-License-Identifier: GPL-3.0-or-later
import os

import images
from images import MIB, Folder, both, check, equal, fill, img


def test_names_that_do_not_open():
    with Folder() as f:
        fill(f("x"), MIB)
        os.mkdir(f("folder"))
        os.symlink(f("loop"), f("loop"))
        for name in (f("missing"), f("folder"), f("loop"), f("x/"), f("x/y"), "", "nosuch:x",
                     "nosuch://x", "file:" + f("missing"), "json:", "json:{}", "json:[]",
                     "nbd:", "nbd:foo", "nbd+unix:///x?socket=" + f("missing")):
            both("info", name)
        for fmt in ("qcow2", "luks", "qed", "vpc", "vdi", "dmg", "bochs", "nosuch", "host_device",
                    "nbd", "null-co"):
            both("info", "-f", fmt, f("x"))
        both("info", "/dev/null")


def test_options_that_do_not_open():
    with Folder() as f:
        fill(f("x"), MIB)
        good = f"driver=raw,file.filename={f('x')}"
        for text in (f("x"), "driver=raw", "driver=file", "driver=nosuch", "driver=qcow2,file=x",
                     f"driver=raw,file.filename={f('missing')}", f"file.filename={f('x')}",
                     good + ",foo=1", good + ",file.foo=1", good + ",read-only=maybe",
                     good + ",cache.direct=maybe", good + ",detect-zeroes=foo",
                     good + ",detect-zeroes=unmap", good + ",discard=foo", good + ",offset=foo",
                     good + ",node-name=1foo", good + ",file.locking=foo", good + ",file=foo",
                     good + ",node-name=foo,file.node-name=foo", good, good + ",offset=2M",
                     good + ",size=2M", good + ",offset=512,size=1M", good + ",size=1000"):
            both("info", "--image-opts", text)
        for text in ('{"driver":"raw"}', '{"driver":"nosuch"}', '{"driver":"raw","file":"x"}',
                     '{"file":{"driver":"file"}}', '{"driver":"file"}', '{"driver":"nbd"}',
                     '{"driver":"nbd","path":"a","host":"b"}',
                     '{"driver":"nbd","server":{"type":"unix"}}'):
            both("info", "json:" + text)


def test_sizes():
    with Folder() as f:
        for fmt in ("raw", "qcow2"):
            for size in ("0", "1", "1.5M", ".5M", "1.", "1.0", "3.2k", "0x1000", " 1M", "+1M", "1b",
                         "1kb", "1KiB", "1.5", "0.1", "1k2", "1 M", "", "abc", "8E", "16E", "1e3",
                         "18446744073709551616"):
                both("create", "-f", fmt, f("a"), size)
        both("create", "-f", "raw", f("a"), "7E")
        for size in ("16E", "1.5", "-1", "1kk", ""):
            both("create", "-f", "qcow2", "-o", f"size={size}", f("a"))


def test_lists_of_options():
    with Folder() as f:
        fill(f("x"), MIB)
        for text in ("", ",", ",help", "compat=v3,", "help", "?", "cluster_size=4k,help"):
            both("create", "-f", "qcow2", "-o", text, f("a"), "1M")
        for fmt in ("raw", "bochs", "null-co", "nosuch"):
            both("create", "-f", fmt, "-o", "help")
            both("create", "-f", fmt, "-o", "help", f("a"))
        for fmt in ("raw", "vdi", "qcow2"):
            both("amend", "-f", fmt, "-o", "help")
        both("amend", "-f", "raw", "-o", "size=2M", f("x"))
        both("create", "-f", "raw", "-o", "nocow=on,extent_size_hint=1M", f("a"), "1M")


def test_warning():
    with Folder() as f:
        fill(f("x"), MIB)
        both("resize", f("x"), "2M")
        both("resize", "-f", "raw", f("x"), "3M")


def test_null():
    zeroes = '{"driver":"null-co","size":1048576,"read-zeroes":true}'
    with Folder() as f:
        both("info", "null-co://")
        both("info", "null-co:foo")
        both("info", "null-aio://")
        both("info", "json:" + zeroes)
        both("map", "--output=json", "json:" + zeroes)
        both("info", "--image-opts", "driver=null-co,size=2M")
        both("convert", "-O", "raw", "json:" + zeroes, f("o"))
        equal(os.path.getsize(f("o")), MIB)
        both("compare", "json:" + zeroes, f("o"))
        img("bench", "-c", "64", "-f", "raw", "null-co://")
        with open(f("o"), "rb") as file:
            check(not any(file.read()), "null-co gave something")


def test_lost_backing_file():
    with Folder() as f:
        for command in (["convert", "-O", "raw", f("t"), f("o")], ["commit", f("t")],
                        ["map", f("t")], ["rebase", "-b", "", f("t")], ["resize", f("t"), "2M"],
                        ["compare", f("t"), f("t")], ["check", f("t")], ["info", f("t")],
                        ["snapshot", "-c", "s", f("t")], ["info", "--backing-chain", f("t")]):
            img("create", "-q", "-f", "qcow2", "-u", "-b", f("lost"), "-F", "raw", f("t"), "1M")
            both(*command)


def test_create_refused():
    with Folder() as f:
        img("create", "-q", "-f", "qcow2", f("base"), "1M")
        size = os.path.getsize(f("base"))
        for args in (["-b", f("base"), "-F", "qcow2", f("base")], ["-b", "", f("a"), "1M"],
                     ["-F", "raw", f("a"), "1M"], ["-o", "size=1M", f("a"), "2M"],
                     ["-o", "backing_file=", f("a"), "1M"]):
            both("create", "-f", "qcow2", *args)
        # A name that only leads to the same file: qemu-img would make it anew.
        img("create", "-f", "qcow2", "-b", "base", "-F", "qcow2", f("base"), status=1)
        equal(os.path.getsize(f("base")), size, "the backing file was made anew")
        both("create", "-f", "qcow2", "file:" + f("c"), "1M")
        img("check", f("c"))


def test_locks():
    with Folder() as f:
        img("create", "-q", "-f", "qcow2", f("a"), "1M")
        holder = images.subprocess.Popen(
            [os.path.join(images.TOOLS, "vitrine-io"), "-f", "qcow2", f("a")],
            stdin=images.subprocess.PIPE, stdout=images.subprocess.PIPE)
        try:
            holder.stdin.write(b"write 0 512\n")
            holder.stdin.flush()
            text = b""
            while b"ops/sec" not in text:
                text += holder.stdout.read1(4096)
            for command in (["info", f("a")], ["info", "-U", f("a")], ["check", f("a")],
                            ["resize", f("a"), "2M"], ["snapshot", "-c", "s", f("a")],
                            ["snapshot", "-U", "-c", "s", f("a")], ["create", f("a"), "1M"],
                            ["convert", f("a"), f("b")], ["convert", "-U", f("a"), f("b")]):
                both(*command, stdout=False)
        finally:
            holder.communicate(timeout=20)


def test_bitmaps():
    with Folder() as f:
        img("create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", f("a"), "4M")
        img("bitmap", "--add", f("a"), "one")
        img("bitmap", "--add", "-g", "512", f("a"), "two")
        both("info", f("a"))
        both("measure", "-O", "qcow2", f("a"))
        both("measure", "-O", "qcow2", "-o", "cluster_size=512", "--output=json", f("a"))
        for args in (["--add", f("a"), ""], ["--add", "-g", "foo", f("a"), "x"], ["--add"], [],
                     ["--add", "-g", "16E", f("a"), "x"], ["--remove", f("a"), "x"],
                     ["--merge", "x", f("a"), "one"], ["--add", "-g", "3k", f("a"), "x"]):
            both("bitmap", *args)


def test_snapshots():
    with Folder() as f:
        for args in (["-d", "1", f("a")], ["-a", "1", f("a")], ["-a", "x", f("a")],
                     ["-d", "x", f("a")], ["-l", "-c", "x", f("a")], ["-c", "x"]):
            img("create", "-q", "-f", "qcow2", f("a"), "1M")
            img("snapshot", "-c", "s", f("a"))
            both("snapshot", *args)


def io_says(path, *commands):
    """What both tools say of these commands, but for times."""
    said = []
    for tool in ("qemu-io", os.path.join(images.TOOLS, "vitrine-io")):
        args = [word for text in commands for word in ("-c", text)]
        done = images.run(tool, "-f", "qcow2", *args, path, status=None)
        out = images.re.sub(r", \d+ ops; .*", "", images.normal(done.stdout))
        said.append((done.returncode, out, images.normal(done.stderr)))
    equal(said[1], said[0], " ".join(commands))


def test_io():
    with Folder() as f:
        img("create", "-q", "-f", "qcow2", f("a"), "4M")
        for command in ("nosuch", "read", "read 0", "write", "length 1", "flush 1", "map 1",
                        "truncate", "truncate foo", "truncate -m foo 2M", "alloc", "alloc 0 1 2",
                        "sleep", "sleep foo", "sleep 1", "sigraise", "sigraise foo", "sigraise 0",
                        "write -P 300 0 512", "write -P foo 0 512", "write -s /nowhere 0 512",
                        "read 0 16E", "read 0 1kb", "read 0 1.5k", "read 8E 512", "read 4M 1",
                        "read 0 1048577", "write -c 0 1", "write -c 1 512", "read -b 0 1",
                        "write -b 1 512", "write 0 4G", "write -z 0 4G", "writev 0 4G",
                        "read 0 4G", "reopen -c foo", "reopen -r -w", "discard", "aio_write",
                        "aio_read 0"):
            io_says(f("a"), command)
        io_says(f("a"), "close", "read 0 512", "length")
        io_says(f("a"), "reopen -r", "truncate 1M", "write 0 512")
        io_says(f("a"), "write -P 1 0 64k", "read -P 2 0 64k", "nosuch")


def test_io_elsewhere():
    with Folder() as f:
        fill(f("r"), MIB)
        img("create", "-q", "-f", "vmdk", f("v"), "4M")
        for path, fmt, commands in ((f("r"), "raw", ["write -c 0 4k"]),
                                    (f("r"), "file", ["write 1M 512", "write -z 1M 1"]),
                                    (f("r"), "raw", ["write -f -c 0 64k", "write -b -z 0 512",
                                                     "aio_write -z 0 1k 1k"]),
                                    (f("v"), "vmdk", ["write -c -P 3 0 64k", "read -P 3 0 64k"])):
            said = []
            for tool in ("qemu-io", os.path.join(images.TOOLS, "vitrine-io")):
                args = [word for text in commands for word in ("-c", text)]
                done = images.run(tool, "-f", fmt, *args, path, status=None)
                said.append((done.returncode, images.re.sub(r" ops; .*", "", done.stdout)))
            equal(said[1], said[0], commands)
        ours = os.path.join(images.TOOLS, "vitrine-io")
        images.run(ours, "-s", "-f", "raw", "-c", "write -P 1 0 4k", "-c", "read -P 1 0 4k", f("r"))
        images.run(ours, "-f", "raw", "-c", "read -P 0 0 4k", f("r"))


def test_wrong_sizes_first():
    with Folder() as f:
        for size in ("x", "+", "-- -1Q", "16E", ""):
            both("resize", f("missing"), *(size.split(" ") if size else [""]))
        both("create", "qed", f("a"), "14M")
        both("create", "-f", "vhdx", "-o", "log_size=0", f("a"), "16M")
        both("create", "-f", "qed", "-o", "cluster_size=64M", f("a"), "16M")
        both("convert", "-p", f("missing"), f("b"))
        both("rebase", "-p", "-b", "", f("missing"))
        both("compare", "-p", f("missing"), f("missing"))
        both("create", "-f", "luks", "--object", "secret,id=s,data=abc", "-o",
             "key-secret=s,ivgen-alg=plain64,ivgen-hash-alg=sha256,iter-time=10", f("l"), "1M")


def test_name_of_the_program():
    with Folder() as f:
        for tool in ("img", "io", "nbd"):
            os.symlink(os.path.join(images.TOOLS, f"vitrine-{tool}"), f(f"qemu-{tool}"))
            command = ["info"] if tool == "img" else []
            done = images.run(f(f"qemu-{tool}"), *command, f("missing"), status="fail")
            check(done.stderr.startswith(f"qemu-{tool}: "), done.stderr)


images.main(globals())
