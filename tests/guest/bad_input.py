#!/usr/bin/env python3
# tests/guest/bad_input.py EMULATOR... - bad input is refused by name, with status 1.
# SPDX-License-Identifier: GPL-3.0-or-later
import os
import re
import shutil
import subprocess
import tempfile

import assets
from harness import Failure, Guest, emulator, run_tests

folder = tempfile.mkdtemp(prefix="vitrine-bad-")


def make(name, data):
    path = os.path.join(folder, name)
    with open(path, "wb") as file:
        file.write(data)
    return path


def head_of(path, size):
    with open(path, "rb") as file:
        return file.read(size)


def refused(args, *words, prefix=()):
    """Runs the emulator; it must end by itself with status 1 and say all words, in few lines."""
    before = set(os.listdir(folder))
    try:
        done = subprocess.run([*prefix, *emulator(), "-display", "none", *args],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=20,
                              check=False)
    except subprocess.TimeoutExpired:
        raise Failure(f"{args} was accepted: the machine runs") from None
    said = done.stderr.decode("utf-8", "replace")
    if done.returncode != 1:
        raise Failure(f"{args} gave status {done.returncode}, not 1:\n{said[-1000:]}")
    for word in words:
        if not re.search(word, said, re.I):
            raise Failure(f"{args} does not say {word!r}:\n{said[-1000:]}")
    if len(said.splitlines()) > 4:
        raise Failure(f"{args} takes {len(said.splitlines())} lines to say:\n{said[-1000:]}")
    left = set(os.listdir(folder)) - before
    if left:
        raise Failure(f"{args} left {sorted(left)} behind")


def no_kernel():
    refused(["-kernel", make("letter.txt", b"Dear kernel,\n" * 1000)], r"letter\.txt")


def truncated_kernel():
    path = make("half-a-kernel", head_of(assets.kernel(), 200000))
    refused(["-kernel", path], "half-a-kernel")


def missing_kernel():
    refused(["-kernel", os.path.join(folder, "nowhere")], "nowhere")


def missing_initrd():
    refused(["-kernel", assets.kernel(), "-initrd", os.path.join(folder, "nowhere")], "nowhere")


def truncated_iso():
    path = make("half.iso", head_of(assets.memtest_iso(), 100000))
    refused(["-cdrom", path, "-boot", "d"], r"half\.iso")


def too_much_memory():
    refused(["-m", "100T"], r"100|memory")


def missing_firmware():
    refused(["-bios", "no-such-firmware.bin"], r"no-such-firmware\.bin")


def unwritable_disk():
    path = make("sealed.img", b"\0" * (1 << 20))
    os.chmod(path, 0o444)
    prefix = ()
    if os.geteuid() == 0:       # root without the right to ignore permissions
        prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search",
                  "--inh-caps=-dac_override,-dac_read_search")
    refused(["-drive", f"file={path},format=raw"], r"sealed\.img", prefix=prefix)


def missing_disk():
    refused(["-drive", f"file={folder}/nowhere.img,format=raw"], r"nowhere\.img")


def two_machines_on_one_disk():
    path = make("shared.img", b"\0" * (1 << 20))
    drive = ["-drive", f"file={path},format=raw"]
    with Guest(emulator(), [*drive, "-nic", "none"], qmp=True) as first:
        first.qmp("query-status")
        refused(drive, r"shared\.img")
        if not first.qmp("query-status")["running"]:
            raise Failure("the first machine stopped")


def unknown_option():
    refused(["-kernal", assets.kernel()], "kernal", r"-kernel\b")


def unknown_device():
    refused(["-device", "virtio-nett-pci"], "virtio-nett-pci")


def unknown_machine():
    refused(["-machine", "q36"], "q36")


def unknown_cpu():
    refused(["-cpu", "Haswel"], "Haswel")


def bad_number():
    refused(["-m", "12potatoes"], "12potatoes")


tests = [no_kernel, truncated_kernel, missing_kernel, missing_initrd, truncated_iso,
         too_much_memory, missing_firmware, unwritable_disk, missing_disk,
         two_machines_on_one_disk, unknown_option, unknown_device, unknown_machine, unknown_cpu,
         bad_number]
try:
    run_tests([(test.__name__.replace("_", " "), test) for test in tests])
finally:
    shutil.rmtree(folder, ignore_errors=True)
