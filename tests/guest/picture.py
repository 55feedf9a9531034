# tests/guest/picture.py - reads PPM pictures and the text on a VGA text screen.
# SPDX-License-Identifier: GPL-3.0-or-later
import os
import re
import struct
import zlib

GLYPH_A = bytes.fromhex("0000" "10386cc6c6fec6c6c6c6" "00000000")   # of the VGA 8x16 font


VGA_COLOURS = [bytes.fromhex(c) for c in (
    "000000 0000aa 00aa00 00aaaa aa0000 aa00aa aa5500 aaaaaa "
    "555555 5555ff 55ff55 55ffff ff5555 ff55ff ffff55 ffffff").split()]


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

    def find_text(self, glyphs, text, colours=None):
        """(x, y) of the upper left corner of a piece of console text, or None. The text may be
        anywhere, in any two of the colours, in cells of 8 or 9 pixels, but not scaled."""
        bits_of = {character: bits for bits, character in glyphs.items()} | {" ": bytes(16)}
        colours = colours or [c for c in VGA_COLOURS if c in self.data]
        stride = self.width * 3
        for cell in (8, 9):
            rows = ["".join(format(bits_of[c][line], "08b") + "0" * (cell - 8) for c in text)
                    for line in range(16)]
            key = max(range(16), key=lambda line: rows[line].count("01"))   # the busiest row
            for ink in colours:
                for paper in colours:
                    if ink == paper:
                        continue
                    wanted = [b"".join(ink if bit == "1" else paper for bit in row) for row in rows]
                    at = self.data.find(wanted[key])
                    while at >= 0:
                        if at % 3 == 0 and self.has_rows(wanted, at - key * stride, stride):
                            return at % stride // 3, at // stride - key
                        at = self.data.find(wanted[key], at + 1)
        return None

    def has_rows(self, rows, at, stride):
        """Whether the rows of pixels lie under each other from offset at."""
        if at < 0 or at % stride + len(rows[0]) > stride:
            return False
        return all(self.data.startswith(row, at + line * stride) for line, row in enumerate(rows))

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


def glyphs_of_bgf(data):
    """The 16-pixel font of the text installer (its unifont.bgf), as {16 bytes: character}."""
    if data[:4] != b"BGF1":
        raise ValueError("not a BGF font")
    _, height, mask, buckets, index, content = struct.unpack_from("<qiiqqq", data, 4)
    if height != 16:
        raise ValueError(f"a font of height {height}")

    def word(at):
        return struct.unpack_from("<I", data, at)[0]

    glyphs = {}
    for code in range(33, 127):
        entry = index + 4 * word(buckets + 4 * (code & mask))
        while word(entry) and word(entry) & ~mask != code & ~mask:
            entry += 8
        if word(entry) & mask == 8:
            rows = content + 4 * word(entry + 4)
            glyphs[bytes(word(rows + 4 * line) >> 24 for line in range(16))] = chr(code)
    return glyphs


def read_png(path):
    """A PNG file of 8 bits a channel as a Picture, without its alpha."""
    import gi
    gi.require_version("GdkPixbuf", "2.0")
    from gi.repository import GdkPixbuf
    image = GdkPixbuf.Pixbuf.new_from_file(path)
    width, height, channels = image.get_width(), image.get_height(), image.get_n_channels()
    stride, data = image.get_rowstride(), image.get_pixels()
    rows = b"".join(data[y * stride:y * stride + width * channels] for y in range(height))
    rgb = bytearray(width * height * 3)
    for channel in range(3):
        rgb[channel::3] = rows[channel::channels]
    return Picture(b"P6 %d %d 255\n" % (width, height) + rgb)
