#!/usr/bin/env python3
# tests/guest/disk_errors.py EMULATOR... - a full or broken host while Linux writes: the machine
# pauses, goes on when it is told to, and nothing is lost; and disks with limits.
# SPDX-License-Identifier: GPL-3.0-or-later
import hashlib
import json
import os
import re
import subprocess
import time

import assets
from harness import Failure, Guest, emulator, run_tests, work_folder

MIB = 1 << 20
SIZE = 24 * MIB
ENOSPC, EIO = 28, 5
MODULES = {"virtio": ("virtio_blk",), "scsi": ("virtio_scsi", "sd_mod"), "ide": ("ahci", "sd_mod")}


def check(condition, what):
    if not condition:
        raise Failure(what)


def devices(interface, policy):
    if interface == "virtio":
        return ["-device", f"virtio-blk-pci,drive=disk,id=disk0{policy}"]
    if interface == "scsi":
        return ["-device", "virtio-scsi-pci,id=scsi", "-device",
                f"scsi-hd,drive=disk,bus=scsi.0,id=disk0{policy}"]
    return ["-device", f"ide-hd,drive=disk,id=disk0{policy}"]


def start(interface, name, form, rules, policy):
    """A guest whose image meets errors: (iotype, requests that go well first, errno)."""
    path = os.path.join(work_folder(), f"errors-{name}.{form}")
    subprocess.run(["qemu-img", "create", "-q", "-f", form, path, str(2 * SIZE)], check=True)
    initrd = assets.shell_initramfs(
        os.path.join(work_folder(), f"errors-{name}.cpio.gz"), MODULES[interface], "sleep 1")
    node = {"driver": form, "node-name": "disk", "file": {
        "driver": "blkdebug", "image": {"driver": "file", "filename": path},
        "inject-error": [{"event": "none", "iotype": kind, "skip": skip, "errno": error,
                          "once": True} for kind, skip, error in rules]}}
    guest = Guest(emulator(), ["-machine", "q35", "-m", "512", "-kernel", assets.kernel(),
                               "-initrd", initrd, "-append", "console=ttyS0 panic=-1",
                               "-nic", "none", "-blockdev", json.dumps(node),
                               *devices(interface, policy)], qmp=True)
    return guest, path


def go_on(guest, status):
    """Lets the machine go on whenever it has paused, until the shell's command is over."""
    pauses, deadline = 0, time.monotonic() + 120
    while not (match := guest.match(re.compile(r"(?s)\n(.*?)END-(\d+)-\n"))):
        check(time.monotonic() < deadline, "the guest's command does not end")
        if guest.qmp("query-status")["status"] == "io-error":
            disk = [d for d in guest.qmp("query-block")
                    if d.get("inserted", {}).get("node-name") == "disk"][0]
            check(disk["io-status"] == status, f"io-status is {disk['io-status']}")
            guest.pump(0.2)
            check(guest.qmp("query-status")["status"] == "io-error", "it went on by itself")
            pauses += 1
            guest.qmp("cont")
        guest.pump(0.1)
    guest.expect(r"^vitrine# ", 20)
    check(match[2] == "0", f"the guest's command failed: {match[1]}")
    return pauses


def pauses(interface, form, rules, policy, status):
    name = f"{interface}-{form}"
    guest, path = start(interface, name, form, rules, policy)
    device = "/dev/vda" if interface == "virtio" else "/dev/sda"
    with guest:
        guest.expect("INIT-READY", 150)
        guest.expect("vitrine# ", 30)
        guest.run("echo 1 > /proc/sys/kernel/printk")
        guest.run(f"for i in 1 2 3 4 5 6 7 8 9; do test -b {device} && break; sleep 1; done", 60)
        guest.run(f"dd if=/dev/urandom of=/tmp/data bs=1M count={SIZE // MIB}", 120)
        guest.send(f"dd if=/tmp/data of={device} bs=64k conv=fsync,notrunc; echo END-$?-\n")
        count = go_on(guest, status)
        check(count == len(rules), f"the machine paused {count} times, not {len(rules)}")
        errors = guest.run("dmesg | grep -i -c 'i/o error' || true").strip()
        check(errors == "0", f"the guest has seen {errors} errors")
        digest = guest.run("sha256sum /tmp/data", 60).split()[0]
        guest.run("echo 3 > /proc/sys/vm/drop_caches")
        there = guest.run(f"dd if={device} bs=1M count={SIZE // MIB} 2>/dev/null | sha256sum", 120)
        check(there.split()[0] == digest, "the guest reads something else")
        guest.send("poweroff -f\n")
        check(guest.wait(30) == 0, "no clean power-off")
        check(guest.stderr().count("the machine is paused: The disk “errors-") == len(rules),
              "no reason on the terminal: " + guest.stderr())
    raw = path + ".copy"
    subprocess.run(["qemu-img", "convert", "-f", form, "-O", "raw", path, raw], check=True)
    with open(raw, "rb") as file:
        check(hashlib.sha256(file.read(SIZE)).hexdigest() == digest, "the image differs")
        check(not any(file.read()), "something was written elsewhere")
    if form == "qcow2":
        subprocess.run(["qemu-img", "check", "-q", path], check=True)
    os.unlink(raw)
    os.unlink(path)


def reports():
    """werror=report: the guest is told, and runs on."""
    guest, path = start("virtio", "report", "raw", [("write", 5, ENOSPC)], ",werror=report")
    with guest:
        guest.expect("INIT-READY", 150)
        guest.expect("vitrine# ", 30)
        guest.run("! dd if=/dev/zero of=/dev/vda bs=64k count=100 oflag=direct 2>/dev/null", 60)
        check(guest.qmp("query-status")["status"] == "running", "it has paused")
        guest.send("poweroff -f\n")
        check(guest.wait(30) == 0, "no clean power-off")
    os.unlink(path)


def limits():
    """-drive's limits slow Linux down; a reset and the end do not wait for them."""
    path = os.path.join(work_folder(), "errors-limits.raw")
    with open(path, "wb") as file:
        file.truncate(64 * MIB)
    initrd = assets.shell_initramfs(
        os.path.join(work_folder(), "errors-limits.cpio.gz"), MODULES["virtio"], "sleep 1")
    with Guest(emulator(), ["-machine", "q35", "-m", "512", "-kernel", assets.kernel(),
                            "-initrd", initrd, "-append", "console=ttyS0 panic=-1", "-nic", "none",
                            "-drive", f"file={path},format=raw,if=virtio,id=d0,bps_wr={MIB}"],
               qmp=True) as guest:
        guest.expect("INIT-READY", 150)
        guest.expect("vitrine# ", 30)
        start_time = time.monotonic()
        guest.run("dd if=/dev/zero of=/dev/vda bs=256k count=12 oflag=direct 2>/dev/null", 60)
        took = time.monotonic() - start_time
        check(took > 2, f"3 MiB at 1 MiB/s took {took:.1f} s")
        guest.qmp("block_set_io_throttle", device="d0", bps=0, bps_rd=0, bps_wr=1000, iops=0,
                  iops_rd=0, iops_wr=0)
        guest.send("dd if=/dev/zero of=/dev/vda bs=64k count=100 oflag=direct\n")
        guest.pump(1)
        start_time = time.monotonic()
        guest.qmp("system_reset")
        guest.qmp("quit")
        check(guest.wait(20) == 0, "no clean end")
        took = time.monotonic() - start_time
        check(took < 15, f"reset and end took {took:.1f} s")
    os.unlink(path)


FULL = [("write", 20, ENOSPC), ("write", 40, ENOSPC), ("write", 3, ENOSPC)]
BROKEN = [("write", 20, EIO), ("flush", 0, EIO)]

run_tests([
    ("a full host pauses the machine (virtio, qcow2)",
     lambda: pauses("virtio", "qcow2", FULL, "", "nospace")),
    ("a full host pauses the machine (ide, raw)",
     lambda: pauses("ide", "raw", FULL, "", "nospace")),
    ("a broken one does with werror=stop (scsi, raw)",
     lambda: pauses("scsi", "raw", BROKEN, ",werror=stop", "failed")),
    ("with werror=report Linux is told", reports),
    ("limits slow Linux down, but no reset", limits)])
