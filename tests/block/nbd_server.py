# tests/block/nbd_server.py VITRINE-NBD - the NBD server with clients of the distribution, and
# with such as mean harm
# SPDX-License-Identifier: GPL-3.0-or-later
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time

import nbd
from nbd_common import Folder, Server, check, equal, report, run

NBD = sys.argv[1]
MIB = 1 << 20


def serve(folder, image, *options, form="raw"):
    path = folder("socket")
    return Server(path, NBD, "-t", "-k", path, "-f", form, "-e", "0", *options, image)


def facts():
    with Folder() as folder:
        image = folder.raw("a", 8 * MIB)
        with serve(folder, image, "-x", "name", "-D", "a disk") as server:
            info = json.loads(run("nbdinfo", "--json", server.uri("name")))
            check(info["structured"] and info["extended"], info)
            export = info["exports"][0]
            equal(export["export-size"], 8 * MIB)
            equal(export["description"], "a disk")
            equal(export["contexts"], ["base:allocation"])
            for flag in ("can_flush", "can_fua", "can_trim", "can_zero", "can_fast_zero", "can_df",
                         "can_cache", "can_multi_conn"):
                check(export[flag], flag)
            check(not export["is_read_only"], "read-only")
            listed = run("qemu-nbd", "-L", "-k", server.socket)
            check("export: 'name'" in listed and "description: a disk" in listed, listed)
            check("name" not in run("nbdinfo", "--size", server.uri("other"), rc=1), "found")
        with serve(folder, image, "-r") as server:
            export = json.loads(run("nbdinfo", "--json", server.uri()))["exports"][0]
            check(export["is_read_only"] and not export["can_zero"], "writable")
            handle = nbd.NBD()
            handle.set_strict_mode(0)
            handle.connect_uri(server.uri())
            for act in (lambda: handle.pwrite(b"x" * 512, 0), lambda: handle.trim(512, 0),
                        lambda: handle.zero(512, 0)):
                try:
                    act()
                    raise AssertionError("a write to a read-only export succeeded")
                except nbd.Error as error:
                    equal(error.errno, "EPERM")
            handle.shutdown()
        with serve(folder, image, "-o", "4096") as server:
            equal(run("nbdinfo", "--size", server.uri()).strip(), str(8 * MIB - 4096))
            handle = nbd.NBD()
            handle.connect_uri(server.uri())
            with open(image, "rb") as file:
                file.seek(4096)
                equal(bytes(handle.pread(512, 0)), file.read(512))


def copies():
    with Folder() as folder:
        image, other = folder.raw("a", 64 * MIB, blank=True), folder.raw("b", 64 * MIB, 7)
        with serve(folder, image, "--discard=unmap") as server:
            run("nbdcopy", other, server.uri())
            run("cmp", image, other)
            run("nbdcopy", "--requests=16", "--connections=3", server.uri(), folder("c"))
            run("cmp", folder("c"), other)
            run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", other, server.uri())
            equal(run("qemu-img", "compare", "-f", "raw", "-F", "raw", other, server.uri()).strip(),
                  "Images are identical.")
            run("qemu-io", "-f", "raw", "-c", "write -z -u 1M 8M", "-c", "discard 32M 8M", "-c",
                "flush", "-c", "read -P 0 1M 8M", server.uri())
            check(os.stat(image).st_blocks * 512 <= 56 * MIB, "no hole was punched")
            run("qemu-io", "-f", "raw", "-c", "write -f -P 9 3 70001", "-c", "read -P 9 3 70001",
                server.uri())


def modes():
    """Every form of replies, and what only libnbd asks for."""
    with Folder() as folder:
        image = folder.raw("a", 4 * MIB, 3)
        with open(image, "rb") as file:
            content = file.read()
        with serve(folder, image) as server:
            for structured, extended in ((False, False), (True, False), (True, True)):
                handle = nbd.NBD()
                handle.set_request_structured_replies(structured)
                handle.set_request_extended_headers(extended)
                handle.connect_uri(server.uri())
                equal(handle.get_structured_replies_negotiated(), structured)
                equal(handle.get_extended_headers_negotiated(), extended)
                equal(bytes(handle.pread(MIB + 1, 12345)), content[12345:12345 + MIB + 1])
                handle.zero(MIB, 2 * MIB, nbd.CMD_FLAG_NO_HOLE)
                equal(bytes(handle.pread(MIB, 2 * MIB)), bytes(MIB))
                handle.pwrite(content[2 * MIB:3 * MIB], 2 * MIB, nbd.CMD_FLAG_FUA)
                handle.cache(MIB, 0)
                handle.trim(4096, 0, nbd.CMD_FLAG_FUA)
                handle.pwrite(content[:4096], 0)
                handle.flush()
                handle.shutdown()
            handle = nbd.NBD()
            handle.set_strict_mode(0)
            handle.connect_uri(server.uri())
            wrong = ((lambda: handle.pread(512, 4 * MIB), "EINVAL"),
                     (lambda: handle.pwrite(b"x" * 512, 4 * MIB - 256), "ENOSPC"),
                     (lambda: handle.zero(512, 1 << 62), "ENOSPC"),
                     (lambda: handle.trim(8 * MIB, 0), "EINVAL"),
                     (lambda: handle.pread(512, 0, 1 << 3), "EINVAL"),
                     (lambda: handle.flush(1 << 4), "EINVAL"))
            for act, name in wrong:
                try:
                    act()
                    raise AssertionError(f"no {name}")
                except nbd.Error as error:
                    equal(error.errno, name)
            equal(bytes(handle.pread(512, 0)), content[:512])
        with open(image, "rb") as file:
            check(file.read() == content, "the image has other bytes now")


def block_sizes():
    """A disk that was taken for raw unasked has blocks of 512 bytes for those who ask; the answer
    comes unasked."""
    with Folder() as folder:
        image = folder.raw("a", MIB, blank=True)
        run("qemu-img", "create", "-q", "-f", "qcow2", folder("q"), "1M")
        for options, size in ((["-f", "raw", image], 1), ([image], 512), ([folder("q")], 1),
                              (["--image-opts", f"file.filename={image}"], 512)):
            for asked in (True, False):
                handle = nbd.NBD()
                handle.set_request_block_size(asked)
                handle.connect_systemd_socket_activation([NBD, *options])
                equal([handle.get_block_size(kind) for kind in range(3)],
                      [size if asked else 1, 4096, 32 * MIB])
                handle.shutdown()
            handle = nbd.NBD()
            handle.set_request_block_size(False)
            handle.set_opt_mode(True)
            handle.connect_systemd_socket_activation([NBD, *options])
            try:
                handle.opt_info()
                equal(size, 1)
            except nbd.Error:
                equal(size, 512)
            handle.opt_abort()


def bitmaps():
    """Each -B is a context of its own."""
    with Folder() as folder:
        image = folder("q")
        run("qemu-img", "create", "-q", "-f", "qcow2", image, "1M")
        for name in ("one", "two"):
            run("qemu-img", "bitmap", "--add", image, name)
        run("qemu-io", "-f", "qcow2", "-c", "write -q 0 64k", image)
        run("qemu-img", "bitmap", "--clear", image, "one")
        server = ["[", NBD, "-f", "qcow2", "-B", "one", "-B", "two", image, "]"]
        for name, first in (("one", "1048576"), ("two", "65536")):
            rows = run("nbdinfo", f"--map=qemu:dirty-bitmap:{name}", "--", *server)
            equal(rows.split()[1], first)


def holes():
    """Zeroes at the ends of what is read travel as holes, unless the client wants it in one."""
    with Folder() as folder:
        image = folder.raw("a", MIB, blank=True)
        with open(image, "r+b") as file:
            file.seek(2560)
            file.write(b"x" * 1000)
        cases = {(0, 2560): [(0, 2560, nbd.READ_HOLE)],
                 (2048, 1024): [(2048, 512, nbd.READ_HOLE), (2560, 512, nbd.READ_DATA)],
                 (2561, 4096): [(2561, 1024, nbd.READ_DATA), (3585, 3072, nbd.READ_HOLE)],
                 (100, 9000): [(100, 2048, nbd.READ_HOLE), (2148, 1536, nbd.READ_DATA),
                               (3684, 5416, nbd.READ_HOLE)],
                 (3000, 512): [(3000, 512, nbd.READ_DATA)], (2400, 300): [(2400, 300, 1)]}
        with serve(folder, image) as server, open(image, "rb") as file:
            whole = file.read()
            for extended in (False, True):
                handle = nbd.NBD()
                handle.set_request_extended_headers(extended)
                handle.connect_uri(server.uri())
                for (offset, size), wanted in cases.items():
                    got = []
                    note = lambda buf, at, kind, _, got=got: got.append((at, len(buf), kind))
                    data = handle.pread_structured(size, offset, note)
                    equal(got, wanted)
                    check(data == whole[offset:offset + size], "the bytes")
                    got.clear()
                    handle.pread_structured(size, offset, note, nbd.CMD_FLAG_DF)
                    equal(len(got), 1)
                handle.shutdown()


def export_name():
    """The old way in: NBD_OPT_EXPORT_NAME, with and without its padding."""
    with Folder() as folder:
        image = folder.raw("a", MIB)
        with serve(folder, image) as server:
            for flags, padding in ((1, 124), (3, 0), (0, 124)):
                client = connect(server, flags)
                client.sendall(b"IHAVEOPT" + struct.pack(">II", 1, 0))
                size, flag = struct.unpack(">QH", take(client, 10))
                equal(size, MIB)
                check(flag & 1, "no flags")
                equal(take(client, padding), bytes(padding))
                client.sendall(request(0, 512, 77))
                equal(take(client, 16), struct.pack(">IIQ", 0x67446698, 0, 77))
                with open(image, "rb") as file:
                    equal(take(client, 512), file.read(512))
                client.close()


def contexts():
    with Folder() as folder:
        image = folder.raw("sparse", 4 * MIB, blank=True)
        run("qemu-io", "-f", "raw", "-c", "write 1M 1M", image)
        with serve(folder, image, "-A") as server:
            rows = run("nbdinfo", "--map", server.uri()).split("\n")
            equal([row.split() for row in rows if row],
                  [["0", "1048576", "3", "hole,zero"], ["1048576", "1048576", "0", "data"],
                   ["2097152", "2097152", "3", "hole,zero"]])
            rows = run("nbdinfo", "--map=qemu:allocation-depth", server.uri()).split("\n")
            equal([row.split() for row in rows if row], [["0", "4194304", "1", "local"]])
            equal(json.loads(run("qemu-img", "map", "--output=json", "-f", "raw", server.uri()))[1]
                  ["data"], True)
            handle = nbd.NBD()
            handle.add_meta_context("base:allocation")
            handle.connect_uri(server.uri())
            got = []
            handle.block_status(2 * MIB, 512 * 1024, lambda *args: got.append(args[2]),
                                nbd.CMD_FLAG_REQ_ONE)
            equal(got, [[512 * 1024, 3]])


def images():
    """What a qcow2 image has more than a raw one: bitmaps, snapshots, images below it."""
    with Folder() as folder:
        base, top = folder("base"), folder("top")
        run("qemu-img", "create", "-q", "-f", "qcow2", base, "4M")
        run("qemu-io", "-c", "write -P 1 0 1M", base)
        run("qemu-img", "snapshot", "-c", "first", base)
        run("qemu-io", "-c", "write -P 2 0 1M", base)
        run("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", top)
        run("qemu-img", "bitmap", "--add", top, "changes")
        run("qemu-io", "-c", "write -P 3 2M 64k", top)

        def rows(server, context):
            text = run("nbdinfo", f"--map={context}", server.uri())
            return [tuple(row.split()[:3]) for row in text.split("\n") if row]

        with serve(folder, top, "-A", "-B", "changes", form="qcow2") as server:
            equal(rows(server, "qemu:dirty-bitmap:changes"),
                  [("0", "2097152", "0"), ("2097152", "65536", "1"), ("2162688", "2031616", "0")])
            equal(rows(server, "qemu:allocation-depth"),
                  [("0", "1048576", "2"), ("1048576", "1048576", "0"), ("2097152", "65536", "1"),
                   ("2162688", "2031616", "0")])
            equal(rows(server, "base:allocation"),
                  [("0", "1048576", "0"), ("1048576", "1048576", "3"), ("2097152", "65536", "0"),
                   ("2162688", "2031616", "3")])
            handle = nbd.NBD()
            for context in ("base:allocation", "qemu:allocation-depth",
                            "qemu:dirty-bitmap:changes"):
                handle.add_meta_context(context)
            handle.connect_uri(server.uri())
            got = {}
            handle.block_status_64(4 * MIB, 0, lambda *a: got.__setitem__(a[0], a[2]))
            equal(sorted(got), ["base:allocation", "qemu:allocation-depth",
                                "qemu:dirty-bitmap:changes"])
            only = {}
            handle.block_status_filter(4 * MIB, 0, ["qemu:allocation-depth"],
                                       lambda *a: only.__setitem__(a[0], a[2]))
            equal(only, {"qemu:allocation-depth": got["qemu:allocation-depth"]})
            handle.shutdown()
        text = run(NBD, "-f", "qcow2", "-k", folder("socket"), "-B", "none", top, rc=1)
        equal(text, "vitrine-nbd: Bitmap 'none' is not found\n")
        with serve(folder, base, "-l", "first", form="qcow2") as server:
            run("qemu-io", "-r", "-f", "raw", "-c", "read -P 1 0 1M", server.uri())
        with serve(folder, base, "-l", "snapshot.name=first", form="qcow2") as server:
            run("qemu-io", "-r", "-f", "raw", "-c", "read -P 1 0 1M", server.uri())
        for name, words in (("none", "Can't find snapshot"),
                            ("snapshot.id=9", "Can't find snapshot"),
                            ("snapshot.id=1,snapshot.name=none", "Can't find snapshot"),
                            ("snapshot.none=1", "Failed in parsing snapshot param")):
            text = run(NBD, "-f", "qcow2", "-k", folder("socket"), "-l", name, base, rc=1)
            check(words in text, text)
        with open(base, "rb") as file:
            before = file.read()
        with serve(folder, base, "-s", form="qcow2") as server:
            run("qemu-io", "-f", "raw", "-c", "write -P 9 512k 1M", "-c", "read -P 9 512k 1M", "-c",
                "read -P 2 0 512k", server.uri())
        with open(base, "rb") as file:
            check(file.read() == before, "a temporary write reached the image")
        with Server(folder("socket"), NBD, "-t", "-k", folder("socket"), "--image-opts",
                    f"driver=qcow2,file.driver=file,file.filename={base}") as server:
            run("qemu-io", "-f", "raw", "-c", "read -P 2 0 1M", server.uri())


# ---- bytes that no good client sends -------------------------------------------------------------


def take(client, size):
    data = b""
    while len(data) < size:
        more = client.recv(size - len(data))
        if not more:
            raise EOFError(f"{len(data)} of {size} bytes")
        data += more
    return data


def connect(server, flags=3):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(20)
    client.connect(server.socket)
    equal(take(client, 18), b"NBDMAGICIHAVEOPT" + struct.pack(">H", 3))
    client.sendall(struct.pack(">I", flags))
    return client


def option(client, number, data=b"", size=None):
    client.sendall(b"IHAVEOPT" + struct.pack(">II", number, len(data) if size is None else size)
                   + data)


def answer(client):
    magic, number, kind, size = struct.unpack(">QIII", take(client, 20))
    equal(magic, 0x3e889045565a9)
    return number, kind, take(client, size)


def go(client, name=b""):
    option(client, 7, struct.pack(">I", len(name)) + name + struct.pack(">H", 0))
    kind = 3
    while kind == 3:
        _, kind, _ = answer(client)
    equal(kind, 1)


def request(kind, size, cookie=1, offset=0, flags=0, magic=0x25609513):
    return struct.pack(">IHHQQI", magic, flags, kind, cookie, offset, size)


def gone(client):
    try:
        while client.recv(65536):
            pass
    except ConnectionError:
        pass
    client.close()


def hostile():
    with Folder() as folder:
        image = folder.raw("a", MIB)
        with serve(folder, image, "--handshake-limit=1") as server:
            for start in (b"\0\0\0\x07", b"GET / HTTP/1.0\r\n\r\n", b"\xff" * 64):
                client = socket.socket(socket.AF_UNIX)
                client.settimeout(20)
                client.connect(server.socket)
                client.sendall(start)
                gone(client)
            client = connect(server)            # a wrong magic number
            client.sendall(b"IHAVEOPX" + bytes(8))
            gone(client)
            client = connect(server)            # 4 GiB of option
            option(client, 99, size=0xffffffff)
            gone(client)
            for number, data in ((3, b"x"), (8, b"x"), (7, b""), (7, b"\0\0\0\xff\0\0"),
                                 (6, struct.pack(">IH", 0, 9)), (9, bytes(8)), (10, bytes(8)),
                                 (5, b""), (7, struct.pack(">I", 4) + b"none\0\0"), (4, b"abc"),
                                 (200, bytes(3000)), (6, bytes(100000))):
                client = connect(server)
                option(client, number, data)
                number_back, kind, _ = answer(client)
                equal(number_back, number)
                check(kind & 0x80000000, f"option {number} with {data[:9]!r} was accepted")
                option(client, 2)
                equal(answer(client)[1], 1)
                gone(client)
            client = connect(server)            # a query that is longer than the option
            option(client, 8)
            answer(client)
            option(client, 10, struct.pack(">III", 0, 0xffffffff, 0xfffffff0))
            check(answer(client)[1] & 0x80000000, "accepted")
            gone(client)
            client = connect(server)            # silence
            began = time.monotonic()
            gone(client)
            check(0.5 < time.monotonic() - began < 10, "the handshake's limit")
            client = connect(server)            # a wrong magic number of a request
            go(client)
            client.sendall(request(0, 512, magic=0x12345678))
            gone(client)
            client = connect(server)            # a write of 4 GiB
            go(client)
            client.sendall(request(1, 0xffffffff))
            gone(client)
            client = connect(server)            # leaves in the middle of a write
            go(client)
            client.sendall(request(1, 65536) + b"x" * 100)
            client.close()
            client = connect(server)            # unknown commands are only refused
            go(client)
            for kind in (5, 7, 8, 100, 65535):
                client.sendall(request(kind, 512, cookie=kind, flags=0x8000))
                equal(struct.unpack(">IIQ", take(client, 16)), (0x67446698, 22, kind))
            client.sendall(request(2, 0))
            gone(client)
            equal(run("nbdinfo", "--size", server.uri()).strip(), str(MIB))
        with open(image, "rb") as file:
            equal(file.read()[:100] == b"x" * 100, False)


def greedy():
    """A client that asks and does not read costs bounded memory, and others nothing."""
    with Folder() as folder:
        image = folder.raw("a", 32 * MIB)
        with serve(folder, image) as server:
            client = connect(server)
            go(client)

            def ask():
                try:
                    for number in range(4000):
                        client.sendall(request(0, 32 * MIB, number))
                except OSError:
                    pass

            thread = threading.Thread(target=ask, daemon=True)
            thread.start()
            time.sleep(1)
            with open(f"/proc/{server.process.pid}/status", encoding="ascii") as file:
                lines = dict(line.split(":", 1) for line in file)
            check(int(lines["VmHWM"].split()[0]) < 160 << 10, lines["VmHWM"])
            equal(run("nbdinfo", "--size", server.uri()).strip(), str(32 * MIB))
            client.shutdown(socket.SHUT_RDWR)
            client.close()
            thread.join(20)


def crowd():
    """More clients than the server has descriptors for: they wait, and it does not spin."""
    with Folder() as folder:
        image = folder.raw("a", MIB)
        path = folder("socket")
        with Server(path, "prlimit", "--nofile=24:24", NBD, "-t", "-e", "0", "-k", path, "-f",
                    "raw",
                    "--handshake-limit=0", image) as server:
            clients = []
            for _ in range(40):
                client = socket.socket(socket.AF_UNIX)
                client.connect(path)
                clients.append(client)

            def used():
                with open(f"/proc/{server.process.pid}/stat", encoding="ascii") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
                return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

            time.sleep(0.2)
            before = used()
            time.sleep(1)
            check(used() - before < 0.5, f"{used() - before} s of processor in a second")
            for client in clients:
                client.close()
            equal(run("nbdinfo", "--size", server.uri()).strip(), str(MIB))
        with Server(path, NBD, "-t", "-e", "2", "-k", path, "-f", "raw", image) as server:
            first, second = connect(server), connect(server)
            third = socket.socket(socket.AF_UNIX)
            third.connect(path)
            third.settimeout(0.3)
            try:
                third.recv(1)
                raise AssertionError("a third client was served")
            except TimeoutError:
                pass
            first.close()
            third.settimeout(20)
            equal(third.recv(8), b"NBDMAGIC")
            for client in (second, third):
                client.close()


def lifetime():
    with Folder() as folder:
        image = folder.raw("a", MIB)
        path = folder("socket")
        with Server(path, NBD, "-k", path, "-f", "raw", image) as server:
            run("nbdinfo", "--map", server.uri())
            equal(server.process.wait(20), 0)
        check(not os.path.exists(path), "the socket was left behind")
        with serve(folder, image) as server:
            text = run(NBD, "-f", "raw", "-k", folder("other"), image, rc=1)
            check("Is another process using the image" in text, text)
        equal(run("nbdinfo", "--size", "--", "[", NBD, "-f", "raw", image, "]").strip(), str(MIB))
        pid = folder("pid")
        run(NBD, "--fork", "--pid-file", pid, "-t", "-k", path, "-f", "raw", image)
        with open(pid, encoding="ascii") as file:
            number = int(file.read())
        equal(run("nbdinfo", "--size", f"nbd+unix:///?socket={path}").strip(), str(MIB))
        os.kill(number, 15)
        end = time.monotonic() + 20
        while os.path.exists(path) and time.monotonic() < end:
            time.sleep(0.01)
        check(not os.path.exists(path), "it did not end")
        check(os.path.exists(pid), "it took its PID file away")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            number = probe.getsockname()[1]
        process = subprocess.Popen([NBD, "-b", "127.0.0.1", "-p", str(number), "-f", "raw", image])
        try:
            for _ in range(200):
                text = run("nbdinfo", "--map", f"nbd://127.0.0.1:{number}", rc=None)
                if "data" in text:
                    break
                time.sleep(0.02)
            check("data" in text, text)
            equal(process.wait(20), 0)
        finally:
            process.kill()


def killed_after_the_last_client():
    """What was written stays when the server is told to end while it closes the image."""
    with Folder() as folder:
        content = folder.raw("a", 16 * MIB)
        for _ in range(5):
            image = folder("q")
            run("qemu-img", "create", "-q", "-f", "qcow2", image, "16M")
            run("qemu-img", "bitmap", "--add", image, "b")
            run("nbdcopy", "--", content, "[", NBD, "-f", "qcow2", "-B", "b", image, "]")
            run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", content, image)
            check("in-use" not in run("qemu-img", "info", image), "the bitmap was not stored")


def wording():
    """Messages and exit codes are those of qemu-nbd, but for the name of the program."""
    with Folder() as folder:
        image = folder.raw("a", MIB)
        for args in ([], ["a", "b"], ["--bogus"], ["-k", "rel", image], ["-e", "x", image],
                     ["-o", "x", image], ["--cache=foo", image], ["--aio=foo", image],
                     ["--discard=foo", image], ["--detect-zeroes=foo", image],
                     ["--detect-zeroes=unmap", image], ["-n", "-n", image],
                     ["-c", "/dev/none", "-f", "raw", image], ["-d", "/dev/none"], ["-L", image],
                     ["-L", "-f", "raw"], ["--handshake-limit=x", image],
                     ["--image-opts", "-f", "raw", image],
                     ["-f", "raw", "-k", "/none/x", image],
                     ["-e 2", "-o", "0x200", "-f", "raw", "-k", "/none/x", image],
                     ["-e 2x", image], ["-e-1", image], ["-e99999999999", image]):
            theirs = run("qemu-nbd", *args, rc=1)
            equal(run(NBD, *args, rc=1).replace("vitrine-nbd", "qemu-nbd"), theirs)


report([facts, copies, modes, block_sizes, bitmaps, holes, export_name, contexts, images, hostile,
        greedy, crowd, lifetime, killed_after_the_last_client, wording])
