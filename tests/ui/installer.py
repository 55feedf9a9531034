#!/usr/bin/env python3
# tests/ui/installer.py VITRINE - the Debian installer in the real window, by key events.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leaves pictures of what it saw in VITRINE_TEST_OUTPUT."""
import json
import os
import sys

from desktop import TOP, Application, enter_session
import assets
from harness import run_tests, work_folder
from picture import glyphs_of_bgf

sys.path.insert(0, os.path.join(TOP, "dev.d"))
ready_machine = __import__("ready-machine")

COMMAND = sys.argv[1:]


def import_description(app):
    kernel, initrd = assets.installer("text")
    disk = os.path.join(app.home.name, "disk.img")
    with open(disk, "wb") as file:
        file.truncate(1 << 30)
    members = ready_machine.description(kernel, initrd, disk)
    members["serials"] = ["file:" + os.path.join(app.home.name, "serial.log")]
    description = os.path.join(app.home.name, "installer.json")
    with open(description, "w", encoding="utf-8") as file:
        json.dump(members, file)
    app.arguments += ["--import", description]


def second_question():
    folder = work_folder()
    glyphs = glyphs_of_bgf(assets.installer_font())

    with Application(COMMAND, before=import_description) as app:
        try:
            app.stage("Debian 13 installer: Running", 30)
            app.expect_text(glyphs, "Select a language", 240)
            print(f"# first question after {app.since_start():.1f} s")
            app.screen.picture().save_png(os.path.join(folder, "installer-language.png"))
            app.focus()
            app.key("Up")
            app.expect_text(glyphs, "Select a language", 10)
            app.key("Down", "Return")
            app.expect_text(glyphs, "Select your location", 120)
            print(f"# second question after {app.since_start():.1f} s")
        finally:
            app.screen.picture().save_png(os.path.join(folder, "installer.png"))


enter_session()
run_tests([("key presses take the installer to its second question", second_question)])
