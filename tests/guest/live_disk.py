#!/usr/bin/env python3
# tests/guest/live_disk.py EMULATOR... - disks that change while Linux uses them.
# SPDX-License-Identifier: GPL-3.0-or-later
import json
import os
import random
import time

import assets
from harness import Failure, Guest, emulator, run_tests, work_folder

MIB = 1 << 20
DISK = 64 * MIB


def check(condition, what):
    if not condition:
        raise Failure(what)


MODULES = {"virtio": ("virtio_blk",), "scsi": ("virtio_scsi", "sd_mod"), "ide": ("ahci", "sd_mod")}


def start(interface, name, *options, device="", disk="", mapping=None):
    """A guest with a blank disk, and the disk's name there.  device: options of what has queues;
    disk: of the disk; mapping: of the queues to iothreads, which takes JSON and no device."""
    path = os.path.join(work_folder(), f"live-{name}.raw")
    with open(path, "wb") as file:
        file.write(random.Random(7).randbytes(DISK))
    initrd = assets.shell_initramfs(
        os.path.join(work_folder(), f"live-{name}.cpio.gz"), MODULES[interface], "sleep 1")
    blockdev = ("driver=raw,node-name=disk,discard=unmap,file.driver=file,file.discard=unmap,"
                f"file.filename={path}")
    queues = {"driver": "virtio-scsi-pci", "id": "scsi"}
    if interface == "virtio":
        queues = {"driver": "virtio-blk-pci", "drive": "disk", "id": "vda"}
    text = ",".join(f"{key}={value}" for key, value in queues.items())[len("driver="):] + device
    devices = ["-device", json.dumps({**queues, "iothread-vq-mapping": mapping}) if mapping
               else text + (disk if interface == "virtio" else "")]
    if interface == "scsi":
        devices += ["-device", f"scsi-hd,drive=disk,bus=scsi.0,id=sda{disk}"]
    elif interface == "ide":
        devices = ["-device", f"ide-hd,drive=disk,bus=ide.0,id=sda{disk}"]
    guest = Guest(emulator(), ["-machine", "q35", "-m", "512", "-kernel", assets.kernel(),
                               "-initrd", initrd, "-append", "console=ttyS0 panic=-1",
                               "-nic", "none", *options, "-blockdev", blockdev, *devices],
                  qmp=True)
    return guest, path, "vda" if interface == "virtio" else "sda"


def shell(guest):
    guest.expect("INIT-READY", 150)
    guest.expect("vitrine# ", 30)
    guest.run("echo 1 > /proc/sys/kernel/printk")


def resize(interface):
    guest, path, device = start(interface, f"resize-{interface}")
    with guest:
        shell(guest)
        check(int(guest.run(f"cat /sys/block/{device}/size")) == DISK // 512, "the first size")
        for size in (DISK + 16 * MIB, DISK + 48 * MIB):
            guest.qmp("block_resize", **{"node-name": "disk", "size": size})
            deadline = time.monotonic() + 20
            while int(guest.run(f"cat /sys/block/{device}/size")) != size // 512:
                check(time.monotonic() < deadline, f"the guest has not seen {size} bytes")
            guest.run(f"dd if=/dev/{device} of=/dev/{device} bs=1M count=8 "
                      f"seek={size // MIB - 8} conv=fsync,notrunc", 60)
        guest.send("poweroff -f\n")
        check(guest.wait(30) == 0, "no clean power-off")
    with open(path, "rb") as file:
        start_bytes = file.read(8 * MIB)
        file.seek(DISK + 40 * MIB)
        check(file.read() == start_bytes, "the new end of the disk is not what was written")
    os.unlink(path)


def sizes(interface):
    """What the disk's options say of blocks and transfers reaches Linux."""
    wanted = {"logical_block_size": 512, "physical_block_size": 4096, "rotational": 0}
    disk = ",physical_block_size=4096"
    if interface == "virtio":
        del wanted["rotational"]
    else:
        disk += ",rotation_rate=1"
    if interface != "ide":
        disk += ",min_io_size=8192,opt_io_size=65536,discard_granularity=16384"
        wanted |= {"minimum_io_size": 8192, "optimal_io_size": 65536, "discard_granularity": 16384}
    guest, path, device = start(interface, f"sizes-{interface}", disk=disk)
    with guest:
        shell(guest)
        for name, value in wanted.items():
            got = int(guest.run(f"cat /sys/block/{device}/queue/{name}"))
            check(got == value, f"{name} is {got}, not {value}")
        check(int(guest.run(f"cat /sys/block/{device}/queue/discard_max_bytes")) > 0, "no discard")
        guest.send("poweroff -f\n")
        check(guest.wait(30) == 0, "no clean power-off")
    os.unlink(path)


def iothread(interface, mapping=None):
    """The disk's work is done on an iothread; with virtio it then wanders while Linux writes.
    With a mapping each queue has an iothread of its own."""
    name = f"{'mapping' if mapping else 'iothread'}-{interface}"
    guest, path, device = start(interface, name, "-smp", "2", "-object", "iothread,id=t1",
                                "-object", "iothread,id=t2", device=",iothread=t1",
                                mapping=mapping)
    with guest:
        shell(guest)
        queues = int(guest.run(f"ls -d /sys/block/{device}/mq/[0-9]* | wc -l"))
        check(queues == 2, f"{queues} queues for 2 processors")
        for i in range(3):
            guest.send(f"dd if=/dev/{device} of=/dev/{device} bs=64k count=256 seek=512 "
                       f"oflag=direct conv=notrunc 2>/dev/null; echo DO''NE-{i}-\n")
            for place in ("t2", None, "t1") * 5 if interface == "virtio" else ():
                guest.qmp("x-blockdev-set-iothread",
                          **{"node-name": "disk", "iothread": place, "force": True})
            guest.expect(f"DONE-{i}-", 60)
        copy = path + ".copy"
        guest.qmp("drive-backup", device="disk", target=copy, sync="full", format="raw",
                  **{"job-id": "copy"})
        deadline = time.monotonic() + 20
        while guest.qmp("query-jobs"):
            check(time.monotonic() < deadline, "the backup does not end")
            time.sleep(0.05)
        guest.send("poweroff -f\n")
        check(guest.wait(30) == 0, "no clean power-off")
    with open(path, "rb") as file:
        content = file.read()
    check(content[32 * MIB:48 * MIB] == content[:16 * MIB], "the disk is not what was written")
    with open(copy, "rb") as file:
        check(file.read() == content, "the backup differs")
    os.unlink(path)
    os.unlink(copy)


run_tests([(f"Linux sees a disk grow ({interface})", lambda i=interface: resize(i))
           for interface in ("virtio", "scsi")] +
          [(f"Linux works on a disk with an iothread ({interface})",
            lambda i=interface: iothread(i)) for interface in ("virtio", "scsi")] +
          [(f"Linux works on a disk whose queues have iothreads ({interface})",
            lambda i=interface: iothread(i, [{"iothread": "t2"}, {"iothread": "t1"}]))
           for interface in ("virtio", "scsi")] +
          [(f"Linux finds the disk's block sizes ({interface})", lambda i=interface: sizes(i))
           for interface in ("virtio", "scsi", "ide")])
