# tests/ui/desktop.py - a desktop of our own: X server, session bus, folders, and eyes on it.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Windows are driven as a person would: real key and pointer events come from the X server or the
Wayland compositor (sway.py), the accessibility bus tells what a screen reader would say, and
pictures are what is on the screen."""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "guest"))
sys.dont_write_bytecode = True

from framebuffer import FrameBuffer                                         # noqa: E402
from harness import Failure                                                 # noqa: E402

WINDOW = (1060, 760)        # the application's first size: it fills the screen
STAGE = re.compile(r"^\[ *([0-9.]+) s\] (.*)")


def enter_session():
    """Runs this script again with a session bus of its own, unless it has been."""
    if os.environ.get("VITRINE_UI_SESSION") != str(os.getppid()):
        os.environ.pop("DBUS_SESSION_BUS_ADDRESS", None)
        # the accessibility bus has its socket there: two runs at once must not share it
        runtime = tempfile.TemporaryDirectory(prefix="vitrine-ui-run-")
        os.environ["XDG_RUNTIME_DIR"] = runtime.name
        results = os.dup(sys.stdout.fileno())       # not for what the bus starts
        process = subprocess.Popen(["dbus-run-session", "--", "sh", "-c",
                                    f'VITRINE_UI_SESSION=$$ "$@" >&{results}', "sh", sys.executable,
                                    *sys.argv],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                   pass_fds=[results])
        for line in process.stderr:
            if not line.startswith("dbus-daemon["):
                sys.stderr.write(line)
        status = process.wait()
        runtime.cleanup()
        sys.exit(status)


class XScreen(FrameBuffer):
    """An X server, with xdotool for hands. There is no window manager: a window fills the screen
    and gets the keyboard by focus()."""

    def __init__(self, scale=1):
        self.size = [side * scale for side in WINDOW]
        super().__init__(*self.size)
        self.environment = {"DISPLAY": self.display, "GDK_BACKEND": "x11", "GDK_SCALE": str(scale)}

    def xdotool(self, *arguments):
        done = subprocess.run(["xdotool", *map(str, arguments)],
                              env={**os.environ, **self.environment},
                              capture_output=True, text=True, check=False)
        return done.stdout.split()

    def window(self):
        for number in reversed(self.xdotool("search", "--onlyvisible", "--name", "")):
            size = " ".join(self.xdotool("getwindowgeometry", number))
            ours = f"{self.size[0]}x{self.size[1]}" in size
            if ours and self.xdotool("getwindowpid", number):
                return number
        return None

    def focus(self):
        deadline = time.monotonic() + 20
        while not (window := self.window()):
            if time.monotonic() > deadline:
                raise Failure("no window to give the keyboard to")
            time.sleep(0.1)
        self.xdotool("windowfocus", "--sync", window)

    def key(self, *keys):
        self.xdotool("key", "--delay", "50", *keys)

    def click(self, x, y):
        self.xdotool("mousemove", x, y)
        time.sleep(0.1)
        self.xdotool("click", 1)


class Application:
    """The running application on a screen of its own, with empty user folders."""

    def __init__(self, command, *arguments, before=None, screen=None, environment=None):
        self.home = tempfile.TemporaryDirectory(prefix="vitrine-ui-")
        self.screen = screen or XScreen()
        self.environment = {
            **os.environ,
            "GSETTINGS_BACKEND": "memory",
            "HOME": self.home.name,
            "LC_ALL": "C.UTF-8",
            "XDG_CACHE_HOME": self.home.name + "/cache",
            "XDG_CONFIG_HOME": self.home.name + "/config",
            "XDG_DATA_HOME": self.home.name + "/data",
        }
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "GTK_A11Y"):
            self.environment.pop(name, None)
        self.environment |= self.screen.environment | (environment or {})
        # the accessibility library looks there
        os.environ["DISPLAY"] = self.screen.environment.get("DISPLAY", "")
        self.arguments = list(arguments)
        if before:
            before(self)
        self.started = time.monotonic()
        self.output = []
        self.process = subprocess.Popen(
            [*command, "--stages", *self.arguments], env=self.environment, text=True,
            errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.screen.close()
        self.home.cleanup()

    def read(self):
        for line in self.process.stdout:
            self.output.append(line.rstrip("\n"))

    def since_start(self):
        return time.monotonic() - self.started

    def path(self, *parts):
        return os.path.join(self.home.name, "data", "vitrine", *parts)

    def describe(self, file, **members):
        """Puts a machine's description into the library."""
        path = self.path("machines", file)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as out:
            json.dump({"schema": 1, **members}, out)

    def trouble(self, what):
        return Failure("\n".join([what, *("  | " + line for line in self.output[-25:])]))

    def wait_for(self, what, condition, timeout):
        """The condition's first true result."""
        deadline = time.monotonic() + timeout
        while not (result := condition()):
            if self.process.poll() is not None and not (result := condition()):
                raise self.trouble(f"the application ended (status {self.process.returncode}) "
                                   f"before {what}")
            if time.monotonic() > deadline:
                raise self.trouble(f"not within {timeout} s: {what}")
            time.sleep(0.1)
        return result

    def stage(self, pattern, timeout):
        """Waits for a line of --stages; returns its time in seconds."""
        def find():
            for line in list(self.output):
                match = STAGE.match(line)
                if match and re.search(pattern, match[2]):
                    return match[1]
            return None
        return float(self.wait_for(f"the stage {pattern!r}", find, timeout))

    def warnings(self):
        """What GLib, GTK and the application have complained about."""
        return [line for line in self.output if re.search(r"-(WARNING|CRITICAL|ERROR) \*\*", line)]

    # ---- Keys and pointer ----

    def focus(self):
        """Gives the window the keyboard, as a window manager would."""
        self.screen.focus()

    def key(self, *keys):
        self.screen.key(*keys)

    def click(self, x, y):
        self.screen.click(x, y)

    # ---- What a screen reader sees ----

    def accessible(self):
        import gi
        gi.require_version("Atspi", "2.0")
        from gi.repository import Atspi
        desktop = Atspi.get_desktop(0)
        for i in range(desktop.get_child_count()):
            child = desktop.get_child_at_index(i)
            if child and child.get_process_id() == self.process.pid:
                return child
        return None

    def walk(self, node=None):
        """Every accessible that is showing, parents first."""
        import gi
        gi.require_version("Atspi", "2.0")
        from gi.repository import Atspi, GLib
        node = node or self.accessible()
        if not node:
            return
        try:
            node.clear_cache()
            states = node.get_state_set()
            role = node.get_role_name()
            if role != "application" and not states.contains(Atspi.StateType.SHOWING):
                return
            yield role, node.get_name() or "", node
            children = [node.get_child_at_index(i) for i in range(node.get_child_count())]
        except GLib.Error:      # it went away while we looked
            return
        for child in children:
            if child:
                yield from self.walk(child)

    def find(self, role, name):
        for found_role, found_name, node in self.walk():
            if re.fullmatch(role, found_role) and re.search(name, found_name):
                return node
        return None

    def expect(self, role, name, timeout=15):
        return self.wait_for(f"a {role} {name!r} in the window", lambda: self.find(role, name),
                             timeout)

    def press(self, name, role="button|push button|toggle button"):
        """Does what a click does. A menu's button keeps its action in a button within."""
        node = self.expect(role, name)
        for _, _, inner in self.walk(node):
            if inner.get_n_actions():
                inner.do_action(0)
                return
        raise self.trouble(f"{name!r} takes no action")

    # ---- Pictures ----

    def expect_text(self, glyphs, text, timeout):
        """Waits until console text is in the window, unscaled; returns the picture."""
        def look():
            picture = self.screen.picture()
            time.sleep(0.4)
            return picture if picture.find_text(glyphs, text) else None
        return self.wait_for(f"{text!r} on the screen", look, timeout)
