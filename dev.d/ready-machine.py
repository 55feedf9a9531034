#!/usr/bin/env python3
# dev.d/ready-machine.py - describes the machine that ./dev run starts: the Debian 13 installer.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints the path of a machine description, made anew each time since the environment's paths may
have changed. The disk is made once and kept: what a person installs on it stays."""
import json
import os
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(TOP, "tests", "guest"))

import assets                                                               # noqa: E402

NAME = "Debian 13 installer"
DISK_SIZE = 20 << 30
SERIAL_LOG = os.path.join(TOP, "build", "serial.log")


def disk():
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    path = os.path.join(data, "vitrine", "disks", "debian-13-installer.img")
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    if not os.path.exists(path):
        with open(path, "xb") as file:
            file.truncate(DISK_SIZE)        # takes space only as it fills
    return path


def description(kernel, initrd, image):
    return {
        "schema": 1,
        "name": NAME,
        "ram_size": 1 << 30,
        "kernel": kernel,
        "initrd": initrd,
        "cmdline": "earlyprintk=serial,ttyS0,115200,keep console=tty0",
        "vga": "virtio",
        "input_defaults": True,
        "drives": [{"file": image, "format": "raw", "interface": "virtio", "discard": True}],
        "netdevs": ["user,id=net0"],
        "devices": ["virtio-net-pci,netdev=net0", "virtio-rng-pci"],
        "serials": ["file:" + SERIAL_LOG],
    }


def write():
    path = os.path.join(TOP, "build", "debian-13-installer.json")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".part", "w", encoding="utf-8") as file:
        json.dump(description(*assets.installer("text"), disk()), file, indent=2)
    os.replace(path + ".part", path)
    return path


if __name__ == "__main__":
    try:
        print(write())
    except (assets.Missing, OSError) as error:
        sys.exit(f"dev: {error}")
