# tests/ui/wayland.py - a client of a Wayland compositor: the wire, and pictures of the screen.
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wire protocol is that of "The Wayland Protocol" (wayland.freedesktop.org/docs); pictures come
by wlr-screencopy-unstable-v1. A screenshot program would scale them where the scale does not divide
the screen's size."""
import array
import os
import socket
import struct

from picture import Picture


class Connection:
    """A client's end of the wire."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(path)
        self.last = 1
        self.globals = {}           # interface: name
        self.data = b""
        self.registry = self.new()
        self.send(1, 1, self.registry)
        self.sync()

    def new(self):
        self.last += 1
        return self.last

    def send(self, target, opcode, *arguments, fd=None):
        body = b""
        for argument in arguments:
            if isinstance(argument, bytes):
                body += struct.pack("=I", len(argument)) + argument + b"\0" * (-len(argument) % 4)
            else:
                body += struct.pack("=I", argument & 0xffffffff)
        message = struct.pack("=II", target, (8 + len(body)) << 16 | opcode) + body
        ancillary = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                            array.array("i", [fd]))]
        self.socket.sendmsg([message], ancillary)

    def receive(self):
        """One event: (object, opcode, body)."""
        while len(self.data) < 8 or len(self.data) < struct.unpack_from("=H", self.data, 6)[0]:
            piece = self.socket.recv(4096)
            if not piece:
                raise ConnectionError("the compositor hung up")
            self.data += piece
        target, word = struct.unpack_from("=II", self.data)
        body, self.data = self.data[8:word >> 16], self.data[word >> 16:]
        if (target, word & 0xffff) == (1, 0):
            raise ConnectionError(f"protocol error: {body[12:].decode(errors='replace')}")
        return target, word & 0xffff, body

    def sync(self):
        """Waits until the compositor has done what it was told."""
        callback = self.new()
        self.send(1, 0, callback)
        while True:
            target, opcode, body = self.receive()
            if target == callback:
                return
            if target == self.registry and opcode == 0:
                name, size = struct.unpack_from("=II", body)
                self.globals[body[8:8 + size - 1].decode()] = name

    def bind(self, interface):
        name = self.globals[interface]
        identity = self.new()
        self.send(self.registry, 0, name, interface.encode() + b"\0", 1, identity)
        return identity

    def close(self):
        self.socket.close()


class Camera:
    """Takes pictures of the only output, pixel by pixel as it is sent to the screen."""

    FORMATS = {0: (2, 1, 0), 1: (2, 1, 0), 0x34324258: (0, 1, 2), 0x34324241: (0, 1, 2)}

    def __init__(self, path):
        self.wire = Connection(path)
        self.memory = self.wire.bind("wl_shm")
        self.output = self.wire.bind("wl_output")
        self.manager = self.wire.bind("zwlr_screencopy_manager_v1")

    def expect(self, target, *opcodes):
        while True:
            found, opcode, body = self.wire.receive()
            if found == target and opcode in opcodes:
                return opcode, body

    def picture(self):
        wire = self.wire
        frame, pool, buffer = wire.new(), wire.new(), wire.new()
        wire.send(self.manager, 0, frame, 0, self.output)
        code, width, height, stride = struct.unpack("=IIII", self.expect(frame, 0)[1])
        fd = os.memfd_create("picture")
        os.ftruncate(fd, stride * height)
        wire.send(self.memory, 0, pool, stride * height, fd=fd)
        wire.send(pool, 0, buffer, 0, width, height, stride, code)
        wire.send(frame, 0, buffer)
        ready, _ = self.expect(frame, 2, 3)
        data = os.pread(fd, stride * height, 0)
        os.close(fd)
        for target, opcode in ((buffer, 0), (pool, 1), (frame, 1)):
            wire.send(target, opcode)
        if ready != 2 or stride != width * 4:
            raise ConnectionError(f"no picture of the screen (stride {stride})")
        rgb = bytearray(width * height * 3)
        for channel, at in enumerate(self.FORMATS[code]):
            rgb[channel::3] = data[at::4]
        return Picture(b"P6 %d %d 255\n" % (width, height) + rgb)

    def close(self):
        self.wire.close()
