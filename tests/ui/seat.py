# tests/ui/seat.py - a keyboard and a pointer for a Wayland compositor.
# SPDX-License-Identifier: GPL-3.0-or-later
"""By two extensions of wlroots: virtual-keyboard-unstable-v1, with the keymap of a common keyboard
so that hardware keycodes are those of linux/input-event-codes.h, and
wlr-virtual-pointer-unstable-v1."""
import os
import time

from wayland import Connection

KEYMAP = b"""xkb_keymap {
xkb_keycodes { include "evdev+aliases(qwerty)" };
xkb_types { include "complete" };
xkb_compatibility { include "complete" };
xkb_symbols { include "pc+us+inet(evdev)" };
};\0"""

KEYS = {name: code for code, name in enumerate(
    "Reserved Escape 1 2 3 4 5 6 7 8 9 0 minus equal BackSpace Tab q w e r t y u i o p "
    "bracketleft bracketright Return Control_L a s d f g h j k l semicolon apostrophe grave "
    "Shift_L backslash z x c v b n m comma period slash Shift_R KP_Multiply Alt_L space "
    "Caps_Lock F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 Num_Lock Scroll_Lock".split())}
KEYS |= {"F11": 87, "F12": 88, "Control_R": 97, "Alt_R": 100, "Home": 102, "Up": 103, "Left": 105,
         "Right": 106, "End": 107, "Down": 108, "Delete": 111, "Super": 125}
MODIFIERS = {"Shift_L": 1, "Shift_R": 1, "Control_L": 4, "Control_R": 4, "Alt_L": 8, "Super": 64}
LOCKS = {"Caps_Lock": 2, "Num_Lock": 16}
BUTTONS = {1: 0x110, 2: 0x112, 3: 0x111}


class Seat:
    """Presses keys and moves the pointer; a lock key locks, as a real keyboard's does."""

    def __init__(self, path):
        self.wire = Connection(path)
        seat = self.wire.bind("wl_seat")
        keyboards = self.wire.bind("zwp_virtual_keyboard_manager_v1")
        pointers = self.wire.bind("zwlr_virtual_pointer_manager_v1")
        self.keyboard, self.mouse = self.wire.new(), self.wire.new()
        self.wire.send(keyboards, 0, seat, self.keyboard)
        self.wire.send(pointers, 0, seat, self.mouse)
        fd = os.memfd_create("keymap")
        os.write(fd, KEYMAP)
        self.wire.send(self.keyboard, 0, 1, len(KEYMAP), fd=fd)
        os.close(fd)
        self.held = self.locked = 0
        self.wire.sync()

    def now(self):
        return int(time.monotonic() * 1000)

    def press(self, name, down):
        self.wire.send(self.keyboard, 1, self.now(), KEYS[name], int(down))
        self.held = self.held & ~MODIFIERS.get(name, 0) | (MODIFIERS.get(name, 0) if down else 0)
        if down:
            self.locked ^= LOCKS.get(name, 0)
        self.wire.send(self.keyboard, 2, self.held, 0, self.locked, 0)
        self.wire.sync()

    def key(self, *combinations):
        """Each is one key, or several that are held together: "Control_L+Alt_L"."""
        for combination in combinations:
            names = combination.split("+")
            for name in names:
                self.press(name, True)
                time.sleep(0.02)
            for name in reversed(names):
                self.press(name, False)
                time.sleep(0.02)

    def move(self, x, y, width, height):
        """To x/width, y/height of the screen."""
        self.wire.send(self.mouse, 1, self.now(), x, y, width, height)
        self.wire.send(self.mouse, 4)
        self.wire.sync()

    def button(self, number, down):
        self.wire.send(self.mouse, 2, self.now(), BUTTONS[number], int(down))
        self.wire.send(self.mouse, 4)
        self.wire.sync()

    def click(self, number=1):
        self.button(number, True)
        time.sleep(0.05)
        self.button(number, False)

    def close(self):
        self.wire.close()
