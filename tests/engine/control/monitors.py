# tests/engine/control/monitors.py VITRINE-RUN - QMP and the human monitor of a running machine.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guest is a ROM of a few bytes: it counts at 500h and stores each scancode from 600h on; R
makes it reset, Q makes it leave through isa-debug-exit."""
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

RUN = sys.argv[1:]
START = """
    fa 31c0 8ed8 31db b060 e664 b040 e660
    66ff060005 e464 a801 74f5 e460
    8887 0006 43 81e3ff00
    3c13 7506 baf90c b006 ee
    3c10 75dc b015 e6f4 ebd6
"""


def rom():
    image = bytearray(b"\xf4" * 65536)
    code = bytes.fromhex(START)
    image[:len(code)] = code
    image[0xFFF0:0xFFF5] = bytes.fromhex("ea000000f0")
    return bytes(image)


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def equal(got, wanted):
    check(got == wanted, f"{got!r} where {wanted!r} was expected")


class Machine:
    def __init__(self, *args, qmp=True, monitor=False, **popen):
        self.folder = tempfile.TemporaryDirectory(prefix="vitrine-monitors-")
        self.qmp_path, self.monitor_path = self.path("qmp"), self.path("monitor")
        with open(self.path("rom"), "wb") as file:
            file.write(rom())
        command = [*RUN, "-display", "none", "-nodefaults", "-accel", "interp", "-m", "16", "-bios",
                   self.path("rom"), *args]
        if qmp:
            command += ["-qmp", f"unix:{self.qmp_path},server=on,wait=off"]
        if monitor:
            command += ["-monitor", f"unix:{self.monitor_path},server,nowait"]
        popen.setdefault("stdin", subprocess.DEVNULL)
        # Built with ASan, a program keeps much of what it has freed: here memory is measured.
        asan = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=8"
        popen.setdefault("env", {**os.environ, "ASAN_OPTIONS": asan})
        self.process = subprocess.Popen(command, **popen)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                stream.close()
        self.folder.cleanup()

    def connect(self, path):
        deadline = time.monotonic() + 20
        while True:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(20)
            try:
                connection.connect(path)
                return connection
            except OSError:
                connection.close()
                check(time.monotonic() < deadline and self.process.poll() is None, "nobody listens")
                time.sleep(0.02)

    def qmp(self, negotiate=True):
        return Qmp(self.connect(self.qmp_path), negotiate)

    def read(self, qmp, address, size):
        path = self.path("memory")
        qmp("pmemsave", val=address, size=size, filename=path)
        with open(path, "rb") as file:
            return file.read()

    def count(self, qmp):
        return int.from_bytes(self.read(qmp, 0x500, 4), "little")

    def wait_for(self, what, test):
        deadline = time.monotonic() + 20
        while not test():
            check(time.monotonic() < deadline, f"{what}: not within 20 s")
            time.sleep(0.02)

    def started(self, qmp):
        self.wait_for("the guest counts", lambda: self.count(qmp) > 0)


class Qmp:
    def __init__(self, connection, negotiate):
        self.socket = connection
        self.file = connection.makefile("rwb")
        self.events = []
        self.greeting = self.receive()
        check("QMP" in self.greeting, "no greeting")
        if negotiate:
            equal(self("qmp_capabilities"), {})

    def send(self, data):
        self.file.write(data)
        self.file.flush()

    def receive(self):
        line = self.file.readline()
        return json.loads(line) if line else None

    def answer(self):
        while True:
            message = self.receive()
            check(message is not None, "the monitor closed the connection")
            if "event" not in message:
                return message
            stamp = message["timestamp"]
            check(abs(stamp["seconds"] - time.time()) < 60 and 0 <= stamp["microseconds"] < 10**6,
                  f"the time of {message}")
            self.events.append(message)

    def request(self, command, arguments=None, **more):
        request = {"execute": command, **more}
        if arguments is not None:
            request["arguments"] = arguments
        self.send(json.dumps(request).encode())
        return self.answer()

    def __call__(self, command, **arguments):
        answer = self.request(command, arguments or None)
        check("return" in answer, f"{command}: {answer}")
        return answer["return"]

    def error(self, command, arguments=None, kind="GenericError", **more):
        answer = self.request(command, arguments, **more)
        check("error" in answer, f"{command} {arguments}: {answer}")
        equal(answer["error"]["class"], kind)
        return answer["error"]["desc"]

    def broken(self, data):
        self.send(data)
        answer = self.answer()
        check("error" in answer, f"{data[:60]!r}: {answer}")
        return answer["error"]["desc"]

    def event(self, name):
        for message in self.events:
            if message["event"] == name:
                self.events.remove(message)
                return message
        while True:
            message = self.receive()
            check(message is not None, f"the connection closed before {name}")
            if message.get("event") == name:
                return message
            self.events.append(message)

    def hmp(self, line):
        return self("human-monitor-command", **{"command-line": line}).replace("\r\n", "\n")

    def close(self):
        self.file.close()
        self.socket.close()


def key(name):
    return {"type": "qcode", "data": name}


# ---- Protocol ------------------------------------------------------------------------------------


def negotiation():
    with Machine("-S") as machine:
        qmp = machine.qmp(negotiate=False)
        check(qmp.greeting["QMP"]["version"]["package"].startswith("vitrine"), "package")
        equal(qmp.greeting["QMP"]["capabilities"], [])
        check("qmp_capabilities" in qmp.error("query-status", kind="CommandNotFound"), "no hint")
        qmp.error("qmp_capabilities", {"enable": ["oob"]})
        qmp.error("query-status", kind="CommandNotFound")
        equal(qmp("qmp_capabilities", enable=[]), {})
        qmp.error("qmp_capabilities", kind="CommandNotFound")
        equal(qmp("query-status"), {"status": "prelaunch", "running": False})


def requests():
    with Machine("-S") as machine:
        qmp = machine.qmp()
        for identifier in (1, "x", None, [1, {"a": 2}], {"b": []}, 1.5, True):
            answer = qmp.request("query-name", id=identifier)
            equal(answer, {"return": {}, "id": identifier})
            equal(qmp.request("nothing", id=identifier)["id"], identifier)
        check("nothing" in qmp.error("nothing", kind="CommandNotFound"), "names no command")
        equal(qmp.error("screendump"), "Parameter 'filename' is missing")
        equal(qmp.error("query-name", {"surprise": 1}), "Parameter 'surprise' is unexpected")
        equal(qmp.error("screendump", {"filename": "a", "head": 0, "hat": 0}),
              "Parameter 'hat' is unexpected")
        equal(qmp.error("screendump", {"filename": 7}),
              "Invalid parameter type for 'filename', expected: string")
        qmp.error("screendump", {"filename": "a", "format": "gif"})
        qmp.error("screendump", {"filename": "a", "head": 1.5})
        qmp.error("screendump", {"filename": "a"}, kind="DeviceNotFound")
        equal(qmp.error("query-name", {}, more=1), "QMP input member 'more' is unexpected")
        equal(qmp.error("query-name", 5), "QMP input member 'arguments' must be an object")
        for text, said in ((b'{"id": 1}', "lacks member 'execute'"),
                           (b"[]", "must be a JSON object"),
                           (b'{"execute": 3}', "must be a string"),
                           (b'{"execute" "x"}', "parse error"),
                           (b"hello\n", "parse error"),
                           (b'{"execute": "a\xff', "parse error")):
            check(said in qmp.broken(text), f"{text!r}: not {said!r}")
        equal(qmp("query-name"), {})


def pieces():
    with Machine("-S") as machine:
        qmp = machine.qmp()
        for byte in b'{ "execute": "query-name",\r\n "id": "sl\\"o}w" }':
            qmp.send(bytes([byte]))
        equal(qmp.answer(), {"return": {}, "id": 'sl"o}w'})
        many = b"".join(b'{"execute":"query-status","id":%d}' % n for n in range(2000))
        qmp.send(many)
        for n in range(2000):
            equal(qmp.answer()["id"], n)


def schema():
    uuid = "12345678-1234-1234-1234-123456789abc"
    with Machine("-S", "-name", "glass", "-uuid", uuid) as machine:
        qmp = machine.qmp()
        commands = {entry["name"] for entry in qmp("query-commands")}
        types = {entry["name"]: entry for entry in qmp("query-qmp-schema")}
        described = {name for name, entry in types.items() if entry["meta-type"] == "command"}
        equal(commands, described)
        for name in commands:
            arguments = types[types[name]["arg-type"]]
            for member in arguments["members"]:
                check(member["type"] in types, f"{name}: type {member['type']}")
            needed = [m["name"] for m in arguments["members"] if "default" not in m]
            if name.startswith("query-"):
                equal(needed, [])
                qmp(name)
            elif needed:
                equal(qmp.error(name), f"Parameter '{needed[0]}' is missing") \
                    if name != "qmp_capabilities" else None
        equal(qmp("query-name"), {"name": "glass"})
        equal(qmp("query-iothreads"), [])
        equal(qmp("query-uuid"), {"UUID": "12345678-1234-1234-1234-123456789abc"})
        equal(qmp("query-memory-size-summary")["base-memory"], 16 << 20)
        thread = qmp("query-cpus-fast")[0]["thread-id"]
        check(os.path.exists(f"/proc/{machine.process.pid}/task/{thread}"), "no such thread")
        check("qmp0" in [entry["label"] for entry in qmp("query-chardev")], "its own chardev")


# ---- The machine ---------------------------------------------------------------------------------


def life():
    with Machine() as machine:
        qmp = machine.qmp()
        machine.started(qmp)
        qmp("stop")
        qmp.event("STOP")
        equal(qmp("query-status"), {"status": "paused", "running": False})
        first = machine.count(qmp)
        time.sleep(0.1)
        equal(machine.count(qmp), first)
        qmp("stop")
        equal(qmp.events, [])
        qmp("cont")
        qmp.event("RESUME")
        machine.wait_for("the guest goes on", lambda: machine.count(qmp) != first)
        qmp("system_powerdown")
        qmp.event("POWERDOWN")
        qmp("system_reset")
        equal(qmp.event("RESET")["data"], {"guest": False, "reason": "host-qmp-system-reset"})
        equal(qmp("query-status"), {"status": "running", "running": True})


def keys():
    with Machine() as machine:
        qmp = machine.qmp()
        machine.started(qmp)
        time.sleep(0.05)

        def typed(expected):
            wanted = bytes.fromhex(expected)
            try:
                machine.wait_for(expected, lambda: machine.read(qmp, 0x600, len(wanted)) == wanted)
            except AssertionError:
                equal(machine.read(qmp, 0x600, len(wanted)).hex(), wanted.hex())

        qmp("send-key", keys=[key("a")])
        typed("1e9e")
        qmp("send-key", keys=[key("ctrl"), key("shift")], **{"hold-time": 30})
        qmp("send-key", keys=[{"type": "number", "data": 0x1F}], **{"hold-time": 10})
        typed("1e9e 1d2aaa9d 1f9f")
        equal(qmp.hmp("sendkey ctrl-x 20"), "")
        typed("1e9e 1d2aaa9d 1f9f 1d2dad9d")
        qmp("input-send-event", events=[
            {"type": "key", "data": {"down": down, "key": key("f1")}} for down in (True, False)])
        typed("1e9e 1d2aaa9d 1f9f 1d2dad9d 3bbb")
        check("zzz" in qmp.error("send-key", {"keys": [key("zzz")]}), "names the key")
        qmp.error("send-key", {"keys": [{"type": "number", "data": 10**15}]})
        qmp.error("send-key", {"keys": [key("a")] * 17})
        qmp.error("send-key", {"keys": [key("a")], "hold-time": 10**9})
        qmp.error("send-key", {"keys": ["a"]})
        qmp.error("input-send-event", {"events": [{"type": "key", "data": {"down": 1}}]})
        qmp.error("input-send-event",
                  {"events": [{"type": "abs", "data": {"axis": "z", "value": 1}}]})
        qmp("input-send-event", events=[
            {"type": "abs", "data": {"axis": "x", "value": 10**12}},
            {"type": "abs", "data": {"axis": "y", "value": -5}},
            {"type": "rel", "data": {"axis": "x", "value": -10**12}},
            {"type": "btn", "data": {"down": True, "button": "left"}},
            {"type": "btn", "data": {"down": True, "button": "wheel-up"}}])


def guest_ends():
    with Machine("-device", "isa-debug-exit,iobase=0xf4") as machine:
        qmp = machine.qmp()
        machine.started(qmp)
        qmp("send-key", keys=[key("r")], **{"hold-time": 1})
        equal(qmp.event("RESET")["data"], {"guest": True, "reason": "guest-reset"})
        machine.started(qmp)
        time.sleep(0.05)
        qmp("send-key", keys=[key("q")], **{"hold-time": 1})
        equal(qmp.event("SHUTDOWN")["data"]["guest"], True)
        equal(machine.process.wait(20), 0x15 << 1 | 1)
    with Machine("-no-reboot", "-action", "shutdown=pause") as machine:
        qmp = machine.qmp()
        machine.started(qmp)
        time.sleep(0.05)
        qmp("send-key", keys=[key("r")], **{"hold-time": 1})
        equal(qmp.event("SHUTDOWN")["data"], {"guest": True, "reason": "guest-reset"})
        equal(qmp("query-status"), {"status": "shutdown", "running": False})
        qmp.error("cont")
        qmp.error("system_reset")


def pictures():
    with Machine("-vga", "std") as machine:
        qmp = machine.qmp()
        for name, format_, magic in (("a.ppm", None, b"P6\n"), ("b.png", None, b"\x89PNG"),
                                     ("c", "png", b"\x89PNG"), ("d.png", "ppm", b"P6\n")):
            more = {"format": format_} if format_ else {}
            qmp("screendump", filename=machine.path(name), **more)
            with open(machine.path(name), "rb") as file:
                equal(file.read(len(magic)), magic)
        equal(qmp.hmp(f"screendump {machine.path('e')} -f png"), "")
        check(os.path.getsize(machine.path("e")) > 60, "no picture")
        check("Cannot write" in qmp.error("screendump", {"filename": "/nowhere/a.ppm"}),
              "no reason")
        qmp.error("screendump", {"filename": machine.path("f"), "head": 3}, kind="DeviceNotFound")


def memory():
    with Machine() as machine:
        qmp = machine.qmp()
        machine.started(qmp)
        qmp("stop")
        equal(machine.read(qmp, 0xF0000, 65536), rom())
        path = machine.path("linear")
        qmp("memsave", val=0xFFFF0, size=16, filename=path)
        with open(path, "rb") as file:
            equal(file.read(), rom()[-16:])
        equal(qmp.hmp("xp/5xb 0xffff0"), "00000000000ffff0: 0xea 0x00 0x00 0x00 0xf0\n")
        equal(qmp.hmp("x /2xh 0xf0000"), "00000000000f0000: 0x31fa 0x8ec0\n")
        equal(qmp.hmp("x/1db 0xffff0"), "00000000000ffff0: -22\n")
        check("cli" in qmp.hmp("x/3i 0xf0000"), "no cli")
        equal(qmp.hmp("p/x (0x10 + 2 * 3) | 1"), "0x17\n")
        equal(qmp.hmp("print -5 % 3 + 0 * 7"), str((2**64 - 5) % 3) + "\n")
        check(int(qmp.hmp("p/x $pc"), 16) in range(0xF0000, 0xF0100), "pc")
        for wrong in ("p", "p 1/0", "p $nope", "p (1", "p 5 6", "x/9999x 0", "x/4q 0",
                      "p " + "(" * 5000, "p " + "-" * 5000, "x/2i 0x100000000000"):
            text = qmp.hmp(wrong)
            check("Error" in text, f"{wrong[:20]}: {text}")
        qmp.error("memsave", {"val": 0, "size": 16, "filename": path, "cpu-index": 9})
        qmp.error("pmemsave", {"val": 0, "size": -1, "filename": path})
        qmp.error("pmemsave", {"val": 1 << 50, "size": 16, "filename": path})
        check(not os.path.exists(path), "a file of nothing was left")


# ---- Human monitor -------------------------------------------------------------------------------

PROMPT = b"(vitrine) "


def until(connection, pattern, seen=b""):
    while not re.search(pattern, seen):
        data = connection.recv(65536)
        check(data, f"closed after {seen[-200:]!r}")
        seen += data
    return seen


def prompt():
    with Machine("-S", "-object", "iothread,id=one", "-object",
                 '{"qom-type": "iothread", "id": "two", "poll-max-ns": 7}',
                 monitor=True) as machine:
        qmp = machine.qmp()
        threads = {t["id"]: t for t in qmp("query-iothreads")}
        equal(sorted(threads), ["one", "two"])
        equal(threads["two"]["poll-max-ns"], 7)
        for name, thread in threads.items():
            with open(f"/proc/{machine.process.pid}/task/{thread['thread-id']}/comm") as file:
                equal(file.read().strip(), name)
            equal(sorted(thread), ["aio-max-batch", "id", "poll-grow", "poll-max-ns", "poll-shrink",
                                   "thread-id"])
        hmp = machine.connect(machine.monitor_path)
        until(hmp, rb"help.*\r\n\(vitrine\) $")

        def say(keys, answer):
            hmp.sendall(keys)
            return until(hmp, answer + rb"(.|\n)*\r\n\(vitrine\) $")

        say(b"info status\n", rb"VM status: paused \(prelaunch\)")
        say(b"info statxyz\b\b\x7fus\r\n", rb"prelaunch")
        say(b"nonsense here\x15info name\r", rb"info name\r\n")
        say(b"\x1b[A\x1b[A\r", rb"prelaunch")
        say(b"info sta\t\n", rb"prelaunch")
        say(b"inf\tver\t\n", rb"Vitrine \d")
        say(b"inof\n", rb"did you mean .*info")
        say(b"info foo\n", rb"unknown subject")
        say(b"\n", rb"")
        say(b"info qtree\n", rb"dev: .*rtc")
        say(b"info iothreads\n", rb"one:\r\n  thread_id=\d+\r\n  poll-max-ns=0\r\n(.*\r\n)*two:\r\n"
                                rb"  thread_id=\d+\r\n  poll-max-ns=7\r\n  poll-grow=0\r\n"
                                rb"  poll-shrink=0\r\n  aio-max-batch=0")
        for command in (b"cpus", b"registers -a", b"jit", b"mtree", b"qtree", b"pic", b"chardev",
                        b"block", b"network", b"kvm", b"version"):
            check(b"unknown" not in say(b"info " + command + b"\n", rb""), command)
        say(b"dump rtc\n", rb"mc146818")
        say(b"dump nothing\n", rb"Error: .*nothing")
        say(b"help x\n", rb"x /FMT")
        say(b"log nonsense\n", rb"Error: ")
        say(b"log guest_errors,unimp\nlog none\n", rb"log none")
        say(b"mouse_move 3 -4 1\nmouse_button 5\nmouse_button 0\nnmi\n", rb"nmi")
        say(b"mouse_move x y\n", rb"Error")
        say(b"c\n", rb"c")
        say(b"info status\n", rb"VM status: running")
        say(b"stop\ninfo status\n", rb"VM status: paused")
        hmp.sendall(b"quit\n")
        equal(machine.process.wait(20), 0)
        hmp.close()


def multiplexed():
    with Machine("-serial", "mon:stdio", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as machine:
        qmp = machine.qmp()
        machine.started(qmp)

        def expect(pattern):
            seen = b""
            while not re.search(pattern, seen):
                data = os.read(machine.process.stdout.fileno(), 65536)
                check(data, f"closed after {seen!r}")
                seen += data
            return seen

        def say(keys):
            machine.process.stdin.write(keys)
            machine.process.stdin.flush()

        say(b"\x01c")
        equal(expect(rb"\(vitrine\) $")[:7], b"Vitrine")        # nothing was said before
        say(b"info status\n")
        expect(rb"VM status: running\r\n\(vitrine\) $")
        say(b"\x01cnot for the monitor\n\x01cinfo name\n")
        text = expect(rb"info name\r\n.*\r\n\(vitrine\) $")
        check(b"not for" not in text, "the serial port's input reached the monitor")
        say(b"q\n")
        equal(machine.process.wait(20), 0)


# ---- Clients that misbehave ----------------------------------------------------------------------


def memory_of(process):
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1]) // 1024


def hostile():
    source = random.Random(1)
    with Machine() as machine:
        qmp = machine.qmp()
        qmp.send(b"[" * 100000 + b"\n")
        check("deep" in qmp.answer()["error"]["desc"], "deep nesting")
        qmp.send(b'{"a": "' + b"x" * (5 << 20) + b'"}\n')
        check("long" in qmp.answer()["error"]["desc"], "a long text")
        equal(qmp("query-name"), {})
        qmp.close()
        alphabet = b'{}[]":,\\ \n01"execute""query-status"\xc3\xff'
        for _ in range(60):
            qmp = machine.qmp(negotiate=False)
            noise = bytes(source.choice(alphabet) for _ in range(source.randrange(1, 20000)))
            qmp.socket.settimeout(0.05)
            try:
                qmp.socket.sendall(noise)
            except TimeoutError:
                pass
            qmp.close()
        qmp = machine.qmp()
        equal(qmp("query-status")["running"], True)


def unread():
    """Nothing grows when answers and events are not read; commands wait, and go on afterwards."""
    with Machine() as machine:
        qmp = machine.qmp()
        machine.started(qmp)
        before = memory_of(machine.process)
        request = b'{"execute":"query-commands"}'
        qmp.socket.settimeout(2)
        sent = 0
        try:
            while sent < 100000:
                qmp.socket.sendall(request * 100)
                sent += 100
        except TimeoutError:
            pass
        check(sent < 100000, "commands were taken without end")
        check(memory_of(machine.process) < before + 60, "memory grew")
        qmp.socket.settimeout(20)
        for _ in range(sent):
            check("return" in qmp.answer(), "an answer")
        qmp.close()
        qmp = machine.qmp()
        equal(qmp("query-status")["running"], True)


def reconnect():
    with Machine() as machine:
        for _ in range(20):
            qmp = machine.qmp()
            qmp.send(b'{"execute":"query-commands"}{"execute":"query-qm')
            qmp.close()
        qmp = machine.qmp(negotiate=False)
        qmp.error("query-status", kind="CommandNotFound")
        qmp("qmp_capabilities")
        equal(qmp("query-status")["running"], True)
        check(not qmp.events, "events of an earlier time")


def ends():
    with Machine() as machine:
        qmp = machine.qmp()
        equal(qmp("quit"), {})
        equal(qmp.event("SHUTDOWN")["data"], {"guest": False, "reason": "host-qmp-quit"})
        equal(machine.process.wait(20), 0)
        check(not os.path.exists(machine.qmp_path), "the socket was left behind")
    with Machine() as machine:
        qmp = machine.qmp()
        machine.process.send_signal(signal.SIGTERM)
        equal(machine.process.wait(20), 0)
        check(not os.path.exists(machine.qmp_path), "the socket was left behind")
    with Machine() as machine:
        qmp = machine.qmp()
        qmp.send(b'{"execute":"quit"}')
        qmp.close()
        equal(machine.process.wait(20), 0)
    with Machine("-qmp", "unix:/nowhere/qmp,server,nowait", qmp=False,
                 stderr=subprocess.PIPE) as machine:
        text = machine.process.stderr.read().decode()
        machine.process.stderr.close()
        equal(machine.process.wait(20), 1)
        check("/nowhere/qmp" in text and "-qmp" in text, text)


TESTS = [negotiation, requests, pieces, schema, life, keys, guest_ends, pictures, memory, prompt,
         multiplexed, hostile, unread, reconnect, ends]


def main():
    bad = False
    only = os.environ.get("ONLY")
    print(f"1..{len(TESTS)}", flush=True)
    for number, test in enumerate(TESTS, 1):
        if only and test.__name__ != only:
            print(f"ok {number} {test.__name__} # SKIP", flush=True)
            continue
        try:
            test()
            print(f"ok {number} {test.__name__}", flush=True)
        except (AssertionError, OSError, ValueError, subprocess.TimeoutExpired):
            bad = True
            print(f"not ok {number} {test.__name__}")
            for line in traceback.format_exc(limit=-3).splitlines():
                print(f"# {line}", flush=True)
    sys.exit(1 if bad else 0)


main()
