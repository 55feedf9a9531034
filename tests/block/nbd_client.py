# tests/block/nbd_client.py VITRINE-IMG VITRINE-IO VITRINE-NBD - the NBD driver with servers of the
# distribution, and with one that lies
# SPDX-License-Identifier: GPL-3.0-or-later
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

from nbd_common import Folder, Server, certificates, check, equal, report, run

IMG, IO, NBD = sys.argv[1:]
MIB = 1 << 20


def kit(folder, *args, name="kit"):
    path = folder(name)
    return Server(path, "nbdkit", "-f", "-U", path, *args)


def qemu(folder, *args, name="qemu"):
    path = folder(name)
    return Server(path, "qemu-nbd", "-t", "-e", "0", "-k", path, *args)


def convert():
    """Every kind of reply, both directions."""
    with Folder() as folder:
        source = folder.raw("a", 40 * MIB, 5)
        with open(source, "r+b") as file:
            file.seek(8 * MIB)
            file.write(bytes(8 * MIB))
        target = folder.raw("b", 40 * MIB, blank=True)
        servers = (lambda: qemu(folder, "-f", "raw", target),
                   lambda: kit(folder, "file", target),
                   lambda: kit(folder, "--no-sr", "file", target),
                   lambda: kit(folder, "--mask-handshake=0", "--no-sr", "file", target),
                   lambda: kit(folder, "--filter=nozero", "file", target,
                               "zeromode=none"),
                   lambda: kit(folder, "--filter=blocksize-policy", "file", target,
                               "blocksize-minimum=4096", "blocksize-preferred=64K",
                               "blocksize-maximum=1M", "blocksize-error-policy=error"))
        for start in servers:
            with open(target, "r+b") as file:
                file.truncate(0)
                file.truncate(40 * MIB)
            with start() as server:
                run(IMG, "convert", "-n", "-f", "raw", "-O", "raw", source, server.uri())
                run("cmp", source, target)
                run(IMG, "convert", "-f", "raw", "-O", "raw", server.uri(), folder("c"))
                run("cmp", source, folder("c"))
                run(IO, "-f", "raw", "-c", "write -P 7 12345 70001", "-c", "flush", "-c",
                    "read -P 7 12345 70001", "-c", "write -z 20M 8M", "-c", "read -P 0 20M 8M",
                    server.uri())
                with open(target, "rb") as file:
                    file.seek(12345)
                    equal(file.read(70001), b"\7" * 70001)
            if server.socket.endswith("kit") and os.path.exists(server.socket):
                os.unlink(server.socket)


def sparse():
    with Folder() as folder:
        image = folder.raw("a", 16 * MIB, blank=True)
        run("qemu-io", "-f", "raw", "-c", "write 4M 1M", image)
        wanted = run("qemu-img", "map", "--output=json", "-f", "raw", image)
        with qemu(folder, "-f", "raw", image) as server:
            equal(run(IMG, "map", "--output=json", "-f", "raw", server.uri()), wanted)
            run(IO, "-f", "raw", "-d", "unmap", "-c", "discard 4M 1M", server.uri())
        with qemu(folder, "-f", "raw", "--discard=unmap", image, name="q2") as server:
            run(IO, "-f", "raw", "-d", "unmap", "-c", "discard 4M 1M", server.uri())
        equal(os.stat(image).st_blocks, 0)


def names():
    with Folder() as folder:
        image = folder.raw("a", MIB)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with qemu(folder, "-f", "raw", "-x", "a b/c", image) as server:
            for name in (server.uri("a%20b/c"), f"nbd:unix:{server.socket}:exportname=a b/c",
                         'json:{"driver":"raw","file":{"driver":"nbd","export":"a b/c","server"'
                         f':{{"type":"unix","path":"{server.socket}"}}}}}}'):
                equal(run(IO, "-r", "-c", "length", name).strip(), "1 MiB")
            text = run(IO, "-f", "raw", "-c", "length", server.uri("other"), rc=1)
            check("other" in text and "Requested export not available" in text, text)
        process = subprocess.Popen(["qemu-nbd", "-t", "-b", "127.0.0.1", "-p", str(port), "-f",
                                    "raw", image])
        try:
            name = f"nbd://127.0.0.1:{port}/"
            for _ in range(100):
                text = run(IO, "-f", "raw", "-c", "length", name, rc=None)
                if "MiB" in text:
                    break
                time.sleep(0.02)
            equal(text.strip(), "1 MiB")
            equal(run(IO, "-f", "raw", "-c", "length", f"nbd:127.0.0.1:{port}").strip(), "1 MiB")
        finally:
            process.terminate()
            process.wait(20)
        text = run(IO, "-f", "raw", "-c", "length", name, rc=1)
        check("refused" in text, text)


def read_only():
    with Folder() as folder:
        image = folder.raw("a", MIB)
        with qemu(folder, "-r", "-f", "raw", image) as server:
            equal(run(IO, "-r", "-f", "raw", "-c", "length", server.uri()).strip(), "1 MiB")
            text = run(IO, "-f", "raw", "-c", "write 0 512", server.uri(), rc=1)
            check("read-only" in text, text)


def tls():
    with Folder() as folder:
        pki = certificates(folder)
        image = folder.raw("a", 3 * MIB, 9)
        creds = f"tls-creds-x509,id=t,dir={pki},endpoint="
        with qemu(folder, "--object", creds + "server,verify-peer=on", "--tls-creds", "t", "-f",
                  "raw", image) as server:
            options = f"driver=raw,file.driver=nbd,file.server.type=unix,file.server.path=" \
                      f"{server.socket},file.tls-creds=t,file.tls-hostname=localhost"
            run(IO, "--object", creds + "client", "--image-opts", "-c", "read 0 3M", "-c",
                "write -P 3 1M 1M", "-c", "read -P 3 1M 1M", options)
            text = run(IO, "--object", creds + "client", "--image-opts", "-c", "read 0 3M",
                       options.replace("localhost", "elsewhere"), rc=1)
            check("ertificate" in text, text)
            text = run(IO, "-f", "raw", "-c", "length", server.uri(), rc=1)
            check("TLS" in text, text)
            text = run(NBD, "-L", "-k", server.socket, "--object", creds + "client", "--tls-creds",
                       "t", "--tls-hostname", "localhost")
            check("exports available: 1" in text, text)
        with Server(folder("own"), NBD, "-t", "-e", "0", "-k", folder("own"), "--object",
                    creds + "server,verify-peer=on", "--tls-creds", "t", "-f", "raw",
                    image) as server:
            uri = server.uri(scheme="nbds+unix", more=f"&tls-certificates={pki}"
                             "&tls-hostname=localhost")
            run("nbdcopy", uri, folder("c"))
            run("cmp", image, folder("c"))
            run("nbdcopy", folder("c"), uri)
            options = options.replace(folder("qemu"), server.socket)
            run("qemu-io", "--object", creds + "client", "--image-opts", "-c", "read -P 3 1M 1M",
                "-c", "write -P 4 1M 1M", "-c", "read -P 4 1M 1M", options)
            check("TLS" in run("qemu-nbd", "-L", "-k", server.socket, rc=1), "in the clear")
            run("nbdinfo", server.uri(), rc=1)
            stranger = certificates(folder, "other")
            run("nbdinfo", uri.replace(pki, stranger), rc=1)
            client = socket.socket(socket.AF_UNIX)      # speaks before the handshake
            client.connect(server.socket)
            client.sendall(struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", 5, 0)
                           + b"x" * 99)
            client.settimeout(20)
            while client.recv(4096):
                pass
            client.close()
            run("nbdinfo", uri)
        keys = folder("psk")
        run("psktool", "-u", "me", "-p", os.path.join(folder.path, "keys.psk"))
        os.mkdir(keys)
        shutil.move(folder("keys.psk"), os.path.join(keys, "keys.psk"))
        with Server(folder("psk-socket"), NBD, "-t", "-k", folder("psk-socket"), "--object",
                    f"tls-creds-psk,id=t,dir={keys},endpoint=server", "--tls-creds", "t", "-f",
                    "raw", image) as server:
            equal(run("nbdinfo", "--size", server.uri(
                scheme="nbds+unix", more=f"&tls-psk-file={keys}/keys.psk").replace(
                    ":///", "://me@/")).strip(), str(3 * MIB))


def reconnect():
    with Folder() as folder:
        image = folder.raw("a", MIB, 2)
        options = ["--image-opts", "driver=raw,file.driver=nbd,file.server.type=unix,"
                   f"file.server.path={folder('qemu')},file.reconnect-delay=20"]
        with qemu(folder, "-f", "raw", image) as server:
            process = subprocess.Popen([IO, *options], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            process.stdin.write("write -P 1 0 4k\n")
            process.stdin.flush()
            end = time.monotonic() + 20
            while time.monotonic() < end:
                with open(image, "rb") as file:
                    if file.read(1) == b"\1":
                        break
                time.sleep(0.02)
            server.process.kill()
            server.process.wait()
            os.unlink(server.socket)
            process.stdin.write("write -P 2 4k 4k\n")
            process.stdin.flush()
            time.sleep(0.3)
        with qemu(folder, "-f", "raw", image) as server:
            text, _ = process.communicate("quit\n", timeout=30)
            check("failed" not in text, text)
        with open(image, "rb") as file:
            equal(file.read(8192), b"\1" * 4096 + b"\2" * 4096)
        began = time.monotonic()
        run(IO, *options[:1], "-c", "length", options[1] + ",file.open-timeout=1", rc=1)
        check(0.8 < time.monotonic() - began < 10, "open-timeout")


# ---- servers that lie ---------------------------------------------------------------------------


def take(client, size):
    data = b""
    while len(data) < size:
        more = client.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


class Liar(threading.Thread):
    """Shakes hands like a server of one MiB with structured replies, then answers as it is told."""

    def __init__(self, path, talk, size=MIB, greeting=b"NBDMAGICIHAVEOPT\0\3"):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen()
        self.talk, self.size, self.greeting = talk, size, greeting
        self.start()

    def run(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            try:
                self.serve(client)
            except (OSError, EOFError, struct.error):
                pass
            client.close()

    def serve(self, client):
        client.sendall(self.greeting)
        take(client, 4)
        while True:
            _, option, size = struct.unpack(">QII", take(client, 16))
            take(client, size)
            head = struct.pack(">QI", 0x3e889045565a9, option)
            if option == 8:
                client.sendall(head + struct.pack(">II", 1, 0))
            elif option == 10:
                client.sendall(head + struct.pack(">III", 4, 19, 5) + b"base:allocation"
                               + head + struct.pack(">II", 1, 0))
            elif option == 7:
                client.sendall(head + struct.pack(">IIHQH", 3, 12, 0, self.size, 0x6d)
                               + head + struct.pack(">II", 1, 0))
                break
            else:
                client.sendall(head + struct.pack(">II", 0x80000001, 0))
        while True:
            _, _, kind, cookie, offset, size = struct.unpack(">IHHQQI", take(client, 28))
            if kind == 2:
                return
            client.sendall(self.talk(cookie, offset, size))


def chunk(cookie, kind, data, flags=1, length=None):
    return struct.pack(">IHHQI", 0x668e33ef, flags, kind, cookie,
                       len(data) if length is None else length) + data


def liars():
    lies = {
        "beyond": lambda c, o, n: chunk(c, 1, struct.pack(">Q", o + n) + b"x" * n),
        "before": lambda c, o, n: chunk(c, 1, struct.pack(">Q", o - 1) + b"x" * n),
        "long": lambda c, o, n: chunk(c, 1, struct.pack(">Q", o) + b"x" * (n + 1)),
        "huge": lambda c, o, n: chunk(c, 1, struct.pack(">Q", o), length=0xffffffff),
        "short": lambda c, o, n: chunk(c, 1, struct.pack(">Q", o) + b"x" * (n - 1)),
        "empty": lambda c, o, n: chunk(c, 1, struct.pack(">Q", o)),
        "hole": lambda c, o, n: chunk(c, 2, struct.pack(">QI", o, n + 1)),
        "cookie": lambda c, o, n: chunk(c + 7, 0, b""),
        "none": lambda c, o, n: chunk(c, 0, b""),
        "loud none": lambda c, o, n: chunk(c, 0, b"x"),
        "status": lambda c, o, n: chunk(c, 5, bytes(12)),
        "kind": lambda c, o, n: chunk(c, 77, b""),
        "simple": lambda c, o, n: struct.pack(">IIQ", 0x67446698, 0, c) + b"x" * n,
        "magic": lambda c, o, n: b"x" * 64,
        "error": lambda c, o, n: chunk(c, 0x8001, struct.pack(">IH", 5, 0)),
        "zero error": lambda c, o, n: chunk(c, 0x8001, struct.pack(">IH", 0, 0)),
        "twice": lambda c, o, n: chunk(c, 0x8001, struct.pack(">IH", 5, 0)) * 2,
        "long error": lambda c, o, n: chunk(c, 0x8001, b"", length=1 << 30),
        "gone": lambda c, o, n: (_ for _ in ()).throw(OSError()),
    }
    with Folder() as folder:
        for name, talk in lies.items():
            path = folder(name)
            liar = Liar(path, talk)
            text = run(IO, "-r", "-f", "raw", "-c", "read 4k 4k", f"nbd+unix:///?socket={path}",
                       rc=None)
            check("read failed" in text, f"{name}: {text}")
            liar.socket.close()
        path = folder("good")
        Liar(path, lambda c, o, n: chunk(c, 2, struct.pack(">QI", o, 1000), 0)
             + chunk(c, 1, struct.pack(">Q", o + 1000) + bytes(n - 1000), 0) + chunk(c, 0, b""))
        run(IO, "-r", "-f", "raw", "-c", "read -P 0 4k 4k", f"nbd+unix:///?socket={path}")
        for name, more in (("size", {"size": 1 << 63}), ("old", {"greeting": b"NBDMAGIC\0\0\x42\2"
                                                                 b"\x81\x86\x12\x53" + bytes(152)}),
                           ("none", {"greeting": b"SSH-2.0-whatever-it-is\r\n"})):
            path = folder("open " + name)
            Liar(path, None, **more)
            run(IO, "-r", "-f", "raw", "-c", "length", f"nbd+unix:///?socket={path}", rc=1)


def list_wording():
    with Folder() as folder:
        image = folder.raw("a", MIB)
        for start in (lambda: qemu(folder, "-f", "raw", "-r", image),
                      lambda: qemu(folder, "-f", "raw", "-x", "n", "-D", "text", "-A", image),
                      lambda: kit(folder, "file", image), lambda: kit(folder, "--no-sr", "null")):
            with start() as server:
                theirs = run("qemu-nbd", "-L", "-k", server.socket)
                equal(run(NBD, "-L", "-k", server.socket), theirs)
            if os.path.exists(server.socket):
                os.unlink(server.socket)


report([convert, sparse, names, read_only, tls, reconnect, liars, list_wording])
