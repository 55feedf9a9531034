#!/usr/bin/env python3
# dev.d/run-virtual.py APPLICATION ARGUMENT... - runs the application where there is no display.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts an X server without a screen and the application on it, says each stage as it is reached,
writes build/screenshot.png once the installer's first question is in the window, and ends."""
import os
import signal
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(TOP, "tests", "guest"))

import assets                                                               # noqa: E402
from framebuffer import FrameBuffer                                         # noqa: E402
from picture import glyphs_of_bgf                                           # noqa: E402

LIMIT = 300     # seconds until the installer must have asked its first question
SCREENSHOT = os.path.join(TOP, "build", "screenshot.png")


def shows_installer(picture, glyphs):
    """The installer's first question: its title, or, when the view is scaled and text cannot be
    read, a grey dialog on blue."""
    if picture.find_text(glyphs, "Select a language"):
        return True
    colours, area = picture.colours(), picture.width * picture.height
    return (colours.get(b"\xaa\xaa\xaa", 0) > area * 0.15 and
            colours.get(b"\x00\x00\xaa", 0) > area * 0.01)


def main(command):
    start = time.monotonic()

    def stage(text):
        print(f"[{time.monotonic() - start:6.1f} s] {text}", flush=True)

    glyphs = glyphs_of_bgf(assets.installer_font())
    screen = FrameBuffer(1440, 1000)
    stage(f"no display: using a virtual one, {screen.display}, {screen.width}x{screen.height}")
    environment = {**os.environ, "DISPLAY": screen.display, "GDK_BACKEND": "x11"}
    if "DBUS_SESSION_BUS_ADDRESS" not in environment:
        command = ["dbus-run-session", "--", *command]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL,
                               start_new_session=True)
    status = 1
    try:
        window = False
        while process.poll() is None and time.monotonic() - start < LIMIT:
            time.sleep(0.1 if not window else 1)
            if not window and screen.painted():
                window = True
                stage("the window is on the screen")
            elif window and shows_installer(screen.picture(), glyphs):
                stage("the installer asks its first question")
                time.sleep(1)
                status = 0
                break
        if process.poll() is not None:
            stage(f"the application ended with status {process.returncode}")
        elif status:
            stage(f"the installer has not asked its first question in {LIMIT} s")
        screen.picture().save_png(SCREENSHOT)
        stage(f"screenshot: {os.path.relpath(SCREENSHOT)}")
    except KeyboardInterrupt:
        status = 130
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        screen.close()
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
