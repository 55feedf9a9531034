#!/usr/bin/env python3
# tests/ui/window.py VITRINE - the real window: library, new machine, errors, names of controls.
# SPDX-License-Identifier: GPL-3.0-or-later
import json
import os
import subprocess
import sys
import tempfile
import time

from desktop import Application, XScreen, enter_session
import assets
from harness import Failure, run_tests
from picture import glyphs_of

COMMAND = sys.argv[1:]
INTERACTIVE = ("button", "push button", "toggle button", "check box", "switch", "entry", "text",
               "spin button", "menu", "menu item", "check menu item", "radio menu item", "link",
               "grid", "slider", "combo box", "list item", "page tab")
CONTAINERS = ("frame", "scroll pane", "panel", "grouping", "list", "viewport")


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


def controls(app):
    """(role, name, node) of what can be operated by keyboard or pointer."""
    from gi.repository import Atspi
    for role, name, node in app.walk():
        focusable = node.get_state_set().contains(Atspi.StateType.FOCUSABLE)
        if role in INTERACTIVE or (focusable and role not in CONTAINERS):
            yield role, name, node


def where(node):
    names = []
    while node := node.get_parent():
        names.append(node.get_name() or node.get_role_name())
    return " < ".join(names)


def nameless(page, app):
    """Fails for a control without a name; returns how many have one."""
    def without():
        return [(role, node) for role, name, node in controls(app) if not name.strip()]
    if without():
        time.sleep(1)           # it may be on its way in or out
        for role, node in without():
            raise Failure(f"{page} has a {role} without a name, in {where(node)}")
    return len(list(controls(app)))


def check_menu(app, button, item):
    app.press(f"^{button}$")
    app.expect("menu item", item)
    seen = nameless(f"the menu “{button}”", app)
    app.key("Escape")
    app.wait_for("the menu to close", lambda: not app.find("menu item", item), 10)
    return seen


def check_dialog(app, item, heading):
    """A dialog that an item of the open page's menu asks with."""
    app.press("^Machine Menu$")
    app.press(item, "menu item")
    app.expect("label|heading", heading)
    seen = nameless(f"the dialog “{heading}”", app)
    app.press("^Cancel$")
    app.wait_for("the dialog to close", lambda: not app.find("label|heading", heading), 10)
    return seen


def controls_have_names():
    """Every page, menu and dialog."""
    def prepare(app):
        app.describe("one.json", name="One")
        app.describe("two.json", name="Two", kernel="/no/such/kernel")
        app.describe("odd.json", name="Odd", drivs=[])
    with Application(COMMAND, before=prepare) as app:
        app.expect("button", "^Two, Off$")
        app.focus()
        counts = [nameless("the library", app),
                  check_menu(app, "Main Menu", "^About Vitrine$")]
        app.press("^Main Menu$")
        app.press("^About Vitrine$", "menu item")
        app.expect("label", "^The Vitrine developers$")
        counts.append(nameless("About Vitrine", app))
        app.key("Escape")
        app.press("^Details$")
        app.expect("label|heading", "^Unreadable Descriptions$")
        counts.append(nameless("the unreadable descriptions", app))
        app.press("^Close$")
        app.press("^New Machine$")
        app.expect("button", "^C?reate$")
        counts.append(nameless("the form", app))
        app.press("^Cancel$")
        app.press("^Two, Off$")
        app.expect("label|heading", "^The Machine Cannot Start$")
        counts.append(nameless("a machine that cannot start", app))
        app.press("^Back$")
        app.press("^One, Off$")
        app.stage("One: Running", 20)
        counts.append(nameless("a running machine", app))
        counts.append(check_menu(app, "Machine Menu", "^Take Screenshot$"))
        counts.append(check_menu(app, "Send Keys", "^Super$"))
        counts.append(check_dialog(app, "^Reset$", r"^Reset\?$"))
        counts.append(check_dialog(app, "^Power Off$", r"^Power Off\?$"))
        print(f"# controls: {counts}")
        if min(counts) < 3 or sum(counts) < 70:
            raise Failure(f"only {counts} controls were seen")


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


def new_machine_from_disk():
    """A disk of another format: the form says what it is, and the machine is given it as such."""
    with tempfile.TemporaryDirectory() as folder:
        disk = os.path.join(folder, "server.qcow2")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "3G"], check=True)
        with Application(COMMAND, disk) as app:
            app.expect("label", r"server\.qcow2\nqcow2, 3.0.GiB$")
            if app.find("label", "^Create a Disk$"):
                raise Failure("the form offers another disk")
            app.press("^Create$")
            app.stage("server: Running", 20)
            description = app.path("machines")
            with open(os.path.join(description, os.listdir(description)[0]),
                      encoding="utf-8") as file:
                drives = json.load(file)["drives"]
            if [(d["file"], d["format"]) for d in drives] != [(disk, "qcow2")]:
                raise Failure(f"the description has the drives {drives}")
        with open(disk, "r+b") as file:
            file.seek(4)
            file.write(bytes([0, 0, 0, 99]))        # of a version that nobody has written
        with Application(COMMAND, disk) as app:
            app.expect("label|heading", "^The Image Cannot Be Used$")
            app.expect("label", "server.qcow2.*99")


def cannot_start():
    """A file that is not there: the page says so and offers another try, which works once it is."""
    def prepare(app):
        app.kernel = os.path.join(app.home.name, "no-such-kernel")
        app.describe("broken.json", name="Broken", kernel=app.kernel)
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
        app.describe("first.json", name="First", drives=drives)
        app.describe("second.json", name="Second", drives=drives)
        app.describe("big.json", name="Big", ram_size=1 << 40)
    with Application(COMMAND, "--start", "First", before=prepare) as app:
        app.stage("First: Running", 20)
        for name, words in (("Second", "shared.img"), ("Big", "memory")):
            subprocess.run([*COMMAND, "--start", name], env=app.environment, check=True, timeout=20)
            app.stage(f"{name}: Off", 20)
            app.expect("heading|label", "The Machine Cannot Start")
            app.expect("label", words)
            app.press("^Back$")
            app.expect("button", "^First, Running$")


def host_full():
    """The host's disk is full while the guest writes: the window says so and what to do, and after
    that the guest goes on as if nothing had been."""
    def prepare(app):
        def path(name):
            return os.path.join(app.home.name, name)
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path("data.qcow2"), "64M"],
                       check=True)
        with open(path("rules"), "w", encoding="ascii") as file:
            file.write('[inject-error]\nevent = "write_aio"\nerrno = "28"\nonce = "on"\n')
        command = "dd if=/dev/zero of=/dev/vda bs=64k count=4 conv=fsync && poweroff -f"
        app.describe("writer.json", name="Writer", kernel=assets.kernel(), cmdline="panic=-1",
                     initrd=assets.shell_initramfs(path("writer.gz"), ("virtio_blk",), command),
                     drives=[{"file": f"blkdebug:{path('rules')}:{path('data.qcow2')}",
                              "format": "qcow2", "interface": "virtio"}])
    with Application(COMMAND, "--start", "Writer", before=prepare) as app:
        app.expect("heading|label", "^The Machine Is Paused$", 90)
        app.expect("label", "data.qcow2.*[Nn]o space left")
        app.press("^Resume$")
        app.expect("label", "^It stopped by itself: the guest powered off", 60)


def unreadable_description():
    def prepare(app):
        app.describe("good.json", name="Good")
        app.describe("odd.json", name="Odd", drivs=[])
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


def translated():
    """With a tiny translation the window, the engine's errors and its reasons speak it."""
    texts = {"": "Content-Type: text/plain; charset=UTF-8\\n",
             "The Machine Cannot Start": "⟦Maschine steht⟧",
             "-m: at most 1T of memory is supported": "⟦-m: höchstens 1T⟧",
             "“%s”: Image is not in qcow2 format": "⟦“%s” ist kein qcow2⟧",
             "the guest powered off": "⟦Gast ist aus⟧",
             "It stopped by itself: %s.": "⟦Ende⟧ %s"}

    def prepare(app):
        # a language of our own, for none need be installed and "C" is never translated
        locales = os.path.join(app.home.name, "locales")
        os.makedirs(locales)
        os.symlink("/usr/lib/locale/C.utf8", os.path.join(locales, "xx_XX.utf8"))
        folder = os.path.join(app.home.name, "locale", "xx", "LC_MESSAGES")
        os.makedirs(folder)
        source = "".join(f'msgid "{a}"\nmsgstr "{b}"\n\n' for a, b in texts.items())
        subprocess.run(["msgfmt", "-", "-o", os.path.join(folder, "vitrine.mo")], input=source,
                       text=True, check=True)
        app.environment |= {"VITRINE_LOCALEDIR": os.path.join(app.home.name, "locale"),
                            "LOCPATH": locales, "LC_ALL": "xx_XX.UTF-8"}
        app.describe("big.json", name="Big", ram_size=2 << 40)
        torn = os.path.join(app.home.name, "torn.qcow2")
        with open(torn, "wb") as file:
            file.truncate(1 << 20)
        app.describe("torn.json", name="Torn",
                     drives=[{"file": torn, "format": "qcow2", "interface": "virtio"}])
        app.describe("brief.json", name="Brief", kernel=assets.kernel(), cmdline="panic=-1",
                     initrd=assets.tiny_initramfs(os.path.join(app.home.name, "tiny.cpio.gz")))
    with Application(COMMAND, before=prepare) as app:
        app.press("^Big, ")
        app.expect("heading|label", "^⟦Maschine steht⟧$")
        app.expect("label", "^⟦-m: höchstens 1T⟧$")
        app.press("^Back$")
        app.press("^Torn, ")
        app.expect("label", "⟦“[^”]*torn.qcow2” ist kein qcow2⟧")
        app.press("^Back$")
        app.press("^Brief, ")
        app.expect("label", "^⟦Ende⟧ ⟦Gast ist aus⟧$", 60)


def start_and_stop():
    """On and off again and again, two machines at once, and quitting in the middle of it."""
    def prepare(app):
        app.describe("one.json", name="One", cpu="max")
        app.describe("two.json", name="Two", machine="pc")
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


def choose_in_menu(app, item):
    app.press("^Machine Menu$")
    app.press(item, "menu item")


def guest_pixels():
    """In original size one guest pixel is one pixel of the screen, whatever the desktop's scale."""
    glyphs = glyphs_of(assets.vga_bios())
    for scale in (1, 2):
        def prepare(app):
            app.describe("one.json", name="One")
        with Application(COMMAND, "--start", "One", before=prepare,
                         screen=XScreen(scale)) as app:
            app.stage("One: Running", 20)
            app.focus()
            choose_in_menu(app, "^Original Size$")
            app.expect_text(glyphs, "SeaBIOS", 20)
            choose_in_menu(app, "^Double Size$")
            app.wait_for("the picture at twice its size",
                         lambda: not app.screen.picture().find_text(glyphs, "SeaBIOS"), 10)


enter_session()
run_tests([
    ("the window opens", first_frame),
    ("controls have names", controls_have_names),
    ("the form makes a machine and a disk, and starts it", new_machine),
    ("the form takes a disk of any format", new_machine_from_disk),
    ("a machine that cannot start says why and can be tried again", cannot_start),
    ("a machine that is refused leaves others running", refused_beside_running),
    ("a full host pauses the machine, which can be resumed", host_full),
    ("an unreadable description is reported, the others are there", unreadable_description),
    ("errors and reasons from the engine are translated", translated),
    ("guest pixels are screen pixels", guest_pixels),
    ("unknown names on the command line end with status 1", unknown_names),
    ("machines pause, resume, run side by side and end with the application", start_and_stop),
])
