# tests/block/vhost_user.py EXPORTER - a vhost-user-blk export with drivers of the distribution:
# libblkio (through qemu-io and qemu-img) and a machine of QEMU's; and with one that means harm
# SPDX-License-Identifier: GPL-3.0-or-later
import array
import fcntl
import json
import mmap
import os
import select
import socket
import struct
import subprocess
import sys
import time

from nbd_common import Exporter, Folder, check, equal, report, run

EXPORTER = sys.argv[1]
MIB = 1 << 20


def export(folder, image, more="", form="raw", flags="u"):
    path = folder("socket")
    return Exporter(EXPORTER, "-", form, image, flags,
                    f"type=vhost-user-blk,id=e,addr.type=unix,addr.path={path},{more}"), path


def disk(path):
    return "json:" + json.dumps({"driver": "raw", "file": {
        "driver": "virtio-blk-vhost-user", "path": path, "cache": {"direct": True}}})


def has_blkio():
    return "virtio-blk-vhost-user" in run("qemu-img", "--help") and \
        "Unknown driver" not in run("qemu-img", "info", disk("/nowhere"), rc=None)


def libblkio():
    if not has_blkio():
        return "qemu-img has no driver virtio-blk-vhost-user"
    with Folder() as folder:
        image = folder.raw("a", 16 * MIB, 3)
        exporter, path = export(folder, image, "writable=on")
        with exporter:
            for _ in range(2):      # the second time it connects anew
                run("qemu-img", "convert", "-O", "raw", disk(path), folder("c"))
                run("cmp", image, folder("c"))
            run("qemu-io", "-c", "write -P 7 1M 1M", "-c", "read -P 7 1M 1M", "-c", "flush", "-c",
                "write -z -u 4M 4M", "-c", "read -P 0 4M 4M", "-c", "discard 10M 1M", "-c",
                "aio_write -P 1 12M 64k", "-c", "aio_write -P 2 13M 64k", "-c", "aio_flush", "-c",
                "read -P 1 12M 64k", "-c", "read -P 2 13M 64k", disk(path))
            check(os.stat(image).st_blocks * 512 <= 13 * MIB, "no hole")
            equal(exporter.ask("remove e"), "gone")
            check(not os.path.exists(path), "the socket was left behind")


def refused():
    with Folder() as folder:
        image = folder.raw("a", MIB)
        for more, text in (("addr.type=inet,addr.host=localhost,addr.port=1", "Unix socket"),
                           ("num-queues=0,addr.type=unix,addr.path=x", "num-queues"),
                           ("logical-block-size=1000,addr.type=unix,addr.path=x", "logical-block"),
                           ("addr.type=unix", "path")):
            output = run(EXPORTER, "-", "raw", image, "-", f"type=vhost-user-blk,id=e,{more}", rc=1)
            check(text in output, output)


# ---- a driver of our own -------------------------------------------------------------------------

MEMORY = MIB
BASE_GUEST, BASE_USER = 1 << 32, 1 << 40
DESC, AVAIL, USED, TABLE, HEADER, DATA, STATUS = 0, 0x1000, 0x2000, 0x3000, 0x4000, 0x10000, 0x5000


class Driver:
    def __init__(self, path, num=16, features=(1 << 32) | (1 << 30) | (1 << 28) | (1 << 9),
                 sealed=False):
        self.num = num
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(path)
        self.fd = os.memfd_create("memory", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, MEMORY)
        if sealed:
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        self.memory = mmap.mmap(self.fd, MEMORY)
        self.kick, self.call = os.eventfd(0, os.EFD_NONBLOCK), os.eventfd(0, os.EFD_NONBLOCK)
        self.offered = self.ask64(1)
        self.send(2, struct.pack("<Q", features))
        self.protocol = self.ask64(15)
        self.send(16, struct.pack("<Q", self.protocol))
        self.send(3)
        self.index = 0

    def send(self, request, payload=b"", fds=(), flags=1):
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([struct.pack("<III", request, flags, len(payload)) + payload], control)

    def answer(self, request):
        head = b""
        while len(head) < 12:
            more = self.socket.recv(12 - len(head))
            if not more:
                raise EOFError
            head += more
        number, flags, size = struct.unpack("<III", head)
        equal((number, flags), (request, 5))
        return self.socket.recv(size) if size else b""

    def ask(self, request, payload=b"", fds=()):
        self.send(request, payload, fds)
        return self.answer(request)

    def ask64(self, request):
        return struct.unpack("<Q", self.ask(request))[0]

    def acknowledged(self, request, payload=b"", fds=()):
        """Sends a message that wants an answer: 0 is success."""
        self.send(request, payload, fds, flags=9)
        return struct.unpack("<Q", self.answer(request))[0]

    def start(self, offsets=(DESC, USED, AVAIL)):
        table = struct.pack("<IIQQQQ", 1, 0, BASE_GUEST, MEMORY, BASE_USER, 0)
        equal(self.acknowledged(5, table, [self.fd]), 0)
        equal(self.acknowledged(8, struct.pack("<II", 0, self.num)), 0)
        equal(self.acknowledged(10, struct.pack("<II", 0, 0)), 0)
        self.send(9, struct.pack("<IIQQQQ", 0, 0, *(BASE_USER + o for o in offsets), 0))
        self.send(13, struct.pack("<Q", 0), [self.call])
        self.send(12, struct.pack("<Q", 0), [self.kick])
        self.send(18, struct.pack("<II", 0, 1))
        equal(self.ask64(17) >= 1, True)

    def desc(self, number, address, length, flags=0, following=0, table=DESC):
        struct.pack_into("<QIHH", self.memory, table + 16 * number, address, length, flags,
                         following)

    def offer(self, head, count=1):
        for _ in range(count):
            struct.pack_into("<H", self.memory, AVAIL + 4 + 2 * (self.index % self.num), head)
            self.index += 1
        struct.pack_into("<H", self.memory, AVAIL + 2, self.index & 0xffff)
        os.eventfd_write(self.kick, 1)

    def used(self):
        return struct.unpack_from("<H", self.memory, USED + 2)[0]

    def wait(self, wanted=None):
        end = time.monotonic() + 20
        wanted = self.index if wanted is None else wanted
        while self.used() != wanted & 0xffff:
            check(time.monotonic() < end, f"{self.used()} of {wanted} were used")
            select.select([self.call], [], [], 0.05)

    def request(self, kind, sector, size=512, data=DATA, status=STATUS):
        """Header, data, status."""
        struct.pack_into("<IIQ", self.memory, HEADER, kind, 0, sector)
        self.desc(0, BASE_GUEST + HEADER, 16, 1, 1)
        self.desc(1, BASE_GUEST + data, size, 1 | (2 if kind in (0, 8) else 0), 2)
        self.desc(2, BASE_GUEST + status, 1, 2)
        self.memory[status] = 255
        self.offer(0)
        self.wait()
        return self.memory[status]

    def dropped(self):
        self.socket.settimeout(20)
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self):
        self.socket.close()
        self.memory.close()
        for fd in (self.fd, self.kick, self.call):
            os.close(fd)


def own_driver():
    with Folder() as folder:
        image = folder.raw("a", MIB, 8)
        with open(image, "rb") as file:
            content = file.read()
        exporter, path = export(folder, image, "writable=on,num-queues=2")
        with exporter:
            driver = Driver(path)
            check(driver.protocol & 1 << 9, "no configuration space")
            config = driver.ask(24, struct.pack("<III", 0, 60, 0) + bytes(60))[12:]
            equal(struct.unpack_from("<Q", config)[0], MIB // 512)
            equal(driver.ask64(17), 2)
            driver.start()
            equal(driver.request(0, 3), 0)
            equal(driver.memory[DATA:DATA + 512], content[3 * 512:4 * 512])
            driver.memory[DATA:DATA + 512] = b"w" * 512
            equal(driver.request(1, 5), 0)
            equal(driver.request(4, 0, 1), 0)
            with open(image, "rb") as file:
                file.seek(5 * 512)
                equal(file.read(512), b"w" * 512)
            equal(driver.request(8, 0, 20), 0)
            equal(driver.memory[DATA:DATA + 14], b"vhost_user_blk")
            struct.pack_into("<QII", driver.memory, DATA, 8, 8, 1)
            equal(driver.request(13, 0, 16), 0)
            struct.pack_into("<QII", driver.memory, DATA, 8, 8, 0)
            equal(driver.request(11, 0, 16), 0)
            with open(image, "rb") as file:
                file.seek(8 * 512)
                equal(file.read(4096), bytes(4096))
            # an indirect table
            struct.pack_into("<IIQ", driver.memory, HEADER, 0, 0, 3)
            driver.desc(0, BASE_GUEST + HEADER, 16, 1, 1, TABLE)
            driver.desc(1, BASE_GUEST + DATA, 512, 3, 2, TABLE)
            driver.desc(2, BASE_GUEST + STATUS, 1, 2, 0, TABLE)
            driver.desc(4, BASE_GUEST + TABLE, 48, 4)
            driver.offer(4)
            driver.wait()
            equal(driver.memory[DATA:DATA + 512], content[3 * 512:4 * 512])
            # what is wrong in itself
            for kind, sector, size, wanted in ((0, MIB // 512, 512, 1), (0, 1 << 60, 512, 1),
                                               (0, 0, 511, 1), (1, 1 << 63, 512, 1), (99, 0, 1, 2),
                                               (11, 0, 15, 1), (13, 0, 0, 1)):
                equal(driver.request(kind, sector, size), wanted)
            struct.pack_into("<QII", driver.memory, DATA, 0, 0xffffffff, 0)
            equal(driver.request(13, 0, 16), 1)
            struct.pack_into("<QII", driver.memory, DATA, 0, 8, 2)
            equal(driver.request(13, 0, 16), 2)
            count = driver.index
            equal(struct.unpack("<II", driver.ask(11, struct.pack("<II", 0, 0))), (0, count))
            check("in use" in exporter.ask("remove e"), "removed")
            driver.close()
            driver = Driver(path)       # the next one
            driver.start()
            equal(driver.request(0, 3), 0)
            equal(exporter.ask("kill e"), "gone")
            driver.close()
        exporter, path = export(folder, image, "")
        with exporter:
            driver = Driver(path)
            check(driver.offered & 1 << 5, "not read-only")
            driver.start()
            equal(driver.request(1, 5), 1)
            driver.close()


def memory_taken_away():
    """A driver that makes its file shorter is dropped; what else the process serves goes on."""
    with Folder() as folder:
        raw = folder.raw("a", MIB, blank=True)
        with open(raw, "r+b") as file:
            file.write(b"some text" * 4096)
        packed = folder("packed")   # what is read from it is copied by the program, not the kernel
        run("qemu-img", "convert", "-c", "-O", "qcow2", raw, packed)
        with open(raw, "rb") as file:
            content = file.read(512)
        for image, form in ((raw, "raw"), (packed, "qcow2")):
            said = folder(f"said-{form}")
            more = f"type=vhost-user-blk,id=f,addr.type=unix,addr.path={folder('other')}"
            with open(said, "w", encoding="utf-8") as log:
                exporter = Exporter(EXPORTER, "-", form, image, "r",
                                    f"type=vhost-user-blk,id=e,addr.type=unix,"
                                    f"addr.path={folder('socket')},", more, stderr=log)
            with exporter:
                other = Driver(folder("other"), sealed=True)
                other.start()
                times = 0
                for size, kick_first in ((0, False), (DATA, False), (0, True), (DATA, True)) * 3:
                    driver = Driver(folder("socket"))
                    driver.start()
                    equal(driver.request(0, 0), 0)
                    equal(driver.memory[DATA:DATA + 512], content)
                    os.eventfd_read(driver.call)
                    for _ in range(8):      # again, and then the memory goes
                        struct.pack_into("<H", driver.memory, AVAIL + 4 + 2 * (driver.index % 16),
                                         0)
                        driver.index += 1
                    struct.pack_into("<H", driver.memory, AVAIL + 2, driver.index)
                    if kick_first:
                        os.eventfd_write(driver.kick, 1)
                        os.ftruncate(driver.fd, size)
                        os.eventfd_write(driver.kick, 1)
                    else:
                        os.ftruncate(driver.fd, size)
                        os.eventfd_write(driver.kick, 1)
                    # When the requests were quicker nothing was touched that is gone.
                    if not (kick_first or (form == "raw" and size)):
                        check(driver.dropped(), "the driver was not dropped")
                        times += 1
                    driver.close()
                    equal(other.request(0, 0), 0)
                    equal(other.memory[DATA:DATA + 512], content)
                other.close()
                driver = Driver(folder("socket"))
                driver.start()
                equal(driver.request(0, 0), 0)
                driver.close()
            with open(said, encoding="utf-8") as log:
                count = log.read().count("export 'e': its driver has taken away memory")
            check(count >= times, f"said {count} times, {times} were dropped")
        exporter, path = export(folder, raw, flags="n")
        with exporter:
            driver = Driver(path)       # a program that answers no signals
            table = struct.pack("<IIQQQQ", 1, 0, BASE_GUEST, MEMORY, BASE_USER, 0)
            equal(driver.acknowledged(5, table, [driver.fd]), 1)
            driver.close()
            driver = Driver(path, sealed=True)
            driver.start()
            equal(driver.request(0, 0), 0)
            driver.close()


def hostile_rings():
    with Folder() as folder:
        image = folder.raw("a", MIB)
        exporter, path = export(folder, image, "writable=on")

        def loop(driver):
            for i in range(16):
                driver.desc(i, BASE_GUEST + DATA, 16, 1, (i + 1) % 16)
            driver.offer(0)

        def outside(driver):
            driver.desc(0, BASE_GUEST + MEMORY - 8, 16, 0)
            driver.offer(0)

        def wraps(driver):
            driver.desc(0, (1 << 64) - 8, 0xffffffff, 0)
            driver.offer(0)

        def head(driver):
            driver.offer(16)

        def following(driver):
            driver.desc(0, BASE_GUEST + DATA, 16, 1, 999)
            driver.offer(0)

        def nested(driver):
            driver.desc(0, BASE_GUEST + TABLE, 16, 4, 0, TABLE)
            driver.desc(0, BASE_GUEST + TABLE, 16, 4)
            driver.offer(0)

        def ragged(driver):
            driver.desc(0, BASE_GUEST + TABLE, 17, 4)
            driver.offer(0)

        def long_table(driver):
            driver.desc(0, BASE_GUEST + TABLE, 0xfffffff0, 4)
            driver.offer(0)

        def endless_table(driver):
            for i in range(64):
                driver.desc(i, BASE_GUEST + DATA, 1, 1, (i + 1) % 64, TABLE)
            driver.desc(0, BASE_GUEST + TABLE, 64 * 16, 4)
            driver.offer(0)

        def backwards(driver):
            driver.desc(0, BASE_GUEST + DATA, 16, 3, 1)
            driver.desc(1, BASE_GUEST + DATA, 16, 0)
            driver.offer(0)

        def too_many(driver):
            driver.index = 40000
            driver.offer(0)

        with exporter:
            for evil in (loop, outside, wraps, head, following, nested, ragged, long_table,
                         endless_table, backwards, too_many):
                driver = Driver(path)
                driver.start()
                evil(driver)
                time.sleep(0.05)
                equal((evil.__name__, driver.used()), (evil.__name__, 0))
                equal(driver.ask64(17), 1)      # the rest still answers
                driver.close()
            driver = Driver(path)               # nothing to write a status to
            driver.start()
            driver.desc(0, BASE_GUEST + HEADER, 16, 0)
            driver.offer(0)
            driver.wait()
            driver.desc(0, BASE_GUEST + HEADER, 0, 2)
            driver.offer(0)
            driver.wait()
            equal(driver.request(0, 0), 0)
            driver.close()
            driver = Driver(path)
            driver.start()
            equal(driver.request(0, 0), 0)
            driver.close()


def hostile_messages():
    with Folder() as folder:
        image = folder.raw("a", MIB)
        exporter, path = export(folder, image, "writable=on")
        messages = [(8, struct.pack("<II", 0, 3)), (8, struct.pack("<II", 0, 65536)),
                    (8, struct.pack("<II", 0, 0)), (8, struct.pack("<II", 7, 16)),
                    (10, struct.pack("<II", 0, 1 << 20)), (9, b""), (9, bytes(40)[:-1]),
                    (5, struct.pack("<II", 9, 0)), (5, struct.pack("<II", 1, 0)), (5, b""),
                    (37, bytes(40)), (38, bytes(40)), (2, struct.pack("<Q", (1 << 64) - 1)),
                    (25, struct.pack("<III", 0xffffffff, 0xffffffff, 0)),
                    (12, struct.pack("<Q", 9)),
                    (99, b""), (6, bytes(16)), (22, bytes(64))]
        with exporter:
            for request, payload in messages:
                driver = Driver(path)
                equal((request, payload, driver.acknowledged(request, payload)),
                      (request, payload, 1))
                driver.close()
            for region in (struct.pack("<QQQQ", 0, 2 * MEMORY, 0, 0),
                           struct.pack("<QQQQ", (1 << 64) - 4096, 8192, 0, 0),
                           struct.pack("<QQQQ", 0, 4096, 0, (1 << 64) - 4096),
                           struct.pack("<QQQQ", 0, 0, 0, 0)):
                driver = Driver(path)
                equal(driver.acknowledged(5, struct.pack("<II", 1, 0) + region, [driver.fd]), 1)
                driver.close()
            for raw in (struct.pack("<III", 1, 1, 0xffffffff), struct.pack("<III", 1, 2, 0),
                        b"x" * 5000):
                driver = Driver(path)
                driver.socket.sendall(raw)
                try:
                    while driver.socket.recv(4096):
                        pass
                except ConnectionError:
                    pass
                driver.close()
            driver = Driver(path)               # rings outside of memory do not start
            driver.start((DESC, MEMORY - 16, AVAIL))
            driver.desc(0, BASE_GUEST + HEADER, 16, 0)
            driver.offer(0)
            time.sleep(0.05)
            equal(driver.ask64(17), 1)
            driver.close()
            driver = Driver(path)               # memory taken away under a running ring
            driver.start()
            equal(driver.request(0, 0), 0)
            equal(driver.acknowledged(5, struct.pack("<II", 0, 0)), 0)
            driver.offer(0)
            time.sleep(0.05)
            equal(driver.ask64(17), 1)
            driver.close()
            check(len(os.listdir(f"/proc/{exporter.process.pid}/fd")) < 40, "descriptors leak")


def machine():
    """A machine of QEMU's boots from it: its boot sector writes to a port that ends it."""
    with Folder() as folder:
        image = folder("boot")
        code = bytes.fromhex("b042 e6f4 f4")    # mov al, 42h; out f4h, al; hlt
        with open(image, "wb") as file:
            file.write(code + bytes(510 - len(code)) + b"\x55\xaa")
            file.truncate(MIB)
        exporter, path = export(folder, image, "writable=on")
        with exporter:
            done = subprocess.run(
                ["qemu-system-x86_64", "-accel", "tcg", "-display", "none", "-nodefaults", "-m",
                 "64", "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-object",
                 "memory-backend-memfd,id=m,size=64M",
                 "-machine", "q35,memory-backend=m", "-chardev", f"socket,id=c,path={path}",
                 "-device", "vhost-user-blk-pci,chardev=c,bootindex=0"],
                timeout=60, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, check=False)
            equal((done.returncode, done.stdout), (0x42 * 2 + 1, b""))


report([libblkio, refused, own_driver, memory_taken_away, hostile_rings, hostile_messages, machine])
