# tests/block/nbd_common.py - what the tests of the exports share: servers, certificates, results
# SPDX-License-Identifier: GPL-3.0-or-later
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def equal(got, wanted):
    check(got == wanted, f"{got!r} where {wanted!r} was expected")


def run(*command, rc=0, **more):
    """Runs a program to its end and gives what it printed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
                          text=True, stdin=subprocess.DEVNULL, check=False, **more)
    if rc is not None and done.returncode != rc:
        raise AssertionError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}")
    return done.stdout


class Folder:
    """A folder of its own, emptied at the end."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="vitrine-nbd-")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def __call__(self, name):
        return os.path.join(self.path, name)

    def raw(self, name, size, seed=1, blank=False):
        path = self(name)
        with open(path, "wb") as file:
            if not blank:
                file.write(random.Random(seed).randbytes(size))
            file.truncate(size)
        return path


class Server:
    """A server on a Unix socket; ready when it accepts, ended at the end."""

    def __init__(self, socket, *command, stderr=None):
        self.socket = socket
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=stderr)
        end = time.monotonic() + 20
        while not os.path.exists(socket):
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"{' '.join(command)} did not start")
            time.sleep(0.01)
        time.sleep(0.02)

    def uri(self, export="", scheme="nbd+unix", more=""):
        return f"{scheme}:///{export}?socket={self.socket}{more}"

    def __enter__(self):
        return self

    def stop(self, wanted=0):
        self.process.terminate()
        try:
            equal(self.process.wait(20), wanted)
        finally:
            self.process.kill()

    def __exit__(self, kind, *_):
        if kind:
            self.process.kill()
            self.process.wait()
        elif self.process.poll() is None:
            self.stop()


class Exporter:
    """tests/block/exporter.c at work; ready when it says so."""

    def __init__(self, *command, stderr=None):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=stderr, text=True)
        line = self.process.stdout.readline().strip()
        if line != "ready":
            self.process.wait(20)
            raise AssertionError(line)

    def __enter__(self):
        return self

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def __exit__(self, kind, *_):
        self.process.stdin.close()
        try:
            code = self.process.wait(20)
        finally:
            self.process.kill()
            self.process.stdout.close()
        if not kind:
            equal(code, 0)


def certificates(folder, name="pki"):
    """An authority with a server's and a client's certificate, in a folder as QEMU lays it out."""
    pki = folder(name)
    os.mkdir(pki)

    def make(key, certificate, template, *args):
        run("certtool", "--generate-privkey", "--ecc", "--outfile", os.path.join(pki, key))
        with open(os.path.join(pki, "template"), "w", encoding="ascii") as file:
            file.write(template)
        run("certtool", *args, "--load-privkey", os.path.join(pki, key), "--template",
            os.path.join(pki, "template"), "--outfile", os.path.join(pki, certificate))

    sign = ("--generate-certificate", "--load-ca-certificate", os.path.join(pki, "ca-cert.pem"),
            "--load-ca-privkey", os.path.join(pki, "ca-key.pem"))
    make("ca-key.pem", "ca-cert.pem", "cn = test\nca\ncert_signing_key\n",
         "--generate-self-signed")
    make("server-key.pem", "server-cert.pem",
         "cn = localhost\ndns_name = localhost\ntls_www_server\nsigning_key\n", *sign)
    make("client-key.pem", "client-cert.pem", "cn = client\ntls_www_client\nsigning_key\n", *sign)
    return pki


def report(tests):
    bad = False
    only = os.environ.get("ONLY")
    print(f"1..{len(tests)}", flush=True)
    for number, test in enumerate(tests, 1):
        if only and test.__name__ != only:
            print(f"ok {number} {test.__name__} # SKIP", flush=True)
            continue
        try:
            reason = test()
            print(f"ok {number} {test.__name__}" + (f" # SKIP {reason}" if reason else ""),
                  flush=True)
        except (AssertionError, OSError, ValueError, subprocess.SubprocessError, RuntimeError):
            bad = True
            print(f"not ok {number} {test.__name__}")
            for line in traceback.format_exc(limit=-3).splitlines():
                print(f"# {line}", flush=True)
    sys.exit(1 if bad else 0)
