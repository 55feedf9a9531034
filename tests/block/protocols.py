# tests/block/protocols.py VITRINE-IMG - images on servers that run here: https, ssh, nfs, iscsi
# SPDX-License-Identifier: GPL-3.0-or-later
import base64
import contextlib
import getpass
import http.server
import os
import re
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
import time

import images
from images import MIB, Folder, Skip, check, equal, fill, img, mixed, run, same_bytes

IO = os.path.join(images.TOOLS, "vitrine-io")


def need_protocol(name):
    done = img("info", f"{name}:", status=None)
    if "Unknown protocol" in done.stderr:
        raise Skip(f"this build has no {name}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port, process, seconds=15):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if process.poll() is not None:
            return False
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.05)
    return False


class Server:
    """A daemon in the foreground for the time of a with-statement; not running is a skip."""

    def __init__(self, name, port, *command, **popen):
        self.name, self.port, self.command, self.popen = name, port, command, popen

    def __enter__(self):
        if not (self.command[0].startswith("/") or shutil.which(self.command[0])):
            raise Skip(f"{self.name} is not installed")
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        errors="replace", **self.popen)
        if not wait_for_port(self.port, self.process):
            self.process.kill()
            said = self.process.communicate()[0].strip().splitlines()[-3:]
            raise Skip(f"{self.name} cannot run here: {' / '.join(said)}")
        return self

    def __exit__(self, *exc):
        self.process.terminate()
        try:
            self.process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()


# ---- http and https ------------------------------------------------------------------------------


class Pages(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, body):
        server = self.server
        server.requests.append((self.command, self.headers.get("Range")))
        if server.stall and self.headers.get("Range"):
            time.sleep(server.stall)
        if server.password and self.headers.get("Authorization") != server.password:
            return self.fail(401, "Unauthorized")
        if server.cookie and self.headers.get("Cookie") != server.cookie:
            return self.fail(403, "Forbidden")
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/disk")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        if self.path != "/disk":
            return self.fail(404, "Not Found")
        if not body and not server.knows_head:
            return self.fail(405, "Method Not Allowed")
        data, wanted = server.data, self.headers.get("Range")
        if wanted and server.ranges:
            first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", wanted).groups())
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
            data = data[first:last + 1]
        else:
            self.send_response(200)
        if server.ranges and server.says_ranges:
            self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            try:
                self.wfile.write(data)
            except OSError:
                pass
        return None

    def fail(self, status, text):
        self.send_response(status, text)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self):
        self.answer(True)

    def do_HEAD(self):
        self.answer(False)


class Web:
    def __init__(self, path, certificate=None, **how):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        self.server.daemon_threads = True
        with open(path, "rb") as file:
            self.server.data = file.read()
        self.server.requests = []
        self.server.handle_error = lambda *_: None     # clients that hang up are part of the test
        for name, value in {"ranges": True, "says_ranges": True, "knows_head": True, "stall": 0,
                            "password": None, "cookie": None}.items():
            setattr(self.server, name, how.get(name, value))
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.base = f"{'https' if certificate else 'http'}://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.server.server_close()


def certificate(f):
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
        "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f("key.pem"), "-out",
        f("cert.pem"))
    with open(f("both.pem"), "w", encoding="ascii") as both:
        for name in ("key.pem", "cert.pem"):
            with open(f(name), encoding="ascii") as file:
                both.write(file.read())
    return f("both.pem")


def opts(driver, **options):
    return ["--image-opts", f"driver=raw,file.driver={driver}," +
            ",".join(f"file.{key.replace('_', '-')}={value}" for key, value in options.items())]


def test_http():
    need_protocol("http")
    with Folder() as f:
        mixed(f("disk"))
        with Web(f("disk")) as web:
            img("convert", "-O", "raw", f"{web.base}/disk", f("a"))
            same_bytes(f("disk"), f("a"))
            check(all(wanted for method, wanted in web.server.requests if method == "GET"),
                  "the whole file was asked for")
            count = len(web.server.requests)
            run(IO, "-r", "-c", "read 1000 100", "-c", "read 5000 100", "-c", "read 200k 1k",
                f"{web.base}/disk")
            check(len(web.server.requests) - count < 8, "readahead keeps what it has")
            img("convert", "-O", "raw", f"{web.base}/moved", f("a"))
            same_bytes(f("disk"), f("a"))
            done = img("info", f"{web.base}/nothing", status="fail")
            check("404" in done.stderr, done.stderr)
            done = run(IO, "-c", "write 0 512", f"{web.base}/disk", status="fail")
            check("read-only" in done.stderr + done.stdout, done.stderr + done.stdout)
        for how in ({"says_ranges": False}, {"knows_head": False}):
            with Web(f("disk"), **how) as web:
                img("convert", "-O", "raw", f"{web.base}/disk", f("a"))
                same_bytes(f("disk"), f("a"))
        with Web(f("disk"), ranges=False) as web:
            done = img("info", f"{web.base}/disk", status="fail")
            check("Server does not support 'range'" in done.stderr, done.stderr)
        done = img("info", f"http://127.0.0.1:{free_port()}/disk", status="fail")
        check("Error opening file" in done.stderr, done.stderr)


def test_http_access():
    need_protocol("http")
    with Folder() as f:
        fill(f("disk"), MIB, [(0, MIB, "random")])
        word = "Basic " + base64.b64encode(b"me:sesame").decode()
        with Web(f("disk"), password=word) as web:
            url = f"{web.base}/disk"
            img("info", url, status="fail")
            img("convert", "--object", "secret,id=pw,data=sesame",
                *opts("http", url=url, username="me", password_secret="pw"), "-O", "raw", f("a"))
            same_bytes(f("disk"), f("a"))
        with Web(f("disk"), cookie="a=b") as web:
            url = f"{web.base}/disk"
            img("info", url, status="fail")
            img("info", *opts("http", url=url, cookie="a=b"))
            img("info", "--object", "secret,id=c,data=a=b", *opts("http", url=url,
                                                                   cookie_secret="c"))
        with Web(f("disk"), stall=30) as web:
            began = time.monotonic()
            img("convert", *opts("http", url=f"{web.base}/disk", timeout=1), "-O", "raw", f("a"),
                status="fail")
            check(time.monotonic() - began < 15, "timeout=1 had no effect")


def test_https():
    need_protocol("https")
    with Folder() as f:
        mixed(f("disk"))
        with Web(f("disk"), certificate(f)) as web:
            done = img("info", f"{web.base}/disk", status="fail")
            check("certificate" in done.stderr, done.stderr)
            img("convert", *opts("https", url=f"{web.base}/disk", sslverify="off",
                                 readahead="64k"), "-O", "raw", f("a"))
            same_bytes(f("disk"), f("a"))


# ---- ftp -----------------------------------------------------------------------------------------


class FtpSession(socketserver.StreamRequestHandler):
    """As much of RFC 959 and 2428 as one needs to fetch parts of a file."""

    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        begin, data = 0, None
        self.say("220 ready")
        for line in self.rfile:
            word, _, rest = line.decode().strip().partition(" ")
            word = word.upper()
            if word == "USER":
                self.say("331 password")
            elif word == "EPSV":
                data = socket.create_server(("127.0.0.1", 0))
                self.say(f"229 here (|||{data.getsockname()[1]}|)")
            elif word == "REST":
                begin = int(rest)
                self.say("350 going on there")
            elif word == "SIZE":
                self.say(f"213 {len(self.server.data)}" if rest == "disk" else "550 no such file")
            elif word == "RETR" and data:
                self.say("150 coming")
                connection = data.accept()[0]
                try:
                    connection.sendall(self.server.data[begin:])
                except OSError:
                    pass
                connection.close()
                data.close()
                begin = 0
                self.say("226 done")
            elif word == "PWD":
                self.say('257 "/"')
            elif word == "QUIT":
                self.say("221 bye")
                return
            elif word in ("PASS", "CWD", "TYPE", "MDTM"):
                self.say("200 fine" if word != "PASS" else "230 come in")
            else:
                self.say("502 no")


@contextlib.contextmanager
def ftp_server(path):
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), FtpSession) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None
        with open(path, "rb") as file:
            server.data = file.read()
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"ftp://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def test_ftp():
    need_protocol("ftp")
    with Folder() as f:
        mixed(f("disk"))
        with ftp_server(f("disk")) as base:
            img("convert", "-O", "raw", f"{base}/disk", f("a"))
            same_bytes(f("disk"), f("a"))
            img("info", f"{base}/none", status="fail")


# ---- ssh -----------------------------------------------------------------------------------------


def sshd(f, port):
    try:    # a folder of its own that sshd insists on
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
    except OSError:
        pass
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f("host"))
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f("me"))
    shutil.copy(f("me.pub"), f("authorized"))
    with open(f("config"), "w", encoding="ascii") as file:
        file.write(f"Port {port}\nListenAddress 127.0.0.1\nHostKey {f('host')}\n"
                   f"AuthorizedKeysFile {f('authorized')}\nStrictModes no\nUsePAM no\n"
                   f"PasswordAuthentication no\nPermitRootLogin yes\nPidFile none\n"
                   f"Subsystem sftp internal-sftp\n")
    return Server("sshd", port, shutil.which("sshd") or "/usr/sbin/sshd", "-D", "-e", "-f",
                  f("config"))


class Agent:
    """An ssh-agent that holds one key; the programs that run meanwhile find it."""

    def __init__(self, f):
        self.path, self.key = f("agent"), f("me")

    def __enter__(self):
        self.process = subprocess.Popen(["ssh-agent", "-D", "-a", self.path],
                                        stdout=subprocess.DEVNULL)
        until = time.monotonic() + 10
        while not os.path.exists(self.path) and time.monotonic() < until:
            time.sleep(0.02)
        os.environ["SSH_AUTH_SOCK"] = self.path
        run("ssh-add", "-q", self.key)

    def __exit__(self, *exc):
        del os.environ["SSH_AUTH_SOCK"]
        self.process.terminate()
        self.process.wait()


def test_ssh():
    need_protocol("ssh")
    port = free_port()
    with Folder() as f, sshd(f, port) as server, Agent(f):
        mixed(f("disk"))
        fingerprint = base64.b64decode(
            run("ssh-keygen", "-l", "-f", f("host.pub")).stdout.split()[1].split(":")[1] + "=")
        base = f"ssh://{getpass.getuser()}@127.0.0.1:{port}"
        query = "?host_key_check=no"
        trial = img("info", f"{base}{f('disk')}{query}", status=None)
        if "authenticate" in trial.stderr:
            server.process.terminate()
            said = server.process.communicate()[0].strip().splitlines()[-2:]
            raise Skip(f"sshd lets nobody in here: {' / '.join(said)}")
        equal(trial.returncode, 0, trial.stderr)
        img("convert", "-O", "raw", f"{base}{f('disk')}{query}", f("a"))
        same_bytes(f("disk"), f("a"))
        img("info", f"{base}{f('disk')}?host_key_check=sha256:{fingerprint.hex()}")
        done = img("info", f"{base}{f('disk')}?host_key_check=sha256:{'00' * 32}", status="fail")
        check("does not match host_key_check" in done.stderr, done.stderr)
        done = img("info", f"{base}{f('disk')}", status="fail")
        check("known_hosts" in done.stderr, done.stderr)
        done = img("info", f"{base}{f('none')}{query}", status="fail")
        check("No such file" in done.stderr, done.stderr)
        img("info", "--image-opts", f"driver=raw,file.driver=ssh,file.server.host=127.0.0.1,"
            f"file.server.port={port},file.path={f('disk')},file.host-key-check.mode=hash,"
            f"file.host-key-check.type=sha256,file.host-key-check.hash={fingerprint.hex()}")
        for fmt in ("qcow2", "raw"):
            if fmt in images.formats():
                target = f"{base}{f('new')}{query}"
                img("convert", "-O", fmt, f("disk"), target)
                img("compare", "-f", fmt, "-F", "raw", f("new"), f("disk"))
                run(IO, "-f", fmt, "-c", "write -P 9 12345 300000", "-c", "flush",
                    "-c", "read -P 9 12345 300000", target)
                img("resize", "-f", fmt, target, "9M")
        equal(os.path.getsize(f("new")), 9 * MIB)
        with open(f("new"), "rb") as file:
            file.seek(12345)
            equal(set(file.read(300000)), {9}, "what was written through ssh")
        img("create", "-f", "raw", f"{base}{f('fresh')}{query}", "3M")
        equal(os.path.getsize(f("fresh")), 3 * MIB)


# ---- nfs -----------------------------------------------------------------------------------------


def ganesha(f, port):
    for name in ("export", "recovery"):
        os.mkdir(f(name))
    with open(f("ganesha.conf"), "w", encoding="ascii") as file:
        file.write(f"""
NFS_CORE_PARAM {{
    NFS_Port = {port}; Bind_addr = 127.0.0.1; Protocols = 4; Enable_NLM = false;
    Enable_RQUOTA = false; allow_set_io_flusher_fail = true;
}}
NFSv4 {{ Graceless = true; RecoveryBackend = fs; RecoveryRoot = {f("recovery")}; }}
EXPORT {{
    Export_Id = 1; Path = {f("export")}; Pseudo = /export; Access_Type = RW; Protocols = 4;
    Squash = No_Root_Squash; Transports = TCP; SecType = sys; FSAL {{ Name = VFS; }}
}}
""")
    return Server("nfs-ganesha", port, "ganesha.nfsd", "-F", "-f", f("ganesha.conf"), "-L",
                  f("ganesha.log"), "-p", f("ganesha.pid"), "-N", "EVENT")


def wait_for_export(base, query):
    """The port opens before the export is there."""
    until = time.monotonic() + 20
    while True:
        trial = img("create", "-f", "raw", f"{base}/new{query}", "1M", status=None)
        if trial.returncode == 0 or time.monotonic() > until:
            return equal(trial.returncode, 0, trial.stderr)
        time.sleep(0.3)


def exercise(f, base, query, where, can_create=True):
    """The same for all that can be written: `where` is the folder that the server shows."""
    mixed(f("disk"))
    for fmt in ("raw", "qcow2"):
        if fmt not in images.formats():
            continue
        target = f"{base}/new{query}"
        img("convert", "-O", fmt, f("disk"), target)
        img("convert", "-f", fmt, "-O", "raw", target, f("back"))
        same_bytes(f("disk"), f("back"))
        run(IO, "-f", fmt, "-c", "write -P 9 12345 300000", "-c", "write -z 1M 64k", "-c", "flush",
            "-c", "read -P 9 12345 300000", "-c", "read -P 0 1M 64k", target)
        if can_create:
            img("compare", "-f", fmt, "-F", fmt, target, os.path.join(where, "new"))
            img("resize", "-f", fmt, target, "9M")
    if can_create:
        img("create", "-f", "raw", f"{base}/fresh{query}", "3M")
        equal(os.path.getsize(os.path.join(where, "fresh")), 3 * MIB)


def test_nfs():
    need_protocol("nfs")
    port = free_port()
    with Folder() as f, ganesha(f, port):
        base, query = "nfs://127.0.0.1/export", f"?version=4&nfsport={port}"
        wait_for_export(base, query)
        exercise(f, base, query, f("export"))
        done = img("info", f"{base}/none{query}", status="fail")
        check("Failed to open file" in done.stderr, done.stderr)
        done = img("info", f"nfs://127.0.0.1/nowhere/x{query}", status="fail")
        check("Failed to" in done.stderr, done.stderr)
    for name, complaint in (("nfs://h", "missing file path in URI"),
                            ("nfs://h/a/b?bad=1", "Unknown NFS parameter name: bad"),
                            ("nfs:///a/b", "missing hostname in URI")):
        done = img("info", name, status="fail")
        check(complaint in done.stderr, done.stderr)


# ---- iscsi ---------------------------------------------------------------------------------------


class Target(Server):
    """tgtd with one unit; who may log in."""

    def __init__(self, f, port, control, chap=None):
        super().__init__("tgtd", port, "tgtd", "-f", "-C", str(control), "--iscsi",
                         f"portal=127.0.0.1:{port}")
        self.f, self.control, self.chap = f, control, chap

    def admin(self, mode, op, *more):
        run("tgtadm", "-C", self.control, "--lld", "iscsi", "--mode", mode, "--op", op, *more)

    def __enter__(self):
        super().__enter__()
        fill(self.f("unit"), 12 * MIB)
        self.admin("target", "new", "--tid", "1", "-T", "iqn.2020-01.test:disk")
        self.admin("logicalunit", "new", "--tid", "1", "--lun", "1", "-b", self.f("unit"))
        self.admin("logicalunit", "update", "--tid", "1", "--lun", "1", "--params",
                   "thin_provisioning=1")
        if self.chap:
            self.admin("account", "new", "--user", self.chap[0], "--password", self.chap[1])
            self.admin("account", "bind", "--tid", "1", "--user", self.chap[0])
        self.admin("target", "bind", "--tid", "1", "-I", "ALL")
        return self

    def __exit__(self, *exc):
        self.process.kill()     # it does not end while there are targets
        self.process.communicate()


def test_iscsi():
    need_protocol("iscsi")
    port, name = free_port(), "iqn.2020-01.test:disk"
    control = 3 + port % 20000
    with Folder() as f, Target(f, port, control):
        url = f"iscsi://127.0.0.1:{port}/{name}/1"
        equal(img("info", url).stdout.count("virtual size: 12 MiB"), 1)
        mixed(f("disk"), 12 * MIB)
        img("convert", "-n", "-O", "raw", f("disk"), url)
        same_bytes(f("disk"), f("unit"))
        img("compare", url, f("disk"))
        run(IO, "-c", "write -P 9 12345 300000", "-c", "write -z 1M 64k", "-c", "write -zu 2M 64k",
            "-c", "discard 3M 1M", "-c", "flush", "-c", "read -P 9 12345 300000",
            "-c", "read -P 0 1M 64k", "-c", "read -P 0 2M 64k", url)
        img("convert", "-O", "raw", url, f("back"))
        same_bytes(f("unit"), f("back"))
        done = img("info", f"iscsi://127.0.0.1:{port}/{name}/7", status="fail")
        check("Failed to connect to LUN" in done.stderr, done.stderr)
        done = img("info", f"iscsi://127.0.0.1:{port}/{name}x/1", status="fail")
        check("Failed to connect to LUN" in done.stderr, done.stderr)
    done = img("info", f"iscsi://127.0.0.1:{free_port()}/{name}/1", status="fail")
    check("Failed to connect to LUN" in done.stderr, done.stderr)
    done = img("info", "iscsi://host/x", status="fail")
    check("Failed to parse URL" in done.stderr, done.stderr)


def test_iscsi_chap():
    need_protocol("iscsi")
    port, name = free_port(), "iqn.2020-01.test:disk"
    with Folder() as f, Target(f, port, 3 + port % 20000, ("me", "sesamesesame")):
        img("info", f"iscsi://127.0.0.1:{port}/{name}/1", status="fail")
        where = {"transport": "tcp", "portal": f"127.0.0.1:{port}", "target": name, "lun": "1",
                 "user": "me", "password_secret": "pw"}
        img("info", "--object", "secret,id=pw,data=sesamesesame", *opts("iscsi", **where))
        img("info", "--object", "secret,id=pw,data=wrongwrongwrong", *opts("iscsi", **where),
            status="fail")


# ---- rbd -----------------------------------------------------------------------------------------


def test_rbd_names():
    """Without a cluster only what is said before one is asked for: the rest is not tested here."""
    need_protocol("rbd")
    for name, complaint in (("rbd:", "Pool name is required"),
                            ("rbd:image", "Pool name is required"),
                            ("rbd:pool/image:nothing", "conf option nothing has no value"),
                            ("rbd:pool/image:conf=/nonexistent", "error reading conf file"),
                            ("rbd:pool/space/image@snap:id=me:conf=/nonexistent",
                             "rbd:pool/image: error reading conf file")):
        done = img("info", name, status="fail")
        check(complaint in done.stderr, f"{name}: {done.stderr}")


def test_rbd():
    need_protocol("rbd")
    raise Skip("no Ceph cluster runs here")


if __name__ == "__main__":
    images.main(globals())
