# tests/block/clients_guestfs.py VITRINE-IMG - libguestfs and its virt-... tools with our tools
# SPDX-License-Identifier: GPL-3.0-or-later
"""libguestfs calls our qemu-img; its appliance runs in the distribution's emulator and writes the
images that ours has made. The distribution's qemu-img judges them."""
import hashlib
import os
import subprocess
import time

import clients
import guestfs
from clients import Tools, need_program
from images import MIB, Folder, check, equal, fill, qemu_img, same_content

FORMATS = ("qcow2", "vmdk", "vdi", "vpc", "vhdx", "qed", "parallels")
CHECKED = ("qcow2", "vmdk", "vdi", "vhdx", "qed", "parallels")


class Guestfs:
    def __init__(self, folder, appliance=True):
        need_program("guestfish")
        more = guestfs.environment() if appliance else {}
        self.folder = folder
        self.tools = Tools()
        self.tools.environment.update(more, TMPDIR=folder.path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tools.remove()

    def fish(self, *lines, **more):
        return self.tools.run("guestfish", text="\n".join(lines) + "\n", cwd=self.folder.path,
                              **more).stdout.split()

    def run(self, *command, **more):
        return self.tools.run(*command, cwd=self.folder.path, **more)

    def check(self, *names):
        for name in names:
            qemu_img("check", self.folder(name))

    def digest(self, name, fmt):
        """Of the disk's bytes, by the distribution's tools."""
        raw = self.folder("digested")
        qemu_img("convert", "-f", fmt, "-O", "raw", self.folder(name), raw)
        with open(raw, "rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()


def tree(folder):
    os.mkdir(folder("tree"))
    for number in range(20):
        fill(folder(f"tree/{number}"), 70000 + number, [(0, 60000, "text")])


def filesystem(folder, name="fs.raw"):
    tree(folder)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-d", folder("tree"), fill(folder(name), 24 * MIB)],
                   check=True)
    return folder(name)


def test_create():
    """disk-create in every way that libguestfs knows, and what it asks of images."""
    with Folder() as folder, Guestfs(folder, appliance=False) as g:
        wanted = {"raw1": ("raw", ""), "raw2": ("raw", "preallocation:full"),
                  "raw3": ("raw", "preallocation:sparse"), "q1": ("qcow2", ""),
                  "q2": ("qcow2", "preallocation:metadata compat:1.1 clustersize:4096"),
                  "q3": ("qcow2", "compat:0.10"), "q4": ("qcow2", "preallocation:full"),
                  "q5": ("qcow2", "preallocation:off clustersize:2097152")}
        g.fish(*(f"disk-create {name} {fmt} 50M {more}" for name, (fmt, more) in wanted.items()))
        g.tools.called("create -f qcow2 -o preallocation=metadata,compat=1.1,cluster_size=4096",
                       "create -f qcow2 -o preallocation=falloc", "compat=0.10")
        g.fish("disk-create over1 qcow2 -1 backingfile:q1 backingformat:qcow2",
               "disk-create over2 qcow2 -1 backingfile:raw1 backingformat:raw compat:1.1")
        g.tools.called("backing_file=raw1,backing_fmt=raw")
        for name, fmt in [(name, fmt) for name, (fmt, _) in wanted.items()] + [("over1", "qcow2"),
                                                                               ("over2", "qcow2")]:
            said = g.fish(f"disk-format {name}", f"disk-virtual-size {name}",
                          f"disk-has-backing-file {name}")
            equal(said, [fmt, str(50 * MIB), str("over" in name).lower()], name)
        g.check("q1", "q2", "q3", "q4", "q5", "over1", "over2")
        g.fish("disk-create bad qcow2 10M clustersize:3000", status="fail")
        g.fish("disk-create bad qcow2 -1 backingfile:missing backingformat:qcow2", status="fail")
        g.fish("disk-format missing", status="fail")
        for fmt in FORMATS[1:]:
            g.run("qemu-img", "create", "-q", "-f", fmt, f"x.{fmt}", "20M")
            said = g.fish(f"disk-format x.{fmt}", f"disk-has-backing-file x.{fmt}")
            equal(said, [fmt, "false"])


def test_disks():
    """The appliance reads what our convert wrote and writes to what our create made, a disk over
    NBD among them."""
    with Folder() as folder, Guestfs(folder) as g:
        source = filesystem(folder)
        with open(source, "rb") as file:
            whole = hashlib.file_digest(file, "md5").hexdigest()
        written = FORMATS[:-1]      # QEMU itself does not write to parallels by default
        lines = []
        for fmt in written:
            g.run("qemu-img", "create", "-q", "-f", fmt, f"new.{fmt}", "24M")
            lines.append(f"add new.{fmt}")
        read = ("qcow2", "vdi", "vhdx", "vmdk")
        for fmt in read:
            g.run("qemu-img", "convert", *(["-c"] if fmt == "qcow2" else []), "-O", fmt, source,
                  f"old.{fmt}")
            lines.append(f"add old.{fmt} readonly:true format:{fmt}")
        g.run("qemu-img", "create", "-q", "-f", "qcow2", "served", "24M")
        g.run("qemu-nbd", "--fork", "--pid-file", folder("pid"), "-t", "-k", folder("socket"),
              "--discard=unmap", "-f", "qcow2", "served")
        lines.append(f"add '' format:raw protocol:nbd server:unix:{folder('socket')}")
        lines += ["run", "part-disk /dev/sda gpt", "mkfs ext4 /dev/sda1"]
        names = [chr(ord("a") + number) for number in range(len(written) + len(read) + 1)]
        for name in names[:len(written)] + names[-1:]:
            device = "/dev/sda1" if name == "a" else f"/dev/sd{name}"
            if name != "a":
                lines.append(f"mkfs {'vfat' if name == 'b' else 'ext4'} {device}")
            lines += [f"mount {device} /", f"copy-in {folder('tree')} /", "rm /tree/3", "umount /"]
        lines.append("sync")
        lines += [f"checksum-device md5 /dev/sd{name}" for name in names]
        sums = g.fish(*lines)
        with open(folder("pid"), encoding="ascii") as file:
            os.kill(int(file.read()), 15)
        end = time.monotonic() + 20
        while os.path.exists(folder("socket")) and time.monotonic() < end:
            time.sleep(0.02)
        equal(sums[len(written):-1], [whole] * len(read))
        for fmt, one in zip(written, sums):
            if fmt in CHECKED:
                g.check(f"new.{fmt}")
            equal(g.digest(f"new.{fmt}", fmt), one, fmt)
        g.check("served")
        equal(g.digest("served", "qcow2"), sums[-1], "over NBD")


def test_sparsify():
    """In place (the guest's discards reach the file), and to a copy (an overlay, then convert)."""
    with Folder() as folder, Guestfs(folder) as g:
        source = filesystem(folder)
        g.run("qemu-img", "convert", "-O", "qcow2", source, "a.qcow2")
        g.tools.calls()
        g.run("virt-sparsify", "--compress", "--convert", "qcow2", "a.qcow2", "b.qcow2")
        g.tools.called("create .*-f qcow2", "convert .*-O qcow2 -c")
        g.check("b.qcow2")
        same_content(folder("a.qcow2"), source, "qcow2", "raw")
        qemu_img("convert", "-O", "raw", folder("b.qcow2"), folder("b.raw"))
        subprocess.run(["fsck.ext4", "-fn", folder("b.raw")], check=True, capture_output=True)


def long_sparsify_in_place():
    with Folder() as folder, Guestfs(folder) as g:
        g.run("qemu-img", "convert", "-S", "0", "-O", "qcow2", filesystem(folder), "a.qcow2")
        before = os.stat(folder("a.qcow2")).st_blocks
        g.run("virt-sparsify", "--in-place", "a.qcow2")
        g.check("a.qcow2")
        check(os.stat(folder("a.qcow2")).st_blocks < before * 3 // 4, "nothing was given back")


def long_make_fs():
    with Folder() as folder, Guestfs(folder) as g:
        tree(folder)
        g.run("virt-make-fs", "--format=qcow2", "--type=ext4", "--size=+10M", "tree", "a.qcow2")
        g.tools.called("create -f qcow2")
        g.check("a.qcow2")
        qemu_img("convert", "-O", "raw", folder("a.qcow2"), folder("a.raw"))
        subprocess.run(["fsck.ext4", "-fn", folder("a.raw")], check=True, capture_output=True)


def long_resize():
    with Folder() as folder, Guestfs(folder) as g:
        disk = guestfs.debian_disk(folder)
        g.run("qemu-img", "convert", "-O", "qcow2", disk, "a.qcow2")
        g.run("qemu-img", "create", "-q", "-f", "qcow2", "b.qcow2", "300M")
        g.run("virt-resize", "--expand", "/dev/sda1", "a.qcow2", "b.qcow2")
        g.check("b.qcow2")
        text = g.run("virt-df", "-a", "b.qcow2").stdout
        check(int(text.splitlines()[1].split()[1]) > 250000, text)


def long_guest():
    """Tools that look for a system in the image and change it."""
    with Folder() as folder, Guestfs(folder) as g:
        disk = guestfs.debian_disk(folder)
        g.run("qemu-img", "convert", "-O", "qcow2", disk, "a.qcow2")
        g.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "a.qcow2", "-F", "qcow2", "b.qcow2")
        fill(folder("file"), 5000, [(0, 5000, "text")])
        subprocess.run(["tar", "cf", folder("a.tar"), "-C", folder.path, "file"], check=True)
        g.run("virt-copy-in", "-a", "b.qcow2", "file", "/root")
        g.run("virt-tar-in", "-a", "b.qcow2", "a.tar", "/home")
        g.run("virt-customize", "-a", "b.qcow2", "--hostname", "other", "--write",
              "/etc/motd:welcome", "--run-command", "touch /var/ran")
        g.run("virt-sysprep", "-a", "b.qcow2", "--operations", "tmp-files,logfiles")
        os.mkdir(folder("out"))
        g.run("virt-copy-out", "-a", "b.qcow2", "/root/file", "/home/file", folder("out"))
        qemu_img("check", folder("b.qcow2"))
        qemu_img("convert", "-O", "raw", folder("b.qcow2"), folder("b.raw"))
        equal(guestfs.file_of(folder, folder("b.raw"), "/etc/motd").strip(), "welcome")
        same_content(folder("a.qcow2"), disk, "qcow2", "raw")
        with open(folder("file"), "rb") as first, open(folder("out/file"), "rb") as second:
            check(first.read() == second.read(), "virt-copy-out")


def long_format():
    with Folder() as folder, Guestfs(folder) as g:
        g.run("qemu-img", "create", "-q", "-f", "vdi", "a.vdi", "64M")
        g.run("virt-format", "--format=vdi", "--filesystem=ext4", "--partition=gpt", "-a", "a.vdi")
        g.check("a.vdi")
        text = g.run("virt-filesystems", "-a", "a.vdi", "--long").stdout
        check("ext4" in text, text)


clients.main(globals())
