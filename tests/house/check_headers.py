#!/usr/bin/env python3
# tests/house/check_headers.py TOP BUILD - every header compiles alone.
# SPDX-License-Identifier: GPL-3.0-or-later
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from house import report, sources

BELOW = ["glib-2.0", "gio-2.0", "gio-unix-2.0"]
HOST = ["gnutls", "json-glib-1.0", "libgcrypt", "pixman-1", "libusb-1.0", "virglrenderer", "epoxy",
        "slirp"]
ABOVE = ["gtk4", "libadwaita-1", "epoxy"]
FLAGS = ["-std=gnu23", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter",
         "-Wmissing-prototypes", "-Wstrict-prototypes", "-Wvla"]


def cflags(packages):
    done = subprocess.run(["pkg-config", "--cflags", *packages], capture_output=True, text=True,
                          check=True)
    return done.stdout.split()


def main(top, build):
    below, above = cflags(BELOW + HOST), cflags(BELOW + ABOVE)
    out = os.path.join(build, "headers-alone")
    os.makedirs(out, exist_ok=True)

    def check(path):
        stub = os.path.join(out, path.replace("/", "-") + ".c")
        text = f'#include "{path}"\n'
        if not os.path.exists(stub) or open(stub, encoding="utf-8").read() != text:
            with open(stub, "w", encoding="utf-8") as file:
                file.write(text)
        window = path.startswith(("app/", "widgets/")) and not path.startswith("app/cli/")
        flags = above if window else below
        done = subprocess.run(
            ["ccache", "gcc", *FLAGS, *flags, "-I", top, "-I", build, "-c", stub,
             "-o", stub[:-1] + "o"],
            capture_output=True, text=True, check=False)
        return [] if done.returncode == 0 else [f"{path}:", *done.stderr.splitlines()[:6]]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(check, sources(top, (".h",))))
    report([(f"each of {len(results)} headers compiles alone", sum(results, []))])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
