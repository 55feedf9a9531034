#!/usr/bin/env python3
# tests/guest/boot_net.py EMULATOR... - a guest gets an address, reaches the host and is reached.
# SPDX-License-Identifier: GPL-3.0-or-later
import hashlib
import http.server
import os
import random
import socket
import threading
import time

import assets
from harness import Failure, Guest, emulator, run_tests, work_folder

PAYLOAD = random.Random(7).randbytes(3 << 20)


def check(condition, what):
    if not condition:
        raise Failure(what)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(PAYLOAD)))
        self.end_headers()
        self.wfile.write(PAYLOAD)

    def log_message(self, *args):
        pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def talk(port, text):
    """Sends a line to the forwarded port and returns the answer."""
    deadline = time.monotonic() + 20
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as s:
                s.sendall(text)
                s.shutdown(socket.SHUT_WR)
                answer = b""
                while data := s.recv(4096):
                    answer += data
            if answer:
                return answer
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise Failure("the forwarded port does not answer")
        time.sleep(0.3)


LEASE = r"""#!/bin/sh
[ "$1" = deconfig ] && ifconfig $interface up
[ "$1" = bound ] || exit 0
ifconfig $interface $ip netmask $subnet
route add default gw $router
echo nameserver $dns > /etc/resolv.conf
echo LEASE $ip $router $dns
"""


def network(machine):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    forwarded = free_port()
    setup = (f"mkdir -p /etc\ncat > /lease <<'END'\n{LEASE}END\n"
             "chmod +x /lease\nifconfig lo 127.0.0.1\n")
    initrd = assets.shell_initramfs(os.path.join(work_folder(), "net.cpio.gz"),
                                    ("virtio_net",), setup)
    try:
        with Guest(emulator(), ["-machine", machine, "-m", "512", "-kernel", assets.kernel(),
                                "-initrd", initrd,
                                "-append", "console=ttyS0 panic=-1 net.ifnames=0",
                                "-netdev", f"user,id=n0,hostfwd=tcp::{forwarded}-:7777",
                                "-device", "virtio-net-pci,netdev=n0"]) as guest:
            guest.expect("INIT-READY", 150)
            guest.expect("vitrine# ", 30)
            check("LEASE 10.0.2.15 10.0.2.2 10.0.2.3" in
                  guest.run("udhcpc -i eth0 -n -q -s /lease", 60), "no lease")
            guest.run("ping -c 2 10.0.2.2", 30)
            check(hashlib.sha256(PAYLOAD).hexdigest() in
                  guest.run(f"wget -q -O - http://10.0.2.2:{server.server_port}/ | sha256sum", 120),
                  "the download is damaged")
            guest.send("while true; do nc -l -p 7777 -e tr a-z A-Z; done &\n")
            guest.expect("vitrine# ", 30)
            check(talk(forwarded, b"to the guest\n") == b"TO THE GUEST\n",
                  "the forward answers wrong")
            guest.send("poweroff -f\n")
            check(guest.wait(30) == 0, "no clean power-off")
    finally:
        server.shutdown()


run_tests([("q35: DHCP, ping, a download and a forwarded port on the user-mode network",
            lambda: network("q35"))])
