#!/usr/bin/env python3
# tests/ui/display.py VITRINE - a guest's screen and keyboard on a Wayland desktop (sway).
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leaves pictures of what was wrong in VITRINE_TEST_OUTPUT."""
import os
import sys
import time

from desktop import Application, enter_session
from harness import Failure, run_tests, work_folder
from picture import read_png
from probe import EV_KEY, EV_LED, Probe
from seat import KEYS
from sway import Sway

COMMAND = sys.argv[1:]
SIZE = (1366, 768)              # of a small laptop's screen: no whole number of logical pixels
SCALES = (2, 1.75, 1.5, 1.25, 1)
BTN_LEFT = 0x110
LED_NUM, LED_CAPS = 0, 1
EDGE = 40                       # device pixels: a floating window has an outline, round corners
FLOATING = (640, 330)           # the window's first size, in logical pixels
CONFIG = """
bindsym --no-repeat Mod4+x exec touch {marker}
for_window [title=".*"] floating enable, resize set width 640 px height 330 px
"""


class Desk:
    """The application in sway, showing the probe; stays for all tests."""

    def __init__(self):
        self.folder = work_folder()
        self.marker = os.path.join(self.folder, "desktop-shortcut")
        self.forget_shortcut()
        self.screen = Sway(*SIZE, 1, CONFIG.format(marker=self.marker))
        self.app = Application(COMMAND, "--start", "Probe", before=self.prepare, screen=self.screen)
        try:
            self.app.stage("first frame", 20)
            self.app.stage("Probe: Running", 20)
            time.sleep(0.5)                     # the guest was asked for one size by now
            self.screen.set_scale(SCALES[0])
            self.probe.expect("READY", 120)
            self.screen.tell("move position 0 0")
            self.frame = self.guest_frame()
        except BaseException:
            self.close()
            raise

    def prepare(self, app):
        self.probe = Probe(app)
        app.describe("probe.json", **self.probe.description())

    def close(self):
        self.app.__exit__(None, None, None)

    def choose(self, item):
        self.app.press("^Machine Menu$")
        self.app.press(item, "menu item")

    def guest_frame(self):
        """The guest's own picture, by the application's screenshot."""
        self.app.wait_for("the guest's picture",
                          lambda: self.painted(self.screen.picture(), SIZE[1] * 3 // 4), 20)
        frame = self.screenshot()
        self.app.expect("label", "^Screenshot saved$")
        self.wait_for_toasts()
        if not self.painted(frame, frame.height - 1):
            raise Failure("the guest's screen is not painted in the screenshot")
        return frame

    def screenshot(self):
        home = self.app.home.name

        def files():
            return [os.path.join(home, name) for name in os.listdir(home) if name.endswith(".png")]
        for path in files():
            os.unlink(path)
        self.choose("^Take Screenshot$")
        path = self.app.wait_for("a screenshot", files, 20)[0]
        return self.app.wait_for("the whole screenshot", lambda: try_read(path), 10)

    def painted(self, picture, at):
        """Noise is of many colours."""
        row = picture.data[at * picture.width * 3:(at + 1) * picture.width * 3]
        return len({row[i:i + 3] for i in range(0, len(row), 3)}) > picture.width / 2

    def wait_for_toasts(self):
        def gone():
            return not self.app.find("label", "^Screenshot saved|^Ctrl.Alt leaves")
        self.app.wait_for("toasts to go", gone, 15)
        time.sleep(0.5)

    # ---- Comparing ----

    def place(self, edge=0):
        """Where the guest's frame stands on the screen; every pixel of it within the edge is
        right."""
        problem = None

        def look():
            nonlocal problem
            self.shot = self.screen.picture()
            found, problem = find_frame(self.shot, self.frame, edge)
            return found
        try:
            return self.app.wait_for("the guest's pixels on the screen", look, 12)
        except Failure as failure:
            self.shot.save_png(os.path.join(self.folder, "display.png"))
            raise Failure(f"{failure}\n{problem}; see display.png") from None

    def forget_shortcut(self):
        if os.path.exists(self.marker):
            os.unlink(self.marker)

    def shortcut_came(self):
        return os.path.exists(self.marker)

    def take_keyboard(self):
        """A click into the guest's screen; the guest does not see it."""
        self.app.click(SIZE[0] // 2, SIZE[1] // 2)
        self.app.expect("label", "^Ctrl.Alt releases")

    def leave(self):
        self.app.key("Control_L+Alt_L")
        self.app.expect("label", "^Running$")

    def pressed(self, name):
        """How often the guest saw a key go down."""
        return self.probe.events().count((EV_KEY, KEYS[name], 1))


def try_read(path):
    try:
        return read_png(path)
    except Exception:               # it is still being written
        return None


def find_frame(shot, frame, edge=0):
    """((x, y), None), or (None, what is wrong)."""
    middle = (frame.height // 2 * frame.width + frame.width // 2) * 3
    at = shot.data.find(frame.data[middle:middle + 48])
    while at >= 0 and at % 3:
        at = shot.data.find(frame.data[middle:middle + 48], at + 1)
    if at < 0:
        return None, "no 16 pixels of its middle are on the screen"
    x = at // 3 % shot.width - frame.width // 2
    y = at // 3 // shot.width - frame.height // 2
    if x < 0 or y < 0 or x + frame.width > shot.width or y + frame.height > shot.height:
        return None, f"it stands at {x}, {y}: not all of it is on the screen"
    size = (frame.width - 2 * edge) * 3
    for row in range(edge, frame.height - edge):
        begin = ((y + row) * shot.width + x + edge) * 3
        wanted = (row * frame.width + edge) * 3
        if shot.data[begin:begin + size] != frame.data[wanted:wanted + size]:
            return None, f"it stands at {x}, {y}, and row {row} differs"
    return (x, y), None


desk = None


def guest_follows():
    """The window floated when the scale became another, so that its logical size stayed: the guest
    takes the device pixels. They are not scaled then."""
    global desk
    desk = Desk()
    desk.screen.move(SIZE[0] // 2, 4)
    desk.place(EDGE)
    print(f"# {desk.frame.width}x{desk.frame.height}")
    if desk.frame.width != FLOATING[0] * SCALES[0] or desk.frame.height < FLOATING[1]:
        raise Failure(f"the guest took {desk.frame.width}x{desk.frame.height}")
    desk.choose("^Original Size$")
    desk.screen.tell("floating disable")        # from here on it fills the screen


def exact_at(scale):
    desk.screen.set_scale(scale)
    desk.screen.move(SIZE[0] // 2, 4)           # in the header
    left, top = desk.place()
    right, bottom = left + desk.frame.width - 1, top + desk.frame.height - 1
    print(f"# exact at {left}, {top}")
    for x, y in ((left, top), (right, top), (left, bottom), (right, bottom),
                 (left + 333, top + 222), (left + 600, top + 401)):
        desk.screen.move(x, y)
        desk.probe.expect_pointer(x - left, y - top, desk.frame.width, desk.frame.height)


def exact():
    for scale in SCALES:
        exact_at(scale)


def is_full(wanted):
    def look():
        return desk.screen.windows()[0]["fullscreen_mode"] == int(wanted)
    desk.app.wait_for("fullscreen" if wanted else "the window again", look, 10)


def exact_in_fullscreen():
    is_full(True)
    desk.screen.move(SIZE[0] // 2, SIZE[1] // 2)
    desk.wait_for_toasts()
    desk.screen.tell("seat * hide_cursor 100")
    try:
        place = desk.place()
    finally:
        desk.screen.tell("seat * hide_cursor 0")
    wanted = tuple((have - need) / 2 for have, need in
                   zip(SIZE, (desk.frame.width, desk.frame.height)))
    if any(abs(a - b) > 1.5 for a, b in zip(place, wanted)):
        raise Failure(f"the guest's screen stands at {place} in fullscreen, not in the middle")
    if desk.app.find("button", "^Leave Fullscreen$"):
        raise Failure("the header bar is there in fullscreen")


def fullscreen():
    desk.screen.set_scale(1.5)
    desk.app.press("^Fullscreen$")
    exact_in_fullscreen()
    desk.app.click(SIZE[0] // 2, SIZE[1] // 2)
    desk.app.key("Control_L+Alt_L")             # the documented way out
    is_full(False)
    desk.app.key("F11")                         # the focus is in the header now
    exact_in_fullscreen()
    desk.app.key("F11")                         # in the guest's screen, but not grabbed
    is_full(False)
    desk.app.press("^Fullscreen$")
    is_full(True)
    desk.screen.move(SIZE[0] // 2, 0)
    desk.app.expect("button", "^Leave Fullscreen$")
    desk.screen.move(SIZE[0] // 2, SIZE[1] // 2)
    desk.app.wait_for("the header bar to go",
                      lambda: not desk.app.find("button", "^Leave Fullscreen$"), 10)
    desk.screen.move(SIZE[0] // 2, 0)
    desk.app.press("^Leave Fullscreen$")
    is_full(False)
    desk.screen.move(SIZE[0] // 2, 4)
    desk.wait_for_toasts()
    desk.place()


def shortcuts_reach_the_guest():
    desk.forget_shortcut()
    desk.probe.forget()
    desk.take_keyboard()
    desk.app.key("Super+x", "Alt_L+Tab")
    for name in ("Super", "x", "Alt_L", "Tab"):
        desk.probe.expect_event(EV_KEY, KEYS[name], 1)
        desk.probe.expect_event(EV_KEY, KEYS[name], 0)
    if any(code == BTN_LEFT for _, code, _ in desk.probe.events()):
        raise Failure("the click that took the keyboard went to the guest")
    desk.app.click(SIZE[0] // 2, SIZE[1] // 2)
    desk.probe.expect_event(EV_KEY, BTN_LEFT, 1)
    desk.probe.expect_event(EV_KEY, BTN_LEFT, 0)
    if desk.shortcut_came():
        raise Failure("the desktop took Super+x while the guest had the keyboard")
    desk.leave()
    desk.app.key("Super+x")
    desk.app.wait_for("the desktop's shortcut", desk.shortcut_came, 10)
    if desk.pressed("x") != 1:
        raise Failure("the guest saw a key after the keyboard was released")


def no_key_stays_down():
    desk.take_keyboard()
    desk.probe.forget()
    for name in ("Super", "a"):
        desk.screen.seat.press(name, True)
        desk.probe.expect_event(EV_KEY, KEYS[name], 1)
    desk.screen.tell("workspace 2")
    for name in ("Super", "a"):
        desk.probe.expect_event(EV_KEY, KEYS[name], 0)
        desk.screen.seat.press(name, False)
    desk.forget_shortcut()
    desk.app.key("Super+x")
    desk.app.wait_for("the desktop's shortcut", desk.shortcut_came, 10)
    desk.forget_shortcut()
    desk.screen.tell("workspace 1")
    desk.app.expect("label", "^Ctrl.Alt releases")
    desk.probe.forget()
    desk.app.key("Super+x")                     # the grab came back with the focus
    desk.probe.expect_event(EV_KEY, KEYS["x"], 0)
    if desk.shortcut_came():
        raise Failure("the desktop took Super+x after the window had the focus again")
    desk.leave()


def expect_presses(caps, num):
    time.sleep(0.6)
    seen = desk.pressed("Caps_Lock"), desk.pressed("Num_Lock")
    if seen != (caps, num):
        raise Failure(f"the guest saw Caps Lock {seen[0]} and Num Lock {seen[1]} times")
    time.sleep(0.6)                             # a guest has a second to light its LED
    desk.probe.forget()


def lock_keys():
    desk.probe.forget()
    desk.app.key("Caps_Lock")                   # the focus is in the header
    desk.take_keyboard()
    desk.probe.expect_event(EV_LED, LED_CAPS, 1)
    expect_presses(1, 0)
    desk.screen.tell("workspace 2")
    desk.app.key("Caps_Lock", "Num_Lock")
    desk.screen.tell("workspace 1")
    desk.probe.expect_event(EV_LED, LED_CAPS, 0)
    desk.probe.expect_event(EV_LED, LED_NUM, 1)
    expect_presses(1, 1)
    desk.app.key("Num_Lock")                    # both sides at once: nothing to correct after it
    desk.probe.expect_event(EV_LED, LED_NUM, 0)
    desk.screen.tell("workspace 2")
    desk.screen.tell("workspace 1")
    expect_presses(0, 1)
    desk.screen.tell("workspace 2")
    desk.app.key("Caps_Lock")
    desk.screen.tell("workspace 1")
    desk.app.key("a")                           # at once: the lock comes before the letter
    desk.probe.expect_event(EV_KEY, KEYS["a"], 0)
    downs = [code for kind, code, value in desk.probe.events() if (kind, value) == (EV_KEY, 1)]
    if downs != [KEYS["Caps_Lock"], KEYS["a"]]:
        raise Failure(f"the guest saw the keys {downs}")


def refused():
    """The compositor keeps its shortcuts: the window says so, once."""
    if desk:
        desk.close()
    screen = Sway(*SIZE, 1, "seat * shortcuts_inhibitor disable\n")

    def prepare(app):
        app.describe("one.json", name="One")
    with Application(COMMAND, "--start", "One", before=prepare, screen=screen) as app:
        app.stage("One: Running", 20)
        app.expect("label", "^Running$")
        app.click(SIZE[0] // 2, SIZE[1] // 2)
        app.expect("label", "The desktop keeps keys like Super")
        app.press("^Got It$")
        app.wait_for("the banner to go", lambda: not app.find("label", "^The desktop keeps"), 10)
        app.key("Control_L+Alt_L")
        app.expect("label", "^Running$")
        app.click(SIZE[0] // 2, SIZE[1] // 2)
        app.expect("label", "^Ctrl.Alt releases")
        time.sleep(1.5)
        if app.find("label", "^The desktop keeps"):
            raise Failure("the window nags")


def on_the_desk(test):
    def run():
        if not desk:
            raise Failure("there is no machine to test with")
        test()
    return run


enter_session()
run_tests([
    ("the guest takes the view's size in device pixels, also of a new scale", guest_follows),
    ("guest pixels are device pixels from 100 % to 200 %, for the pointer too", on_the_desk(exact)),
    ("fullscreen, and three ways out of it", on_the_desk(fullscreen)),
    ("system shortcuts reach the guest until Ctrl+Alt", on_the_desk(shortcuts_reach_the_guest)),
    ("keys are released when the window loses the focus", on_the_desk(no_key_stays_down)),
    ("Caps Lock and Num Lock follow the desktop's", on_the_desk(lock_keys)),
    ("a desktop that keeps its shortcuts is told about once", refused),
])
