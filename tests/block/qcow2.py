# tests/block/qcow2.py VITRINE-IMG - qcow2 images of every option against qemu-img and qemu-io
# SPDX-License-Identifier: GPL-3.0-or-later
import os

import images
from images import MIB, Folder, both_json, check, equal, img, mixed, qemu_img, qemu_io, run

OPTIONS = [
    "", "compat=0.10", "cluster_size=512", "cluster_size=4k", "cluster_size=2M",
    "refcount_bits=1", "refcount_bits=2", "refcount_bits=8", "refcount_bits=32",
    "refcount_bits=64", "lazy_refcounts=on", "extended_l2=on", "extended_l2=on,cluster_size=16k",
    "extended_l2=on,cluster_size=2M", "preallocation=metadata", "preallocation=falloc",
    "preallocation=full", "compression_type=zstd", "data_file=DATA",
    "data_file=DATA,data_file_raw=on",
]
COMPRESSED = ["", "compat=0.10", "compression_type=zstd", "cluster_size=4k", "cluster_size=2M",
              "compression_type=zstd,cluster_size=512", "extended_l2=on", "refcount_bits=4"]


def option(text, f, name):
    return ["-o", text.replace("DATA", f(name))] if text else []


def clean(path):
    qemu_img("check", "-q", path)
    img("check", "-q", path)


def test_convert():
    with Folder() as f:
        source = mixed(f("raw"))
        for text in OPTIONS:
            img("convert", "-O", "qcow2", *option(text, f, "d1"), source, f("ours"))
            clean(f("ours"))
            images.same_content(source, f("ours"))
            qemu_img("convert", "-O", "qcow2", *option(text, f, "d2"), source, f("theirs"))
            img("compare", source, f("theirs"))
            img("convert", "-O", "raw", f("theirs"), f("back"))
            images.same_bytes(source, f("back"))


def test_compressed():
    with Folder() as f:
        source = mixed(f("raw"), 6 * MIB + 1536)
        for text in COMPRESSED:
            img("convert", "-c", "-O", "qcow2", *option(text, f, ""), source, f("ours"))
            clean(f("ours"))
            images.same_content(source, f("ours"))
            qemu_img("convert", "-c", "-O", "qcow2", *option(text, f, ""), source, f("theirs"))
            img("compare", source, f("theirs"))
            # The levels are lower than the libraries' own: a little larger, not more.
            ours, theirs = (os.stat(f(name)).st_size for name in ("ours", "theirs"))
            check(ours < theirs * 1.06 + 2 * MIB, f"{text}: {ours} bytes, theirs {theirs}")


def test_same_facts():
    with Folder() as f:
        for text in OPTIONS:
            images.run("sh", "-c", f"rm -f {f('*')}")
            qemu_img("create", "-q", "-f", "qcow2", *option(text, f, "d"), f("a"), "16M")
            both_json("info", "--output=json", f("a"))
            if "preallocation" not in text:
                both_json("map", "--output=json", f("a"))


def test_written_in_turns():
    tools = os.path.join(images.TOOLS, "vitrine-io")
    if not os.path.exists(tools):
        raise images.Skip("vitrine-io is not built")
    with Folder() as f:
        for text in OPTIONS:
            img("create", "-q", "-f", "qcow2", *option(text, f, "d"), f("a"), "8M")
            qemu_img("create", "-q", "-f", "raw", f("model"), "8M")
            commands = ["write -P 1 0 100k", "write -P 2 1M 64k", "write -z 32k 40k",
                        "write -P 3 70001 3", "discard 1M 64k", "write -P 4 3M 1M",
                        "write -z -u 3M 128k", "write -P 5 3000k 500"]
            for number, command in enumerate(commands):
                tool = "qemu-io" if number % 2 else tools
                run(tool, "-f", "qcow2", "-c", command, f("a"))
                if command.startswith("discard"):  # a hint: what is there now is not said
                    clean(f("a"))
                    command = "write -z 1M 64k"
                    run(tool, "-f", "qcow2", "-c", command, f("a"))
                qemu_io(f("model"), command, fmt="raw")
                clean(f("a"))
                images.same_content(f("a"), f("model"), "qcow2", "raw")


def test_backing():
    with Folder() as f:
        mixed(f("base"))
        for text in ("", "compat=0.10", "extended_l2=on", "cluster_size=4k", "lazy_refcounts=on"):
            for create in (img, qemu_img):
                create("create", "-q", "-f", "qcow2", "-b", f("base"), "-F", "raw",
                       *option(text, f, ""), f("top"), "9M")
                run(os.path.join(images.TOOLS, "vitrine-io"), "-f", "qcow2",
                    "-c", "write -P 9 100k 5000", "-c", "write -P 8 8180k 30k",
                    "-c", "write -z 3M 70k", f("top"))
                clean(f("top"))
                qemu_img("convert", "-O", "raw", f("top"), f("one"))
                img("convert", "-O", "raw", f("top"), f("two"))
                images.same_bytes(f("one"), f("two"))
                equal(os.stat(f("one")).st_size, 9 * MIB)


def test_resize():
    with Folder() as f:
        source = mixed(f("raw"))
        for text in ("", "cluster_size=4k", "extended_l2=on", "compat=0.10"):
            for name, tool in (("a", img), ("b", qemu_img)):
                qemu_img("convert", "-O", "qcow2", *option(text, f, ""), source, f(name))
                tool("resize", "-q", "--shrink", f(name), "3M")
                tool("resize", "-q", f(name), "20M")
                clean(f(name))
            images.same_content(f("a"), f("b"))
        qemu_img("create", "-q", "-f", "qcow2", f("c"), "4M")
        img("resize", "-q", "--preallocation=metadata", f("c"), "8M")
        clean(f("c"))


def test_measure():
    with Folder() as f:
        source = mixed(f("raw"))
        for text in OPTIONS:
            if "data_file" in text:
                continue
            one = qemu_img("measure", "-O", "qcow2", *option(text, f, ""), source, status=None)
            two = img("measure", "-O", "qcow2", *option(text, f, ""), source, status=None)
            if two.returncode and "not found" in two.stderr:
                raise images.Skip("no measure command in this build")
            equal(two.stdout, one.stdout, text)


images.main(globals())
