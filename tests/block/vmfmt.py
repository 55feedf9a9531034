# tests/block/vmfmt.py VITRINE-IMG - VDI, VHD, VMDK, VHDX and Parallels images against qemu-img
# SPDX-License-Identifier: GPL-3.0-or-later
import glob
import os
import shutil

import images
from images import (KIB, MIB, Folder, both, both_json, check, equal, fill, img, mixed, need,
                    qemu_img,
                    qemu_io, same_bytes)

SIZE = 8 * MIB
STREAM = "subformat=streamOptimized"
# What each format can be made with, by both tools.
OPTIONS = {
    "vdi": ["", "static=on"],
    "vpc": ["", "force_size=on", "subformat=fixed", "subformat=fixed,force_size=on"],
    "vmdk": ["", "zeroed_grain=on", "compat6=on", "adapter_type=lsilogic,hwversion=10,"
             "toolsversion=7",
             "subformat=monolithicFlat", "subformat=twoGbMaxExtentSparse",
             "subformat=twoGbMaxExtentFlat,adapter_type=buslogic", STREAM],
    "vhdx": ["", "block_size=1M,log_size=2M", "block_state_zero=off", "subformat=fixed"],
    "parallels": ["", "cluster_size=64k", "cluster_size=100k"],
}
CHECKED = ("vdi", "vmdk", "vhdx", "parallels")


def each(*formats):
    for fmt in formats or OPTIONS:
        need(fmt)
        for options in OPTIONS[fmt]:
            yield fmt, options


def dash_o(options):
    return ["-o", options] if options else []


def test_read_theirs():
    with Folder() as f:
        mixed(f("raw"), SIZE)
        for number, (fmt, options) in enumerate(each()):
            name = f(f"d{number}.{fmt}")
            qemu_img("convert", "-f", "raw", "-O", fmt, *dash_o(options), f("raw"), name)
            img("compare", "-f", fmt, "-F", "raw", name, f("raw"))
            img("convert", "-f", fmt, "-O", "raw", name, f("back"))
            with open(f("back"), "r+b") as back:
                check(back.seek(0, 2) >= SIZE, f"{fmt} {options}: shorter than its source")
                back.truncate(SIZE)
            same_bytes(f("raw"), f("back"))
            if fmt in CHECKED:
                img("check", "-f", fmt, name)


def test_write_ours():
    with Folder() as f:
        mixed(f("raw"), SIZE)
        for number, (fmt, options) in enumerate(each()):
            name = f(f"d{number}.{fmt}")
            img("convert", "-f", "raw", "-O", fmt, *dash_o(options), f("raw"), name)
            qemu_img("compare", "-f", fmt, "-F", "raw", name, f("raw"))
            if fmt in CHECKED:
                qemu_img("check", "-f", fmt, name)
            # and theirs writes into ours
            if options != STREAM:
                qemu_io(name, "write -P 3 100k 70k", "write -P 4 5M 1k", "write -z 0 4k", fmt=fmt)
                qemu_io(name, "read -P 3 100k 70k", "read -P 4 5M 1k", "read -P 0 0 4k", fmt=fmt)
                qemu_img("convert", "-f", fmt, "-O", "raw", name, f("theirs"))
                img("compare", "-f", fmt, "-F", "raw", name, f("theirs"))


def test_create_output():
    with Folder() as f:
        for fmt, options in each():
            both("create", "-f", fmt, *dash_o(options), f("a." + fmt), "10M", stderr=False)
        for fmt in OPTIONS:
            both("create", "-f", fmt, "-o", "help")


def test_nothing():
    """Disks without a byte, which QEMU opens as well."""
    with Folder() as f:
        for fmt in ("vhdx", "vdi", "parallels"):
            img("create", "-q", "-f", fmt, f("o." + fmt), "0")
            both("info", "-f", fmt, f("o." + fmt))


def test_info_of_parallels():
    need("parallels")
    with Folder() as f:
        qemu_img("create", "-q", "-f", "parallels", f("a"), "4M")
        both("info", "--output=json", f("a"))


def test_sizes():
    """Virtual sizes that the format rounds, and those it refuses."""
    with Folder() as f:
        for fmt in OPTIONS:
            need(fmt)
            for size in ("512", "1000000", "3G", "127G", "130G", "1T"):
                sizes = []
                for tool in (qemu_img, img):
                    tool("create", "-q", "-f", fmt, f("a"), size)
                    text = qemu_img("info", "-f", fmt, f("a")).stdout
                    sizes.append([line for line in text.splitlines() if "virtual" in line])
                equal(sizes[1], sizes[0], f"{fmt} {size}")
        for fmt, size in (("vpc", "2041G"), ("vhdx", "65T"), ("vdi", "600T")):
            qemu_img("create", "-q", "-f", fmt, f("a"), size, status="fail")
            img("create", "-q", "-f", fmt, f("a"), size, status="fail")


def test_info_output():
    with Folder() as f:
        for fmt, options in each():
            for path in glob.glob(f("*")):
                os.remove(path)
            qemu_img("create", "-q", "-f", fmt, *dash_o(options), f("a." + fmt), "10M")
            both("info", "-f", fmt, f("a." + fmt))
            # (qemu-img gives Parallels images no "dirty-flag"; several files have no order)
            if "twoGb" not in options and "Flat" not in options and fmt != "parallels":
                both_json("info", "-f", fmt, "--output=json", f("a." + fmt))


def test_check_output():
    with Folder() as f:
        for fmt in CHECKED:
            need(fmt)
            qemu_img("create", "-q", "-f", fmt, f("a"), "10M")
            qemu_io(f("a"), "write 3M 100k", "write 7M 1k", fmt=fmt)
            both("check", "-f", fmt, f("a"))
        need("vpc")
        qemu_img("create", "-q", "-f", "vpc", f("a"), "10M")
        both("check", "-f", "vpc", f("a"))


def test_resize_refused():
    with Folder() as f:
        for fmt in OPTIONS:
            need(fmt)
            qemu_img("create", "-q", "-f", fmt, f("a"), "10M")
            both("resize", "-f", fmt, f("a"), "20M")


def test_map_output():
    with Folder() as f:
        for fmt in ("vdi", "vpc", "vmdk", "parallels"):
            need(fmt)
            qemu_img("create", "-q", "-f", fmt, f("a"), "20M")
            qemu_io(f("a"), "write 3M 100k", "write 7M 64k", "write 12M 5M", fmt=fmt)
            both("map", "-f", fmt, "--output=json", f("a"))


def test_measure_refused():
    if "measure" not in img("--help").stdout:
        raise images.Skip("no measure in this build")
    for fmt in OPTIONS:
        need(fmt)
        both("measure", "-O", fmt, "--size", "1G")


def test_vmdk_backing():
    need("vmdk")
    with Folder() as f:
        mixed(f("raw"), SIZE)
        img("convert", "-f", "raw", "-O", "vmdk", f("raw"), f("base.vmdk"))
        for tool, name in ((img, "ours.vmdk"), (qemu_img, "theirs.vmdk")):
            tool("create", "-q", "-f", "vmdk", "-b", "base.vmdk", "-F", "vmdk", f(name))
            qemu_io(f(name), "write -P 9 300k 3k", "write -P 8 3M 200k", fmt="vmdk")
            qemu_img("convert", "-f", "vmdk", "-O", "raw", f(name), f("flat"))
            img("compare", "-f", "vmdk", "-F", "raw", f(name), f("flat"))
            both("info", f(name))
            both("map", "--output=json", f(name))
        # the parent has changed since: both refuse to mix the two
        qemu_io(f("base.vmdk"), "write 0 1k", fmt="vmdk")
        img("convert", "-f", "vmdk", "-O", "raw", f("ours.vmdk"), f("flat"), status="fail")
        both("create", "-f", "vmdk", "-b", "raw", "-F", "raw", f("x.vmdk"), stderr=False)
        both("create", "-f", "vmdk", "-b", "base.vmdk", "-F", "vmdk", "-o",
             "subformat=monolithicFlat", f("x.vmdk"), stderr=False)


def test_vmdk_split():
    """More than one extent, over their boundary."""
    need("vmdk")
    with Folder() as f:
        for sub in ("twoGbMaxExtentSparse", "twoGbMaxExtentFlat"):
            fill(f("raw"), 2048 * MIB + 5 * MIB, [(2047 * MIB + 512 * KIB, MIB, "random"),
                                                 (2050 * MIB, 70 * KIB, "text")])
            os.makedirs(f(sub))
            name = os.path.join(f(sub), "disk.vmdk")
            img("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=" + sub, f("raw"), name)
            equal(len(os.listdir(f(sub))), 3)
            qemu_img("compare", "-f", "vmdk", "-F", "raw", name, f("raw"))
            img("compare", "-f", "vmdk", "-F", "raw", name, f("raw"))
            shutil.rmtree(f(sub))


def test_vhdx_log():
    """Many tables' pages through a small log, then read by the other side."""
    need("vhdx")
    with Folder() as f:
        fill(f("raw"), 1200 * MIB, [(i * 2 * MIB, 4096, i % 250 + 1) for i in range(600)])
        img("convert", "-f", "raw", "-O", "vhdx", "-o", "block_size=1M", f("raw"), f("d.vhdx"))
        qemu_img("check", f("d.vhdx"))
        qemu_img("compare", "-f", "vhdx", "-F", "raw", f("d.vhdx"), f("raw"))


if __name__ == "__main__":
    images.main(globals())
