# tests/block/qmp.py - a program with a QMP monitor on its standard streams
# SPDX-License-Identifier: GPL-3.0-or-later
import json
import os
import subprocess
import threading

from nbd_common import check

PATIENCE = 60
# An answer or event that its table does not describe ends the program.
os.environ.setdefault("G_DEBUG", "fatal-criticals")


class Qmp:
    """A storage daemon, or a machine."""

    def __init__(self, program, *options):
        daemon = os.path.basename(program).endswith("storage-daemon")
        monitor = ["--chardev", "stdio,id=monitor", "--monitor", "monitor"] if daemon else [
            "-qmp", "stdio"]
        self.process = subprocess.Popen([program, *monitor, *options], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.events = []
        self.greeting = self.read()
        self("qmp_capabilities")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.terminate()
        try:
            check(self.process.wait(30) == 0, f"exit {self.process.returncode}")
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self.process.stdout.close()

    def read(self):
        timer = threading.Timer(PATIENCE, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        check(line, "the daemon has ended")
        return json.loads(line)

    def send(self, command, arguments=None):
        self.process.stdin.write(json.dumps({"execute": command,
                                             "arguments": arguments or {}}) + "\n")
        self.process.stdin.flush()

    def __call__(self, command, arguments=None, **more):
        """The answer: what "return" or "error" holds."""
        self.send(command, dict(arguments or {}) | {k.replace("_", "-"): v
                                                    for k, v in more.items()})
        while True:
            answer = self.read()
            if "event" in answer:
                self.events.append(answer)
                continue
            return answer["return"] if "return" in answer else answer["error"]

    def good(self, command, arguments=None, **more):
        answer = self(command, arguments, **more)
        check(not (isinstance(answer, dict) and "class" in answer), f"{command}: {answer}")
        return answer

    def wait(self, name, **data):
        """The first event of that name and data that has not been waited for."""
        while True:
            for event in self.events:
                if event["event"] == name and all(event.get("data", {}).get(k) == v
                                                  for k, v in data.items()):
                    self.events.remove(event)
                    return event.get("data", {})
            answer = self.read()
            check("event" in answer, answer)
            self.events.append(answer)

    def gone(self, job):
        data = self.wait("BLOCK_JOB_COMPLETED", device=job)
        self.wait("JOB_STATUS_CHANGE", id=job, status="null")
        return data

    def add(self, node, path, form="qcow2", **more):
        self.good("blockdev-add", driver=form, node_name=node,
                  file={"driver": "file", "filename": path}, **more)

    def export(self, folder, node, writable=True):
        path = folder("nbd-" + node)
        self.good("nbd-server-start", addr={"type": "unix", "data": {"path": path}})
        self.good("block-export-add", type="nbd", id="export-" + node, node_name=node, name=node,
                  writable=writable)
        return f"nbd+unix:///{node}?socket={path}"
