# tests/guest/harness.py - starts a machine, talks to its serial port and monitor, reports in TAP.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The emulator is a command: build/app/cli/vitrine-run, or QEMU to check a test or to compare with.
Both understand the options that tests use."""
import codecs
import json
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ESCAPES = re.compile(rb"\x1b(\[[0-9;?]*[ -/]*[@-~]|[()][0-9A-B]|[=>78]|\][^\x07]*\x07)")


class Failure(Exception):
    """What a test says when the guest did not do what it should."""


class Terminal:
    """Turns terminal output, as it comes in pieces, into text without escape sequences."""

    def __init__(self):
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.pending = b""

    def feed(self, data):
        data = ESCAPES.sub(b"", self.pending + data)
        start = data.rfind(b"\x1b", max(len(data) - 64, 0))     # a sequence that is not complete
        if start < 0:
            start = len(data)
        self.pending = data[start:]
        return self.decoder.decode(data[:start]).replace("\r", "")


class Guest:
    """A running machine with its first serial port on our pipes and QMP on a socket."""

    def __init__(self, emulator, args, qmp=False, serial=True):
        self.folder = tempfile.mkdtemp(prefix="vitrine-guest-")
        command = [*emulator, "-display", "none", "-no-reboot", *args]
        if serial:
            command += ["-serial", "stdio"]
        self.qmp_path = os.path.join(self.folder, "qmp") if qmp else None
        if qmp:
            command += ["-qmp", f"unix:{self.qmp_path},server=on,wait=off"]
        self.command = command
        self.terminal = Terminal()
        self.output = ""            # of the serial port, without escape sequences
        self.seen = 0               # expect() has matched up to here
        self.qmp_file = None
        self.errors = open(os.path.join(self.folder, "stderr"), "w+b")
        self.started = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors, start_new_session=True)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close()

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.selector.close()
        if self.qmp_file:
            self.qmp_file.close()
        self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def stderr(self):
        self.errors.flush()
        self.errors.seek(0)
        return self.errors.read().decode("utf-8", "replace")

    def trouble(self, what):
        """A Failure with the ends of what the guest and the emulator have said."""
        lines = self.output[-1500:].splitlines()[-25:] + self.stderr().splitlines()[-10:]
        return Failure("\n".join([what, *("  | " + line for line in lines)]))

    def pump(self, seconds):
        """Waits up to that long for output; False at its end."""
        for _ in self.selector.select(max(seconds, 0)):
            data = self.process.stdout.read(65536)
            if data == b"":
                return False
            self.output += self.terminal.feed(data or b"")
        return True

    def match(self, regex):
        match = regex.search(self.output, self.seen)
        if match:
            self.seen = match.end()
        return match

    def expect(self, pattern, timeout):
        """Waits until the serial output after the last match matches; returns the match."""
        deadline = time.monotonic() + timeout
        regex = re.compile(pattern, re.M)
        while not (match := self.match(regex)):
            left = deadline - time.monotonic()
            if left <= 0:
                raise self.trouble(f"no {pattern!r} within {timeout} s")
            if not self.pump(min(left, 0.5)):
                if match := self.match(regex):
                    break
                status = self.process.wait()
                raise self.trouble(f"the machine ended (status {status}) before {pattern!r}")
        return match

    def send(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def run(self, command, timeout=60, prompt=r"^vitrine# "):
        """Runs a command in the guest's shell and returns what it printed."""
        self.send(f"{command}; echo END-$?-\n")
        match = self.expect(r"(?s)\n(.*?)END-(\d+)-\n", timeout)
        self.expect(prompt, timeout)
        if match[2] != "0":
            raise self.trouble(f"{command!r} gave status {match[2]} in the guest")
        return match[1]

    def wait(self, timeout):
        """Waits for the machine to end by itself; returns the emulator's exit status."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if not self.pump(min(deadline - time.monotonic(), 0.5)):
                try:
                    return self.process.wait(max(deadline - time.monotonic(), 1))
                except subprocess.TimeoutExpired:
                    break
        raise self.trouble(f"the machine did not end within {timeout} s")

    def qmp(self, command, timeout=20, **arguments):
        """Runs a QMP command and returns its result."""
        if self.qmp_file is None:
            self.qmp_file = self.connect(timeout)
            json.loads(self.qmp_file.readline())
            self.qmp("qmp_capabilities")
        request = {"execute": command}
        if arguments:
            request["arguments"] = arguments
        self.qmp_file.write(json.dumps(request).encode() + b"\n")
        self.qmp_file.flush()
        while True:
            line = self.qmp_file.readline()
            if not line:
                raise self.trouble(f"the monitor closed during {command}")
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise self.trouble(f"{command}: {answer['error'].get('desc')}")

    def connect(self, timeout):
        deadline = time.monotonic() + timeout
        while True:
            try:
                connection = socket.socket(socket.AF_UNIX)
                connection.settimeout(timeout)
                connection.connect(self.qmp_path)
                return connection.makefile("rwb")
            except OSError:
                connection.close()
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise self.trouble("no monitor to connect to") from None
                time.sleep(0.05)

    def screendump(self):
        """The bytes of a PPM picture of the first screen."""
        path = os.path.join(self.folder, "screen.ppm")
        self.qmp("screendump", filename=path)
        with open(path, "rb") as file:
            return file.read()


def emulator():
    """The command that a test script was given, e.g. by meson."""
    command = sys.argv[1:]
    if not command:
        sys.exit(f"usage: {sys.argv[0]} EMULATOR [OPTION...], e.g. qemu-system-x86_64 -accel tcg")
    return command


def work_folder():
    """Where a test leaves what a person may want to look at."""
    folder = os.environ.get("VITRINE_TEST_OUTPUT") or tempfile.mkdtemp(prefix="vitrine-test-")
    os.makedirs(folder, exist_ok=True)
    return folder


def run_tests(tests):
    """Runs (name, function) pairs and reports in TAP; the process's exit status says the rest."""
    print(f"1..{len(tests)}", flush=True)
    bad = False
    for number, (name, function) in enumerate(tests, 1):
        start = time.monotonic()
        try:
            function()
            print(f"ok {number} {name} # {time.monotonic() - start:.1f} s", flush=True)
        except Exception as error:      # every error is a failed test, with its reason
            bad = True
            kind = "" if isinstance(error, Failure) else f"{type(error).__name__}: "
            print(f"not ok {number} {name}")
            for line in f"{kind}{error}".splitlines():
                print(f"# {line}", flush=True)
    sys.exit(1 if bad else 0)
