# tests/guest/assets.py - finds and makes what guests boot from.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernels, installer and memtest86+ come from the distribution's packages (VITRINE_DATA names the
folder that they were unpacked into); initramfs images are made here, by plain Python."""
import glob
import gzip
import lzma
import os
import re
import stat
import subprocess

INSTALLER = "usr/lib/debian-installer/images/13/amd64/{}/debian-installer/amd64/{}"


class Missing(Exception):
    """A file that the environment should have."""


def find(pattern):
    """The newest file that matches pattern below VITRINE_DATA or /."""
    for base in (os.environ.get("VITRINE_DATA", "/"), "/"):
        found = sorted(glob.glob(os.path.join(base, pattern)))
        if found:
            return found[-1]
    raise Missing(f"{pattern} is not in the environment; ./dev setup brings it")


def kernel():
    return find("boot/vmlinuz-*")


def installer(flavour="text"):
    """(kernel, initrd) of the Debian 13 installer, flavour text or gtk."""
    return (find(INSTALLER.format(flavour, "linux")), find(INSTALLER.format(flavour, "initrd.gz")))


def memtest_iso():
    return find("usr/lib/memtest86+/memtest86+x64.iso")


def vga_bios():
    return find("usr/share/seabios/vgabios-stdvga.bin")


def file_in_initrd(path, wanted):
    """The bytes of one file of a gzip-compressed newc archive."""
    with gzip.open(path) as archive:
        while (header := archive.read(110))[:6] == b"070701":
            size, name_size = int(header[54:62], 16), int(header[94:102], 16)
            name = archive.read(name_size + -(110 + name_size) % 4)[:name_size - 1].decode()
            data = archive.read(size + -size % 4)[:size]
            if name.removeprefix("./") == wanted:
                return data
            if name == "TRAILER!!!":
                break
    raise Missing(f"{path} holds no {wanted}")


def installer_font():
    """The font that the text installer draws with (read it with picture.glyphs_of_bgf)."""
    return file_in_initrd(installer("text")[1], "usr/lib/unifont.bgf")


class Cpio:
    """A newc archive, as the kernel unpacks for an initramfs (initramfs buffer format, "newc")."""

    def __init__(self):
        self.parts = []
        self.inode = 0
        self.folders = set()

    def add(self, name, mode, data=b"", device=(0, 0)):
        self.inode += 1
        encoded = name.encode() + b"\0"
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        for part in (header + encoded, data):
            self.parts.append(part + b"\0" * (-len(part) % 4))

    def folder(self, name):
        if name and name not in self.folders:
            self.folder(os.path.dirname(name))
            self.folders.add(name)
            self.add(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o644):
        self.folder(os.path.dirname(name))
        self.add(name, stat.S_IFREG | mode, data)

    def link(self, name, target):
        self.folder(os.path.dirname(name))
        self.add(name, stat.S_IFLNK | 0o777, target.encode())

    def console(self):
        self.folder("dev")
        self.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))

    def write(self, path, compress=True):
        self.add("TRAILER!!!", 0)
        data = b"".join(self.parts)
        if compress:
            data = gzip.compress(data, 6, mtime=0)
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path + ".part", "wb") as file:
            file.write(data)
        os.replace(path + ".part", path)
        return path


INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/ TERM=vt100 PS1='vitrine# '
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod /modules/$module; done
{setup}
echo INIT-READY
setsid cttyhack sh -i
poweroff -f
"""


def read_module(name, modules):
    """(file name, bytes, names of the modules that it needs); None for one built in."""
    pattern = re.compile("/" + name.replace("_", "[-_]") + r"\.ko(\.xz)?$")
    path = next((m for m in modules if pattern.search(m)), None)
    if path is None:
        return None
    with open(path, "rb") as file:
        data = file.read()
    if path.endswith(".xz"):
        data = lzma.decompress(data)
    needs = re.search(rb"\0depends=([^\0]*)\0", data)
    return (name + ".ko", data, [n for n in needs[1].decode().split(",") if n] if needs else [])


def add_modules(archive, names):
    release = os.path.basename(kernel()).removeprefix("vmlinuz-")
    tree = os.path.dirname(find(f"usr/lib/modules/{release}/kernel"))
    modules = glob.glob(tree + "/kernel/**/*.ko*", recursive=True)
    order = []

    def add(name):
        if name + ".ko" in order:
            return
        module = read_module(name, modules)
        if module is None:
            raise Missing(f"kernel {release} has no module {name}")
        for needed in module[2]:
            add(needed)
        archive.file("modules/" + module[0], module[1])
        order.append(module[0])

    for name in names:
        add(name)
    archive.file("modules/order", "\n".join(order).encode() + b"\n")


def shell_initramfs(path, modules=(), setup=""):
    """An initramfs that loads modules (and what they need), runs setup (shell text), prints
    INIT-READY and gives a busybox shell with the prompt "vitrine# " on the console."""
    archive = Cpio()
    archive.console()
    for name in ("proc", "sys", "tmp", "mnt"):
        archive.folder(name)
    with open(find("usr/bin/busybox"), "rb") as file:
        archive.file("bin/busybox", file.read(), 0o755)
    archive.file("init", INIT.replace("{setup}", setup).encode(), 0o755)
    add_modules(archive, modules)
    return archive.write(path)


TINY_INIT = r"""
#include <sys/reboot.h>
#include <unistd.h>
int main(void)
{
    static const char text[] = "TINY-INIT-READY\n";
    (void)!write(1, text, sizeof(text) - 1);
    reboot(RB_POWER_OFF);
    return 1;
}
"""


def tiny_initramfs(path):
    """An initramfs whose only program says TINY-INIT-READY and powers the machine off."""
    program = path + ".init"
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    subprocess.run(["gcc", "-Os", "-static", "-s", "-x", "c", "-", "-o", program],
                   input=TINY_INIT, text=True, check=True)
    archive = Cpio()
    archive.console()
    with open(program, "rb") as file:
        archive.file("init", file.read(), 0o755)
    return archive.write(path)
