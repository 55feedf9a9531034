# tests/guest/picture.py - reads PPM pictures and the text on a VGA text screen.
# SPDX-License-Identifier: GPL-3.0-or-later
import os
import re
import struct
import zlib

GLYPH_A = bytes.fromhex("0000" "10386cc6c6fec6c6c6c6" "00000000")   # of the VGA 8x16 font


class Picture:
    def __init__(self, ppm):
        match = re.match(rb"P6\s+(?:#[^\n]*\n\s*)*(\d+)\s+(\d+)\s+255\s", ppm)
        if not match:
            raise ValueError("not a PPM picture")
        self.width, self.height = int(match[1]), int(match[2])
        self.data = ppm[match.end():]
        if len(self.data) < self.width * self.height * 3:
            raise ValueError("a truncated PPM picture")

    def pixel(self, x, y):
        at = (y * self.width + x) * 3
        return self.data[at:at + 3]

    def colours(self):
        """How many pixels there are of each colour."""
        count = {}
        for at in range(0, self.width * self.height * 3, 3):
            pixel = self.data[at:at + 3]
            count[pixel] = count.get(pixel, 0) + 1
        return count

    def save_png(self, path):
        rows = b"".join(b"\0" + self.data[y * self.width * 3:(y + 1) * self.width * 3]
                        for y in range(self.height))

        def chunk(kind, data):
            body = kind + data
            return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

        header = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) +
                       chunk(b"IDAT", zlib.compress(rows, 6)) + chunk(b"IEND", b""))

    def text(self, glyphs):
        """The lines of an 80-column text screen with 16-pixel cells; "?" for an unknown glyph."""
        cell = self.width // 80
        return ["".join(self.cell(glyphs, column * cell, row * 16) for column in range(80)).rstrip()
                for row in range(self.height // 16)]

    def cell(self, glyphs, x, y):
        rows = []
        for line in range(16):
            at = ((y + line) * self.width + x) * 3
            rows.append([self.data[at + i * 3:at + i * 3 + 3] for i in range(8)])
        shades = sorted({pixel for row in rows for pixel in row})
        if len(shades) == 1:
            return " "
        for shade in shades:
            bits = bytes(sum(0x80 >> i for i in range(8) if row[i] == shade) for row in rows)
            if bits in glyphs:
                return glyphs[bits]
        return "?"


def glyphs_of(vga_bios):
    """The 8x16 font inside a VGA BIOS image, as {16 bytes: character} of printable ASCII."""
    with open(vga_bios, "rb") as file:
        data = file.read()
    at = data.find(GLYPH_A) - 16 * ord("A")
    if at < 0:
        raise ValueError(f"{vga_bios} holds no 8x16 font")
    return {data[at + 16 * code:at + 16 * code + 16]: chr(code) for code in range(33, 127)}
