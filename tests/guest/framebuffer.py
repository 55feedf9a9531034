# tests/guest/framebuffer.py - an X server without a screen, to see what an application draws.
# SPDX-License-Identifier: GPL-3.0-or-later
import mmap
import os
import shutil
import struct
import subprocess
import tempfile

from picture import Picture


class FrameBuffer:
    """An X server without a screen, whose picture is a file that we can read."""

    def __init__(self, width=1280, height=800):
        self.folder = tempfile.mkdtemp(prefix="vitrine-xvfb-")
        read, write = os.pipe()
        self.process = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{width}x{height}x24",
             "-fbdir", self.folder, "-nolisten", "tcp"], pass_fds=[write],
            stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as file:
            self.display = ":" + file.readline().strip()
        with open(os.path.join(self.folder, "Xvfb_screen0"), "rb") as file:
            self.map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        header = struct.unpack(">25I", self.map[:100])      # XWD file format, version 7
        self.width, self.height, self.stride = header[4], header[5], header[12]
        self.pixels = header[0] + header[19] * 12

    def painted(self):
        """Whether anything but one colour is on the screen (every 16th row is looked at)."""
        first = None
        for row in range(8, self.height, 16):
            at = self.pixels + row * self.stride
            line = self.map[at:at + self.width * 4]
            first = first or line[:4]
            if line != first * self.width:
                return True
        return False

    def picture(self):
        """What is on the screen now."""
        size = self.width * self.height
        if self.stride == self.width * 4:
            data = self.map[self.pixels:self.pixels + size * 4]
        else:
            data = b"".join(self.map[at:at + self.width * 4] for at in range(
                self.pixels, self.pixels + self.stride * self.height, self.stride))
        rgb = bytearray(size * 3)
        rgb[0::3], rgb[1::3], rgb[2::3] = data[2::4], data[1::4], data[0::4]
        return Picture(b"P6 %d %d 255\n" % (self.width, self.height) + rgb)

    def close(self):
        self.map.close()
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
