#!/usr/bin/env python3
# tests/guest/boot_installer.py EMULATOR... - the Debian installer's first questions over serial.
# SPDX-License-Identifier: GPL-3.0-or-later
import assets
from harness import Guest, emulator, run_tests


def language_menu():
    kernel, initrd = assets.installer("text")
    with Guest(emulator(), ["-machine", "q35", "-m", "1024", "-kernel", kernel, "-initrd", initrd,
                            "-append", "console=ttyS0 --- quiet", "-nic", "none"]) as guest:
        guest.expect(r"Select a language", 240)
        guest.expect(r"Language:[^<]* English ", 30)
        guest.send("\r")
        guest.expect(r"Select your location", 60)


run_tests([("the installer asks for the language, then for the location", language_menu)])
