#!/usr/bin/env python3
# tests/ui/window.py VITRINE - the real window: library, new machine, errors, names of controls.
# SPDX-License-Identifier: GPL-3.0-or-later
import json
import os
import subprocess
import sys
import time

from desktop import Application, enter_session
import assets
from harness import Failure, run_tests
from picture import glyphs_of

COMMAND = sys.argv[1:]
NAMED_ROLES = ("button", "push button", "toggle button", "check box", "switch", "entry", "text",
               "spin button", "menu item", "radio menu item", "image view", "grid", "link")


def describe(app, file, **members):
    path = app.path("machines", file)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as out:
        json.dump({"schema": 1, **members}, out)


def first_frame():
    with Application(COMMAND) as app:
        seconds = app.stage("first frame", 20)
        print(f"# {seconds:.2f} s from the process's start to the first frame")
        app.expect("heading|label", "No Machines Yet")
        app.wait_for("something on the screen", app.screen.painted, 5)
        if seconds > 4:
            raise Failure(f"the first frame took {seconds} s")
        if app.warnings():
            raise app.trouble("complaints on standard error")


def controls_have_names():
    def prepare(app):
        describe(app, "one.json", name="One")
        describe(app, "two.json", name="Two")
    with Application(COMMAND, before=prepare) as app:
        app.expect("button", "^Two, Off$")
        pages = {"the library": app.walk}
        seen = 0
        for page, walk in pages.items():
            seen += check_names(page, walk())
        app.press("^New Machine$")
        app.expect("button", "^C?reate$")
        seen += check_names("the form", app.walk())
        print(f"# {seen} controls")
        if seen < 12:
            raise Failure(f"only {seen} controls were seen")


def check_names(page, nodes):
    nodes = [(role, name) for role, name, _ in nodes if role in NAMED_ROLES]
    nameless = [role for role, name in nodes if not name.strip()]
    if nameless:
        raise Failure(f"{page} has nameless controls: {', '.join(nameless)}")
    return len(nodes)


def new_machine():
    """From an ISO to a running machine with a disk, by the form's buttons."""
    with Application(COMMAND, assets.memtest_iso()) as app:
        app.expect("label", r"memtest86.*\.iso$")
        app.press("^Create$")
        app.stage("memtest86.x64: Running", 20)
        disk, description = app.path("disks", "memtest86-x64.img"), app.path("machines")
        if os.path.getsize(disk) != 20 << 30 or os.stat(disk).st_blocks * 512 > 1 << 20:
            raise Failure(f"{disk} is no sparse disk of 20 GiB")
        files = os.listdir(description)
        with open(os.path.join(description, files[0]), encoding="utf-8") as file:
            machine = json.load(file)
        if [os.path.basename(d["file"]) for d in machine["drives"]] != [
                os.path.basename(assets.memtest_iso()), os.path.basename(disk)]:
            raise Failure(f"the description names other drives: {machine['drives']}")
        app.press("^Back")
        app.expect("button", "^memtest86.*, Running$")


def cannot_start():
    """A file that is not there: the page says so and offers another try, which works once it is."""
    def prepare(app):
        app.kernel = os.path.join(app.home.name, "no-such-kernel")
        describe(app, "broken.json", name="Broken", kernel=app.kernel)
    with Application(COMMAND, "--start", "Broken", before=prepare) as app:
        app.expect("heading|label", "The Machine Cannot Start")
        app.expect("label", "no-such-kernel")
        os.symlink(assets.kernel(), app.kernel)
        app.press("^Try Again$")
        app.stage("Broken: Running", 20)


def refused_beside_running():
    """Two machines on one disk, more memory than the host has: told, and the first one runs on."""
    def prepare(app):
        disk = os.path.join(app.home.name, "shared.img")
        with open(disk, "wb") as file:
            file.truncate(1 << 20)
        drives = [{"file": disk, "format": "raw", "interface": "virtio"}]
        describe(app, "first.json", name="First", drives=drives)
        describe(app, "second.json", name="Second", drives=drives)
        describe(app, "big.json", name="Big", ram_size=1 << 40)
    with Application(COMMAND, "--start", "First", before=prepare) as app:
        app.stage("First: Running", 20)
        for name, words in (("Second", "shared.img"), ("Big", "memory")):
            subprocess.run([*COMMAND, "--start", name], env=app.environment, check=True, timeout=20)
            app.stage(f"{name}: Off", 20)
            app.expect("heading|label", "The Machine Cannot Start")
            app.expect("label", words)
            app.press("^Back$")
            app.expect("button", "^First, Running$")


def unreadable_description():
    def prepare(app):
        describe(app, "good.json", name="Good")
        describe(app, "odd.json", name="Odd", drivs=[])
    with Application(COMMAND, before=prepare) as app:
        app.expect("button", "^Good, Off$")
        app.expect("label", "1 machine cannot be shown")
        app.press("^Details$")
        app.expect("label", "odd.json.*drivs.*drives")


def unknown_names():
    with Application(COMMAND, "--start", "Nothing") as app:
        if app.process.wait(20) != 1:
            raise app.trouble(f"status {app.process.returncode} for an unknown machine")
        app.reader.join(5)
        if not any("Nothing" in line for line in app.output):
            raise app.trouble("the message does not name the machine")
    with Application(COMMAND, "--import", "/no/such/file.json") as app:
        if app.process.wait(20) != 1:
            raise app.trouble(f"status {app.process.returncode} for a missing file")


def start_and_stop():
    """On and off again and again, two machines at once, and quitting in the middle of it."""
    def prepare(app):
        describe(app, "one.json", name="One", cpu="max")
        describe(app, "two.json", name="Two", machine="pc")
    with Application(COMMAND, "--start", "One", before=prepare) as app:
        app.stage("One: Running", 20)
        for _ in range(5):
            app.press("^Pause$")
            app.expect("label", "^Paused$")
            app.press("^Resume$")
            app.expect("button", "^Pause$")
        subprocess.run([*COMMAND, "--start", "Two"], env=app.environment, check=True, timeout=20)
        app.stage("Two: Running", 20)
        begin = time.monotonic()
        app.process.terminate()
        status = app.process.wait(20)
        if status != 0:
            raise app.trouble(f"status {status} when told to end with two machines on")
        print(f"# {time.monotonic() - begin:.2f} s to switch two machines off and end")


def choose_in_menu(app, number):
    app.press("^Machine Menu$")
    app.expect("menu", "^Machine Menu$")
    time.sleep(1)                   # the menu takes the keyboard once it has come up
    app.key(*["Down"] * number, "Return")


def guest_pixels():
    """In original size one guest pixel is one pixel of the screen, whatever the desktop's scale."""
    glyphs = glyphs_of(assets.vga_bios())
    for scale in (1, 2):
        def prepare(app):
            describe(app, "one.json", name="One")
        with Application(COMMAND, "--start", "One", before=prepare, scale=scale) as app:
            app.stage("One: Running", 20)
            app.focus()
            choose_in_menu(app, 2)                  # past the screenshot and fitting
            app.expect_text(glyphs, "SeaBIOS", 20)
            choose_in_menu(app, 3)
            app.wait_for("the picture at twice its size",
                         lambda: not app.screen.picture().find_text(glyphs, "SeaBIOS"), 10)


enter_session()
run_tests([
    ("the window opens", first_frame),
    ("controls have names", controls_have_names),
    ("the form makes a machine and a disk, and starts it", new_machine),
    ("a machine that cannot start says why and can be tried again", cannot_start),
    ("a machine that is refused leaves others running", refused_beside_running),
    ("an unreadable description is reported, the others are there", unreadable_description),
    ("guest pixels are screen pixels", guest_pixels),
    ("unknown names on the command line end with status 1", unknown_names),
    ("machines pause, resume, run side by side and end with the application", start_and_stop),
])
