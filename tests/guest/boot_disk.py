#!/usr/bin/env python3
# tests/guest/boot_disk.py EMULATOR... - boots by BIOS from a raw disk; Linux reads, writes, trims.
# SPDX-License-Identifier: GPL-3.0-or-later
import hashlib
import os
import random
import subprocess

import assets
from harness import Failure, Guest, emulator, run_tests, work_folder

DISK = 64 << 20
MIB = 1 << 20
TEXT = b"sector two says hello\r\n"

# Reads sector 2 by int 13h, sends its text to COM1, writes it to sector 3, ends by the debug port.
BOOT_SECTOR = r"""
    .code16
    .globl _start
_start:
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $0x7c00, %sp
    pushw %dx
    movw $0x0201, %ax
    movw $0x7e00, %bx
    movw $0x0002, %cx
    movb $0, %dh
    int $0x13
    jc failed
    movw $0x7e00, %si
next:
    lodsb
    testb %al, %al
    jz over
    movb %al, %ah
wait:
    movw $0x3fd, %dx
    inb %dx, %al
    testb $0x20, %al
    jz wait
    movw $0x3f8, %dx
    movb %ah, %al
    outb %al, %dx
    jmp next
over:
    popw %dx
    movw $0x0301, %ax
    movw $0x7e00, %bx
    movw $0x0003, %cx
    movb $0, %dh
    int $0x13
    jc failed
    movb $0x10, %al
    outb %al, $0xf4
failed:
    hlt
    jmp failed
    .org 510
    .word 0xaa55
"""

ATA_MODULES = ("ahci", "ata_piix", "sd_mod", "sr_mod", "isofs")
SCSI_MODULES = ("virtio_scsi", "sd_mod", "sr_mod", "isofs")
VIRTIO_MODULES = ("virtio_blk", "sr_mod", "ata_piix", "ahci", "isofs")


def check(condition, what):
    if not condition:
        raise Failure(what)


def boot_sector():
    base = os.path.join(work_folder(), "boot-sector")
    subprocess.run(["gcc", "-m32", "-c", "-x", "assembler", "-", "-o", base + ".o"],
                   input=BOOT_SECTOR, text=True, check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", base + ".o", base], check=True)
    with open(base, "rb") as file:
        return file.read()


def write_disk(name, data):
    path = os.path.join(work_folder(), name)
    with open(path, "wb") as file:
        file.write(data)
    return path


def read_range(path, start, size):
    with open(path, "rb") as file:
        file.seek(start)
        return file.read(size)


def disk_args(path, interface, options=""):
    """Options for a raw disk on an interface; "packed" is virtio with packed rings."""
    if interface not in ("scsi", "packed"):
        return ["-drive", f"file={path},format=raw,if={interface}{options}"]
    drive = ["-drive", f"file={path},format=raw,if=none,id=disk{options}"]
    if interface == "packed":
        return [*drive, "-device", "virtio-blk-pci,drive=disk,packed=on,num-queues=2"]
    return [*drive, "-device", "virtio-scsi-pci,id=scsi", "-device",
            "scsi-hd,drive=disk,bus=scsi.0"]


def bios_boot(machine, interface):
    image = bytearray(MIB)
    image[:512] = boot_sector()
    image[512:512 + len(TEXT)] = TEXT
    path = write_disk(f"bios-{machine}-{interface}.raw", image)
    with Guest(emulator(), ["-machine", machine, "-m", "64", "-vga", "std", "-nic", "none",
                            *disk_args(path, interface),
                            "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]) as guest:
        guest.expect("sector two says hello", 60)
        status = guest.wait(20)
        check(status == 0x21, f"the boot sector ended with status {status}")
    check(read_range(path, 1024, len(TEXT)) == TEXT, "what the BIOS wrote is not in the file")
    os.unlink(path)


def digest(data):
    return hashlib.sha256(data).hexdigest()


def linux_disk(machine, interface):
    content = random.Random(42).randbytes(DISK)
    path = write_disk(f"linux-{machine}-{interface}.raw", content)
    virtio = interface in ("virtio", "packed")
    modules = VIRTIO_MODULES if virtio else ATA_MODULES
    cd = ["-cdrom", assets.memtest_iso()]
    if interface == "scsi":
        modules = SCSI_MODULES
        cd = ["-drive", f"file={assets.memtest_iso()},format=raw,if=none,id=cd,readonly=on",
              "-device", "scsi-cd,drive=cd"]
    initrd = assets.shell_initramfs(
        os.path.join(work_folder(), f"disk-{interface}.cpio.gz"), modules, "sleep 1")
    device = "/dev/vda" if virtio else "/dev/sda"
    with Guest(emulator(), ["-machine", machine, "-m", "512", "-kernel", assets.kernel(),
                            "-initrd", initrd, "-append", "console=ttyS0 panic=-1",
                            "-nic", "none", *disk_args(path, interface, ",discard=unmap"),
                            *cd]) as guest:
        guest.expect("INIT-READY", 150)
        guest.expect("vitrine# ", 30)
        guest.run(f"for i in 1 2 3 4 5 6 7 8 9; do test -b {device} -a -b /dev/sr0 && break; "
                  "sleep 1; done", 60)
        check(digest(content) in guest.run(f"sha256sum {device}", 120), "the disk reads wrong")
        guest.run(f"dd if={device} of={device} bs=1M count=8 skip=2 seek=20 conv=fsync,notrunc", 60)
        guest.run(f"dd if={device} of={device} bs=512 count=77 skip=11 seek=100001 conv=notrunc",
                  60)
        before = os.stat(path).st_blocks
        guest.run(f"blkdiscard -o {40 * MIB} -l {8 * MIB} {device}", 60)
        check(os.stat(path).st_blocks < before - 8 * MIB // 512 // 2,
              "the trimmed space is not free")
        with open(assets.memtest_iso(), "rb") as file:
            iso = file.read()
        check(digest(iso) in guest.run("sha256sum /dev/sr0", 60), "the CD reads wrong")
        check("boot" in guest.run("mount -t iso9660 -o ro /dev/sr0 /mnt && ls /mnt"),
              "no files on the CD")
        guest.send("poweroff -f\n")
        check(guest.wait(30) == 0, "no clean power-off")
    expected = bytearray(content)
    expected[20 * MIB:28 * MIB] = content[2 * MIB:10 * MIB]
    expected[100001 * 512:(100001 + 77) * 512] = expected[11 * 512:(11 + 77) * 512]
    expected[40 * MIB:48 * MIB] = bytes(8 * MIB)
    check(read_range(path, 0, DISK) == expected, "the file is not what the guest wrote")
    os.unlink(path)


def each(name, function, pairs):
    return [(name.format(machine, interface), lambda m=machine, i=interface: function(m, i))
            for machine, interface in pairs]


PAIRS = [("pc", "ide"), ("q35", "ide"), ("q35", "virtio"), ("q35", "packed"),
         ("q35", "scsi")]
run_tests(each("{} boots from a raw disk ({}) by BIOS and writes to it", bios_boot, PAIRS) +
          each("{}: Linux reads, writes and trims a disk ({}) and reads a CD", linux_disk, PAIRS))
