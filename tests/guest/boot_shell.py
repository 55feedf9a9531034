#!/usr/bin/env python3
# tests/guest/boot_shell.py EMULATOR... - the Debian kernel boots to a shell over serial.
# SPDX-License-Identifier: GPL-3.0-or-later
import hashlib
import os

import assets
from harness import Failure, Guest, emulator, run_tests, work_folder

MEMORY = 512


def check(condition, what):
    if not condition:
        raise Failure(what)


def shell_session(machine):
    initrd = assets.shell_initramfs(os.path.join(work_folder(), f"shell-{machine}.cpio.gz"))
    with Guest(emulator(), ["-machine", machine, "-m", str(MEMORY), "-kernel", assets.kernel(),
                            "-initrd", initrd, "-append", "console=ttyS0 panic=-1",
                            "-nic", "none"]) as guest:
        guest.expect("Linux version 6", 60)
        guest.expect("INIT-READY", 120)
        guest.expect("vitrine# ", 30)
        guest.run("echo 1 > /proc/sys/kernel/printk")   # no messages among the answers
        release = os.path.basename(assets.kernel()).removeprefix("vmlinuz-")
        check(release in guest.run("uname -r"), "another kernel than the one given")
        kib = int(guest.run("grep MemTotal: /proc/meminfo").split()[1])
        check(MEMORY * 1024 * 0.8 < kib < MEMORY * 1024, f"the guest sees {kib} KiB of memory")
        digest = hashlib.sha256(b"\0" * (8 << 20)).hexdigest()
        check(digest in guest.run("head -c 8388608 /dev/zero | sha256sum", 120), "a wrong digest")
        check("3.14285714285714" in guest.run("awk 'BEGIN { printf \"%.14f\\n\", 22 / 7 }'"),
              "wrong floating point")
        before = float(guest.run("cut -d' ' -f1 /proc/uptime"))
        guest.run("sleep 2")
        passed = float(guest.run("cut -d' ' -f1 /proc/uptime")) - before
        check(1.9 < passed < 6, f"sleep 2 took {passed:.2f} s of guest time")
        guest.send("poweroff -f\n")
        status = guest.wait(30)
        check(status == 0, f"power-off gave exit status {status}")


def tiny_init():
    initrd = assets.tiny_initramfs(os.path.join(work_folder(), "tiny.cpio.gz"))
    with Guest(emulator(), ["-machine", "q35", "-m", "256", "-kernel", assets.kernel(),
                            "-initrd", initrd, "-append", "console=ttyS0 quiet panic=-1",
                            "-nic", "none"]) as guest:
        guest.expect("TINY-INIT-READY", 120)
        status = guest.wait(30)
        check(status == 0, f"power-off gave exit status {status}")


run_tests([
    ("q35: the kernel boots to a shell, computes, keeps time and powers off",
     lambda: shell_session("q35")),
    ("pc: the kernel boots to a shell, computes, keeps time and powers off",
     lambda: shell_session("pc")),
    ("a tiny init powers the machine off", tiny_init),
])
