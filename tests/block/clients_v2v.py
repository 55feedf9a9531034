# tests/block/clients_v2v.py VITRINE-IMG - virt-v2v with our qemu-img and qemu-nbd
# SPDX-License-Identifier: GPL-3.0-or-later
"""A phony Debian is converted; what comes out is judged by the distribution's qemu-img."""
import os

import clients
import guestfs
from clients import Tools, need_program
from images import Folder, check, qemu_img


class Conversion:
    def __init__(self, folder):
        need_program("virt-v2v", "nbdkit", "nbdcopy")
        more = guestfs.environment()
        self.disk = guestfs.debian_disk(folder)
        self.folder = folder
        self.tools = Tools()
        self.tools.environment.update(more, TMPDIR=folder.path)
        self.out = folder("out")
        os.mkdir(self.out)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tools.remove()

    def run(self, *args, program="virt-v2v"):
        return self.tools.run(program, *args, seconds=280)

    def image(self, fmt):
        path = self.folder(f"in.{fmt}")
        self.tools.run("qemu-img", "convert", "-O", fmt, self.disk, path)
        self.tools.calls()
        return path

    def converted(self, path, fmt):
        """The image is whole, and the guest in it has been prepared for virtio."""
        if fmt != "raw":
            qemu_img("check", "-f", fmt, path)
        raw = self.folder("judged.raw")
        qemu_img("convert", "-f", fmt, "-O", "raw", path, raw)
        listed = guestfs.file_of(self.folder, raw, "/etc/initramfs-tools/modules")
        check("virtio_blk" in listed, listed)
        called = guestfs.file_of(self.folder, raw, "/var/called")
        check("update-initramfs" in called, called)


def test_local_qcow2():
    with Folder() as folder, Conversion(folder) as v:
        source = v.image("qcow2")
        v.run("-i", "disk", source, "-o", "local", "-os", v.out, "-of", "qcow2")
        v.tools.called("qemu-img info --output json", "qemu-nbd .*-s --format qcow2 .*in.qcow2",
                       "qemu-img create -f qcow2 .*in-sda", "qemu-nbd .*--format qcow2 .*in-sda")
        v.converted(os.path.join(v.out, "in-sda"), "qcow2")
        with open(os.path.join(v.out, "in.xml"), encoding="utf-8") as file:
            check("type='qcow2'" in file.read(), "the machine's description")
        qemu_img("compare", v.disk, source)      # -s: the source is not written


def long_qemu_raw():
    with Folder() as folder, Conversion(folder) as v:
        v.run("-i", "disk", v.disk, "-o", "qemu", "-os", v.out, "-of", "raw", "-on", "other")
        v.converted(os.path.join(v.out, "other-sda"), "raw")
        check(os.access(os.path.join(v.out, "other.sh"), os.X_OK), "no script")


def long_compressed():
    with Folder() as folder, Conversion(folder) as v:
        v.run("-i", "disk", v.image("vmdk"), "-if", "vmdk", "-o", "local", "-os", v.out, "-of",
              "qcow2", "--compressed")
        v.tools.called("qemu-nbd .*driver=compress|qemu-nbd .*compress")
        v.converted(os.path.join(v.out, "in-sda"), "qcow2")


def long_preallocated():
    with Folder() as folder, Conversion(folder) as v:
        v.run("-i", "disk", v.image("qcow2"), "-o", "local", "-os", v.out, "-of", "qcow2", "-oa",
              "preallocated")
        v.tools.called("qemu-img create -f qcow2 -o preallocation=falloc")
        path = os.path.join(v.out, "in-sda")
        v.converted(path, "qcow2")
        check(os.stat(path).st_blocks * 512 >= os.path.getsize(v.disk), "not preallocated")


def long_in_place():
    with Folder() as folder, Conversion(folder) as v:
        need_program("virt-v2v-in-place")
        path = v.image("qcow2")
        v.run("-i", "disk", path, program="virt-v2v-in-place")
        v.tools.called("qemu-nbd .*--format qcow2 .*in.qcow2")
        v.converted(path, "qcow2")


clients.main(globals())
