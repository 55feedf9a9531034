#!/usr/bin/env python3
# dev.d/run-virtual.py APPLICATION ARGUMENT... - runs the application where there is no display.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts an X server without a screen and the application on it, says each stage as it is reached,
writes build/screenshot.png once the installer's first question is in the window, and ends."""
import os
import re
import signal
import subprocess
import sys
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(TOP, "tests", "guest"))

import assets                                                               # noqa: E402
from framebuffer import FrameBuffer                                         # noqa: E402
from picture import glyphs_of_bgf                                           # noqa: E402

LIMIT = 300     # seconds until the installer must have asked its first question
SCREENSHOT = os.path.join(TOP, "build", "screenshot.png")
SERIAL_LOG = os.path.join(TOP, "build", "serial.log")
SERIAL_STAGES = [
    (b"Linux version", "the guest's kernel runs"),
    (b"as init process", "the guest's kernel starts the installer"),
]
APPLICATION_STAGE = re.compile(r"^\[ *[0-9.]+ s\] (.*)")
START = time.monotonic()


def stage(text):
    print(f"[{time.monotonic() - START:6.1f} s] {text}", flush=True)


def shows_installer(picture, glyphs):
    """The installer's first question: its title, or, when the view is scaled and text cannot be
    read, a grey dialog on blue."""
    if picture.find_text(glyphs, "Select a language"):
        return True
    colours, area = picture.colours(), picture.width * picture.height
    return (colours.get(b"\xaa\xaa\xaa", 0) > area * 0.15 and
            colours.get(b"\x00\x00\xaa", 0) > area * 0.01)


def relay(pipe):
    """Says the application's stages on our clock, and whatever else it prints."""
    for line in pipe:
        line = line.rstrip("\n")
        if match := APPLICATION_STAGE.match(line):
            stage(match[1])
        elif line and not line.startswith("dbus-daemon["):
            print("  | " + line, flush=True)


class SerialLog:
    """Says what the guest's serial port tells about its progress."""

    def __init__(self):
        self.left = list(SERIAL_STAGES)
        if os.path.exists(SERIAL_LOG):
            os.unlink(SERIAL_LOG)

    def look(self):
        if not self.left or not os.path.exists(SERIAL_LOG):
            return
        with open(SERIAL_LOG, "rb") as file:
            text = file.read()
        while self.left and self.left[0][0] in text:
            stage(self.left.pop(0)[1])


def start_application(command, screen):
    environment = {
        **os.environ,
        "DISPLAY": screen.display,
        "GDK_BACKEND": "x11",
        "GSETTINGS_BACKEND": "memory",
        "GTK_A11Y": "none",                 # no screen reader watches a virtual display
    }
    environment.pop("WAYLAND_DISPLAY", None)
    if "DBUS_SESSION_BUS_ADDRESS" not in environment:
        command = ["dbus-run-session", "--", *command]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               errors="replace", start_new_session=True)
    threading.Thread(target=relay, args=(process.stdout,), daemon=True).start()
    return process


def wait_for_installer(process, screen):
    """0 when the installer has asked its first question, else 1."""
    glyphs, log, looked = glyphs_of_bgf(assets.installer_font()), SerialLog(), 0
    while process.poll() is None and time.monotonic() - START < LIMIT:
        time.sleep(0.1)
        log.look()
        if time.monotonic() - looked > 1 and screen.painted():
            looked = time.monotonic()
            if shows_installer(screen.picture(), glyphs):
                stage("the installer asks its first question")
                time.sleep(0.5)
                return 0
    if process.poll() is not None:
        stage(f"the application ended with status {process.returncode}")
    else:
        stage(f"the installer has not asked its first question in {LIMIT} s")
    return 1


def end(process):
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def main(command):
    screen = FrameBuffer(1060, 760)         # of the window's size, so that it fills the picture
    stage(f"no display: using a virtual one, {screen.display}, {screen.width}x{screen.height}")
    process, status = start_application(command, screen), 1
    try:
        status = wait_for_installer(process, screen)
        screen.picture().save_png(SCREENSHOT)
        stage(f"screenshot: {os.path.relpath(SCREENSHOT)}")
    except KeyboardInterrupt:
        status = 130
    finally:
        end(process)
        screen.close()
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
