# tests/ui/probe.py - a machine whose guest paints noise and reports its input; see probe.c.
# SPDX-License-Identifier: GPL-3.0-or-later
import os
import re
import subprocess
import tempfile

import assets
from harness import Failure

MODULES = ("virtio_gpu", "virtio_input", "evdev")
EV_KEY, EV_REL, EV_ABS, EV_LED = 1, 2, 3, 17
ABS_X, ABS_Y, ABS_MAX = 0, 1, 32767


def initramfs():
    """Its path; made once for each version of the program."""
    folder = os.environ.get("VITRINE_TEST_OUTPUT") or tempfile.gettempdir()
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "probe.c")
    path = os.path.join(folder, "probe.cpio.gz")
    newest = max(map(os.path.getmtime, (source, __file__, assets.kernel())))
    if os.path.exists(path) and os.path.getmtime(path) > newest:
        return path
    os.makedirs(folder, exist_ok=True)
    program = f"{path}.init"
    subprocess.run(["gcc", "-std=gnu23", "-Wall", "-Werror", "-Os", "-static", "-s", source, "-o",
                    program], check=True)
    archive = assets.Cpio()
    archive.console()
    with open(program, "rb") as file:
        archive.file("init", file.read(), 0o755)
    assets.add_modules(archive, MODULES)
    return archive.write(path)


class Probe:
    """What the guest has said on its serial port."""

    def __init__(self, app, name="Probe"):
        self.app = app
        self.name = name
        self.log = os.path.join(app.home.name, "probe.log")
        self.seen = 0           # lines that forget() has passed over

    def description(self):
        return {"name": self.name, "kernel": assets.kernel(), "initrd": initramfs(),
                "ram_size": 512 << 20, "vga": "virtio", "input_defaults": True,
                "cmdline": "console=ttyS0 quiet panic=-1 vt.global_cursor_default=0",
                "serials": ["file:" + self.log]}

    def lines(self):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as file:
                return file.read().splitlines()[self.seen:]
        except FileNotFoundError:
            return []

    def forget(self):
        self.seen += len(self.lines())

    def events(self):
        """(type, code, value) of what came since forget()."""
        found = (re.fullmatch(r"EV (\d+) (\d+) (-?\d+)", line) for line in self.lines())
        return [tuple(map(int, match.groups())) for match in found if match]

    def expect(self, pattern, timeout):
        """Waits for a line; returns the match."""
        def look():
            return next(filter(None, (re.search(pattern, line) for line in self.lines())), None)
        try:
            return self.app.wait_for(f"{pattern!r} from the guest", look, timeout)
        except Exception:
            print("\n".join("#   " + line for line in self.lines()[-20:]))
            raise

    def expect_event(self, kind, code, value, timeout=10):
        self.app.wait_for(f"event {kind} {code} {value} in the guest",
                          lambda: (kind, code, value) in self.events(), timeout)

    def expect_pointer(self, x, y, width, height, timeout=5):
        """Waits until the guest, whose screen has that size, believes the pointer at x, y."""
        at = None

        def look():
            nonlocal at
            last = {ABS_X: 0, ABS_Y: 0}         # where it is before the first event
            last |= {code: value for kind, code, value in self.events() if kind == EV_ABS}
            at = (last[ABS_X] * width // (ABS_MAX + 1), last[ABS_Y] * height // (ABS_MAX + 1))
            return at == (x, y)
        try:
            self.app.wait_for("the pointer", look, timeout)
        except Failure:
            raise Failure(f"the pointer at {x}, {y} of the guest's screen is told to be at "
                          f"{at[0]}, {at[1]}") from None
