# tests/ui/sway.py - a Wayland desktop without a screen: the sway compositor, its seat, its picture.
# SPDX-License-Identifier: GPL-3.0-or-later
import json
import os
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "guest"))
sys.dont_write_bytecode = True

from harness import Failure                                                 # noqa: E402
from seat import Seat                                                       # noqa: E402
from wayland import Camera                                                  # noqa: E402

CONFIG = """
output HEADLESS-1 resolution {width}x{height} scale {scale}
default_border none
xwayland disable
focus_follows_mouse no
"""


class Sway:
    """One output of width by height device pixels; a window fills it."""

    def __init__(self, width, height, scale=1, config=""):
        self.size = (width, height)
        self.scale = scale
        self.folder = tempfile.TemporaryDirectory(prefix="vitrine-sway-")
        os.chmod(self.folder.name, 0o700)
        path = os.path.join(self.folder.name, "config")
        with open(path, "w", encoding="utf-8") as file:
            file.write(CONFIG.format(width=width, height=height, scale=scale) + config)
        self.log = open(os.path.join(self.folder.name, "log"), "w+", encoding="utf-8")
        self.own = {
            **os.environ,
            "XDG_RUNTIME_DIR": self.folder.name,
            "WLR_BACKENDS": "headless",
            "WLR_LIBINPUT_NO_DEVICES": "1",
            "WLR_RENDERER": "pixman",
        }
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "SWAYSOCK", "I3SOCK"):
            self.own.pop(name, None)
        self.process = subprocess.Popen(["sway", "-c", path], env=self.own, stdout=self.log,
                                        stderr=self.log, stdin=subprocess.DEVNULL)
        display = self.find("wayland-", ".lock")
        self.own["WAYLAND_DISPLAY"] = display
        self.own["SWAYSOCK"] = self.find("sway-ipc.", ".lock")
        self.seat = Seat(display)
        self.camera = Camera(display)
        self.environment = {"GDK_BACKEND": "wayland", "WAYLAND_DISPLAY": display}

    def find(self, beginning, without):
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            for name in os.listdir(self.folder.name):
                if name.startswith(beginning) and not name.endswith(without):
                    return os.path.join(self.folder.name, name)
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.log.seek(0)
        raise Failure(f"sway does not start: {self.log.read()[-1000:]}")

    def tell(self, command):
        """A command of sway(5)."""
        done = subprocess.run(["swaymsg", "--", command], env=self.own, capture_output=True,
                              text=True, timeout=10, check=False)
        if done.returncode:
            raise Failure(f"swaymsg {command}: {done.stdout}{done.stderr}")

    def set_scale(self, scale):
        self.tell(f"output HEADLESS-1 scale {scale}")
        self.scale = scale

    def windows(self):
        """Every window, as sway-ipc(7) describes it."""
        tree = subprocess.run(["swaymsg", "-t", "get_tree"], env=self.own, capture_output=True,
                              text=True, timeout=10, check=True).stdout

        def walk(node):
            if node.get("pid"):
                yield node
            for child in node["nodes"] + node["floating_nodes"]:
                yield from walk(child)
        return list(walk(json.loads(tree)))

    # ---- What every kind of screen can do ----

    def picture(self):
        """What is on the screen now, in device pixels, without the pointer."""
        return self.camera.picture()

    def painted(self):
        return len(set(self.picture().data)) > 1

    def focus(self):
        """The compositor gives the keyboard to a new window by itself."""

    def key(self, *keys):
        self.seat.key(*keys)

    def move(self, x, y):
        """To the middle of a device pixel."""
        unit = 10000 / self.scale
        width, height = (int(side / self.scale) * 10000 for side in self.size)
        self.seat.move(int((x + 0.5) * unit), int((y + 0.5) * unit), width, height)

    def click(self, x, y):
        self.move(x, y)
        time.sleep(0.1)
        self.seat.click()

    def close(self):
        self.seat.close()
        self.camera.close()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.folder.cleanup()
