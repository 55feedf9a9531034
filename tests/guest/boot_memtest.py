#!/usr/bin/env python3
# tests/guest/boot_memtest.py EMULATOR... - memtest86+ boots by BIOS from its ISO; its picture.
# SPDX-License-Identifier: GPL-3.0-or-later
import os
import re
import time

import assets
from harness import Failure, Guest, emulator, run_tests, work_folder
from picture import Picture, glyphs_of


def wait_for_screen(guest, glyphs, done, timeout):
    """Takes pictures until done(lines, picture) holds; returns the last."""
    deadline = time.monotonic() + timeout
    while True:
        picture = Picture(guest.screendump())
        lines = picture.text(glyphs) if picture.width % 80 == 0 and picture.width < 800 else []
        if done(lines):
            return picture, lines
        if time.monotonic() > deadline or guest.process.poll() is not None:
            picture.save_png(os.path.join(work_folder(), "memtest-failed.png"))
            raise Failure("\n".join([f"not on the screen within {timeout} s; it shows "
                                     f"{picture.width}x{picture.height}:", *lines]))
        time.sleep(0.5)


def memtest():
    glyphs = glyphs_of(assets.vga_bios())
    with Guest(emulator(), ["-machine", "q35", "-m", "128", "-cdrom", assets.memtest_iso(),
                            "-boot", "d", "-nic", "none"], qmp=True, serial=False) as guest:
        picture, lines = wait_for_screen(
            guest, glyphs,
            lambda lines: any("Memtest86+" in line for line in lines[:1]) and
            any(re.search(r"Pass +[1-9]\d*%|Test +[1-9]\d*%", line) for line in lines), 120)
        picture.save_png(os.path.join(work_folder(), "memtest.png"))
        text = "\n".join(lines)
        if not re.search(r"Memory *: +1[0-9]{2}MB|12[0-9](\.\d)?MB", text):
            raise Failure("the memory size is not on the screen:\n" + text)
        if "Errors" not in text:
            raise Failure("no error count on the screen:\n" + text)
        colours, area = picture.colours(), picture.width * picture.height
        blue = sum(n for (r, g, b), n in colours.items() if b > 120 and r < 60 and g < 60)
        red = sum(n for (r, g, b), n in colours.items() if r > 120 and g < 60 and b < 60)
        if blue < area * 6 // 10 or red > area // 100:
            raise Failure(f"{blue} blue and {red} red of {area} pixels; the screen of a memory "
                          "without errors is blue:\n" + text)


run_tests([("memtest86+ boots from its ISO, tests memory and shows no error", memtest)])
