# tests/block/fuse.py EXPORTER - images as files by FUSE, used by the kernel and by programs
# SPDX-License-Identifier: GPL-3.0-or-later
import errno
import fcntl
import mmap
import os
import subprocess
import sys

from nbd_common import Exporter, Folder, check, equal, report, run

EXPORTER = sys.argv[1]
MIB = 1 << 20


def mount(folder, image, more="", form="raw", flags="u"):
    point = folder("mount")
    with open(point, "wb"):
        pass
    return Exporter(EXPORTER, "-", form, image, flags,
                    f"type=fuse,id=e,mountpoint={point},{more}"), point


def moves():
    with Folder() as folder:
        image = folder.raw("a", 8 * MIB, 4)
        exporter, point = mount(folder, image, "writable=on")
        with open(image, "rb") as file:
            content = bytearray(file.read())
        with exporter:
            equal(os.stat(point).st_size, 8 * MIB)
            with open(point, "rb") as file:
                equal(file.read(), content)
            with open(point, "r+b", buffering=0) as file:
                file.seek(12345)
                file.write(b"x" * 3 * MIB)
                content[12345:12345 + 3 * MIB] = b"x" * 3 * MIB
                os.fsync(file.fileno())
                file.seek(8 * MIB - 10)
                equal(file.write(b"y" * 100), 10)
                content[-10:] = b"y" * 10
                try:
                    file.write(b"y")
                    raise AssertionError("a write past the end succeeded")
                except OSError as error:
                    equal(error.errno, errno.ENOSPC)
                equal(file.read(10), b"")
            with open(image, "rb") as file:
                check(file.read() == content, "the image differs")
            run("cmp", image, point)
            run("qemu-io", "-f", "raw", "-t", "none", "-c", "write -P 3 1M 1M", "-c",
                "read -P 3 1M 1M", point)
            descriptor = os.open(point, os.O_RDWR | os.O_DIRECT)
            memory = mmap.mmap(-1, 4096)
            memory.write(b"d" * 4096)
            equal(os.pwritev(descriptor, [memory], 4096), 4096)
            equal(os.preadv(descriptor, [memory], 4096), 4096)
            equal(memory[:], b"d" * 4096)
            os.close(descriptor)
        equal(os.stat(point).st_size, 0)


def holes():
    with Folder() as folder:
        image = folder.raw("a", 4 * MIB)
        exporter, point = mount(folder, image, "writable=on")
        with exporter:
            run("fallocate", "-p", "-o", "1M", "-l", "1M", point)
            run("fallocate", "-z", "-o", str(3 * MIB), "-l", "64K", point)
            with open(point, "rb") as file:
                data = file.read()
                equal(data[MIB:2 * MIB], bytes(MIB))
                equal(data[3 * MIB:3 * MIB + 65536], bytes(65536))
                check(data[:4096] != bytes(4096), "too much was zeroed")
                equal(os.lseek(file.fileno(), 0, os.SEEK_HOLE), MIB)
                equal(os.lseek(file.fileno(), MIB, os.SEEK_DATA), 2 * MIB)
                try:
                    os.lseek(file.fileno(), 4 * MIB, os.SEEK_DATA)
                    raise AssertionError("data at the end")
                except OSError as error:
                    equal(error.errno, errno.ENXIO)
            check(os.stat(image).st_blocks * 512 <= 3 * MIB, "no hole in the image")
            text = run("fallocate", "-o", str(4 * MIB), "-l", "1M", point, rc=1)
            check("fallocate" in text, text)


def grows():
    with Folder() as folder:
        image = folder.raw("a", MIB)
        exporter, point = mount(folder, image, "writable=on,growable=on")
        with exporter:
            with open(point, "r+b", buffering=0) as file:
                file.seek(MIB - 5)
                equal(file.write(b"z" * 4096), 4096)
            # A raw image ends with a whole sector.
            equal(os.stat(point).st_size, (MIB - 5 + 4096 + 511) // 512 * 512)
            os.truncate(point, 2 * MIB)
            equal(os.stat(point).st_size, 2 * MIB)
            run("fallocate", "-o", str(2 * MIB), "-l", "1M", point)
            equal(os.stat(point).st_size, 3 * MIB)
            os.truncate(point, MIB)
        equal(os.stat(image).st_size, MIB)


def refusals():
    with Folder() as folder:
        image = folder.raw("a", MIB)
        exporter, point = mount(folder, image)
        with exporter:
            equal(os.stat(point).st_mode & 0o777, 0o400)
            descriptor = os.open(point, os.O_RDONLY)
            os.close(descriptor)
            try:
                os.chmod(point, 0o600)
                raise AssertionError("write permission on a read-only export")
            except OSError as error:
                equal(error.errno, errno.EROFS)
            try:
                with open(point, "r+b", buffering=0) as file:
                    file.write(b"x")
                raise AssertionError("a write to a read-only export succeeded")
            except OSError as error:
                check(error.errno in (errno.EACCES, errno.EROFS), error)
            os.mkdir(folder("folder"))
        for more, text in (("mountpoint=" + folder("none"), "Failed to stat"),
                           ("mountpoint=" + folder("folder"), "is not a regular file"),
                           ("allow-other=maybe,mountpoint=" + point, "allow-other")):
            output = run(EXPORTER, "-", "raw", image, "-", f"type=fuse,id=e,{more}", rc=1)
            check(text in output, output)


def formats():
    """A qcow2 image as a raw file, with a file system that the kernel's loop device could take."""
    with Folder() as folder:
        image = folder("a.qcow2")
        run("qemu-img", "create", "-q", "-f", "qcow2", image, "64M")
        exporter, point = mount(folder, image, "writable=on", form="qcow2")
        with exporter:
            run("mke2fs", "-q", "-F", "-t", "ext4", point)
            run("e2fsck", "-fn", point)
            with open(point, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
        run("qemu-img", "check", "-q", image)
        run("qemu-img", "convert", "-O", "raw", image, folder("raw"))
        run("e2fsck", "-fn", folder("raw"))


def parallel():
    with Folder() as folder:
        image = folder.raw("a", 32 * MIB, blank=True)
        exporter, point = mount(folder, image, "writable=on")
        with exporter:
            run("fio", "--name=a", f"--filename={point}", "--rw=randwrite", "--bs=64k",
                "--size=32M", "--ioengine=libaio", "--direct=1", "--iodepth=32", "--verify=crc32c",
                "--do_verify=1", "--verify_fatal=1", "--verify_state_save=0")
            readers = [subprocess.Popen(["cmp", image, point]) for _ in range(4)]
            for reader in readers:
                equal(reader.wait(60), 0)


if not os.path.exists("/dev/fuse"):
    print("1..0 # SKIP no /dev/fuse")
    sys.exit(0)
report([moves, holes, grows, refusals, formats, parallel])
