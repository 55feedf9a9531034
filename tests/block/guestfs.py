# tests/block/guestfs.py - what libguestfs's appliance needs here, and a small Debian to work on
# SPDX-License-Identifier: GPL-3.0-or-later
"""The appliance is the distribution's: its programs, its kernel (unpacked, not installed, therefore
without an index of the modules) and its qemu-system-x86_64, which emulates: KVM on the machine that
runs the tests may be missing, or unable to start a distribution's kernel."""
import fcntl
import glob
import os
import shutil
import struct
import subprocess
import tempfile

from clients import need_program
from images import MIB, Skip

CACHE = os.path.join(os.environ.get("VITRINE_TEST_OUTPUT") or
                     os.path.join(tempfile.gettempdir(), f"vitrine-guestfs-{os.geteuid()}"),
                     "guestfs")


def find(pattern):
    for base in (os.environ.get("VITRINE_DATA", "/"), "/"):
        found = sorted(glob.glob(os.path.join(base, pattern)))
        if found:
            return found[-1]
    raise Skip(f"{pattern} is not in the environment; ./dev setup brings it")


def kernel():
    """(path, version)"""
    path = find("boot/vmlinuz-*")
    return path, path.split("vmlinuz-")[1]


def modules():
    """The kernel's modules with an index, made once."""
    version = kernel()[1]
    base = os.path.join(CACHE, f"modules-{version}")
    if not os.path.exists(base):
        part = tempfile.mkdtemp(dir=CACHE)
        shutil.copytree(find(f"lib/modules/{version}"), os.path.join(part, "lib/modules", version))
        subprocess.run(["depmod", "-b", part, version], check=True)
        os.rename(part, base)
    return os.path.join(base, "lib/modules", version)


def environment():
    """For programs of libguestfs; the appliance is built by the first that runs."""
    need_program("guestfish", "supermin", "qemu-system-x86_64", "depmod")
    os.makedirs(CACHE, exist_ok=True)
    with open(os.path.join(CACHE, "making"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return {"LIBGUESTFS_BACKEND": "direct", "LIBGUESTFS_BACKEND_SETTINGS": "force_tcg",
                "LIBGUESTFS_CACHEDIR": CACHE, "SUPERMIN_KERNEL": kernel()[0],
                "SUPERMIN_MODULES": modules()}


# ---- a Debian that is enough for inspection and conversion ---------------------------------------

STUBS = ("update-grub", "update-initramfs", "grub-mkconfig")
APPLETS = ("cat", "chmod", "cp", "echo", "env", "grep", "ln", "ls", "mkdir", "mv", "rm", "sed",
           "sync", "touch", "true", "uname")


def write(root, path, text, mode=0o644):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)


def copy(root, path, target=None):
    target = os.path.join(root, (target or path).lstrip("/"))
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copy(path, target)


def programs(root):
    """dpkg and a shell with the libraries that they need."""
    for folder in ("bin", "lib", "lib64", "sbin"):
        os.makedirs(os.path.join(root, "usr", folder))
        os.symlink(f"usr/{folder}", os.path.join(root, folder))
    for name in ("dpkg", "dpkg-query", "dash", "busybox"):
        path = shutil.which(name)
        copy(root, path, f"usr/bin/{name}")
        for word in subprocess.run(["ldd", path], capture_output=True, text=True,
                                   check=False).stdout.split():
            if word.startswith("/"):
                copy(root, word, "usr" + word.removeprefix("/usr"))
    os.symlink("dash", os.path.join(root, "usr/bin/sh"))
    for name in APPLETS:
        os.symlink("busybox", os.path.join(root, "usr/bin", name))
    for name in STUBS:
        write(root, f"usr/sbin/{name}", f"#!/bin/sh\necho {name} >>/var/called\n", 0o755)


def packages(root, version, files):
    installed = ("dpkg", "grub-pc", f"linux-image-{version}")
    write(root, "var/lib/dpkg/available", "")
    write(root, "var/lib/dpkg/status", "".join(
        f"Package: {name}\nStatus: install ok installed\nMaintainer: nobody <nobody@localhost>\n"
        f"Architecture: amd64\nVersion: 1.0\nDescription: {name}\n\n" for name in installed))
    for name in installed:
        listed = files if name.startswith("linux") else []
        write(root, f"var/lib/dpkg/info/{name}.list", "\n".join(["/.", *listed]) + "\n")


def debian_tree(root):
    path, version = kernel()
    programs(root)
    for folder in ("dev", "home", "mnt", "proc", "root", "run", "sys", "tmp", "var/tmp",
                   "var/lib/dpkg/updates"):
        os.makedirs(os.path.join(root, folder), exist_ok=True)
    for name, text in {
            "debian_version": "13.1\n", "hostname": "phony\n", "group": "root:x:0:\n",
            "fstab": "/dev/sda1 / ext4 errors=remount-ro 0 1\n",
            "passwd": "root:x:0:0:root:/root:/bin/sh\n", "shadow": "root:*:19000:0:99999:7:::\n",
            "default/grub": 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\nGRUB_CMDLINE_LINUX=""\n',
            "initramfs-tools/modules": "# one in each line\n",
            "modprobe.d/local.conf": "# none\n"}.items():
        write(root, f"etc/{name}", text)
    copy(root, find("usr/lib/os-release"), "etc/os-release")
    copy(root, path, f"boot/vmlinuz-{version}")
    copy(root, path.replace("vmlinuz-", "config-"), f"boot/config-{version}")
    write(root, f"boot/initrd.img-{version}", "none\n")
    write(root, "boot/grub/grub.cfg", f"""menuentry 'Debian' {{
 linux /boot/vmlinuz-{version} root=/dev/sda1 ro
 initrd /boot/initrd.img-{version}
}}
""")
    source, files = find(f"lib/modules/{version}"), [f"/boot/vmlinuz-{version}",
                                                     f"/boot/config-{version}",
                                                     f"/lib/modules/{version}"]
    for pattern in ("virtio/virtio*", "block/virtio_blk*", "net/virtio_net*", "scsi/virtio_scsi*"):
        for module in glob.glob(os.path.join(source, "kernel/drivers", pattern)):
            name = f"/lib/modules/{version}/{os.path.relpath(module, source)}"
            copy(root, module, "usr" + name)
            files.append(name)
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        copy(root, os.path.join(source, name), f"usr/lib/modules/{version}/{name}")
    subprocess.run(["depmod", "-b", root, version], check=True)
    packages(root, version, files)


def debian_disk(folder, name="debian.img", size=200 * MIB):
    """A raw disk with one partition, its tree made from the environment's own files."""
    need_program("busybox", "dpkg", "mkfs.ext4")
    root, path = folder(name + ".tree"), folder(name)
    os.mkdir(root)
    debian_tree(root)
    with open(path, "wb") as file:
        file.truncate(size)
        file.seek(440)      # the disk's signature and table: partition 1, Linux, from 1 MiB on
        file.write(struct.pack("<IHB3sB3sII", 0x12345678, 0, 0x80, b"\0\2\0", 0x83, b"\xff\xff\xff",
                               2048, size // 512 - 2048) + bytes(48) + b"\x55\xaa")
    subprocess.run(["mkfs.ext4", "-q", "-F", "-d", root, "-E", f"offset={MIB}", path,
                    str((size - MIB) // 1024)], check=True)
    shutil.rmtree(root)
    return path


def file_of(folder, disk, path):
    """A file of the disk's partition, read by e2fsprogs."""
    part = folder("part.img")
    subprocess.run(["dd", f"if={disk}", f"of={part}", "bs=1M", "skip=1", "conv=sparse",
                    "status=none"], check=True)
    return subprocess.run(["debugfs", "-R", f"cat {path}", part], capture_output=True, text=True,
                          check=True).stdout
