# tests/block/images.py - images for the block tests: making them with known content, comparing
# SPDX-License-Identifier: GPL-3.0-or-later
"""A test file ends with `images.main(globals())`, which runs its test_... functions as TAP.
The tool under test is the first argument: build/app/cli/vitrine-img."""
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

OURS = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else "vitrine-img"
TOOLS = os.path.dirname(OURS)
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
TIMEOUT = 120


class Skip(Exception):
    """What a test cannot do here, and why."""


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def equal(got, wanted, what=""):
    check(got == wanted, f"{what}\n got      {got!r}\n expected {wanted!r}")


# ---- running tools -------------------------------------------------------------------------------


def run(*command, status=0, **popen):
    """Runs a program; the status must be `status` (None: any, "fail": not 0). The finished run."""
    popen.setdefault("stdin", subprocess.DEVNULL)
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          errors="replace", timeout=TIMEOUT, check=False, **popen)
    good = status is None or (done.returncode > 0 if status == "fail" else
                              done.returncode == status)
    check(good, f"{' '.join(map(str, command))}\ngave status {done.returncode}, not {status}:\n"
                f"{done.stdout}{done.stderr}")
    return done


def img(*args, **more):
    return run(OURS, *args, **more)


def qemu_img(*args, **more):
    return run("qemu-img", *args, **more)


def qemu_io(filename, *commands, fmt=None, **more):
    args = [word for text in commands for word in ("-c", text)]
    return run("qemu-io", *(["-f", fmt] if fmt else []), *args, filename, **more)


def formats():
    """Names that our tool says it supports."""
    text = img("--help").stdout
    return set(text.split("Supported image formats:")[1].split())


def can_create(*names):
    """Of the formats named, those that both tools can create."""
    return [name for name in names
            if name in formats() and img("create", "-f", name, "-o", "help", status=None)
            .returncode == 0]


def need(*names):
    missing = [name for name in names if name not in formats()]
    if missing:
        raise Skip(f"no driver {', '.join(missing)} in this build")


def need_feature(*args):
    """Skips the test when our tool refuses this command because the format lacks it so far."""
    done = img(*args, status=None)
    text = done.stdout + done.stderr
    if done.returncode and ("not support" in text):
        raise Skip(text.strip())
    equal(done.returncode, 0, text)
    return done


# ---- content -------------------------------------------------------------------------------------


class Folder:
    """A folder for the images of one test; with-statement. str() of it is its path."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="vitrine-images-", dir=os.environ.get("VITRINE_IMAGES"))
        return self

    def __exit__(self, *exc):
        shutil.rmtree(self.path, ignore_errors=True)

    def __call__(self, name):
        return os.path.join(self.path, name)


def fill(path, size, pieces=()):
    """A raw file of `size` bytes: holes but for pieces, (offset, length, what) where what is a
    byte, "random" or "text" (compresses by about three); seeded by the offset."""
    with open(path, "wb") as file:
        file.truncate(size)
        for offset, length, what in pieces:
            file.seek(offset)
            file.write(content(offset, length, what))
    return path


def content(offset, length, what):
    if isinstance(what, int):
        return bytes([what]) * length
    source = random.Random(offset * 1000003 + length)
    if what == "random":
        return source.randbytes(length)
    words = [source.randbytes(source.randrange(3, 12)) for _ in range(500)]
    data = bytearray()
    while len(data) < length:
        data += source.choice(words) + b" "
    return bytes(data[:length])


def mixed(path, size=8 * MIB):
    """Data, zeroes that are stored, holes, small and odd pieces, the very end."""
    return fill(path, size, [
        (0, 4096, "random"), (64 * KIB, 200 * KIB, "text"), (512 * KIB + 512, 512, 0xAA),
        (MIB, MIB, 0), (2 * MIB - 4096, 8192, "random"), (3 * MIB, MIB, "random"),
        (5 * MIB + 1536, 70000, "text"), (size - 512, 512, 0x55)])


def same_content(first, second, first_format=None, second_format=None):
    """By qemu-img, a judge of its own."""
    args = []
    if first_format:
        args += ["-f", first_format]
    if second_format:
        args += ["-F", second_format]
    qemu_img("compare", *args, first, second)


def same_bytes(first, second):
    with open(first, "rb") as a, open(second, "rb") as b:
        at = 0
        while True:
            x, y = a.read(MIB), b.read(MIB)
            if x != y:
                low = next((i for i, (p, q) in enumerate(zip(x, y)) if p != q), min(len(x), len(y)))
                raise AssertionError(f"{first} and {second} differ at byte {at + low}")
            if not x:
                return
            at += len(x)


# ---- comparing what the tools say ----------------------------------------------------------------


def normal(text, *names):
    """Output without what may differ: the program's name, times, sizes on the host's disk, and
    how often the progress is shown between its begin and its end."""
    text = re.sub(r"\b(vitrine|qemu)-(img|io|nbd)\b", "TOOL", text)
    for name in names:
        text = text.replace(str(name), "NAME")
    text = re.sub(r"disk size: \S+( [KMGT]?i?B)?", "disk size: SIZE", text)
    text = re.sub(r'"actual-size": \d+', '"actual-size": 0', text)
    text = re.sub(r'"date-n?sec": \d+', '"date": 0', text)
    text = re.sub(r"(?<=/100%\)\n)(    \(\d\d?\.\d\d/100%\)\n)+", "", text)
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "DATE", text)


def both(*args, prepare=None, names=(), stdout=True, stderr=True):
    """Runs the same command line with qemu-img and with ours, each after prepare(); status and
    output must be the same. Our finished run."""
    runs = []
    for tool in ("qemu-img", OURS):
        if prepare:
            prepare()
        runs.append(run(tool, *args, status=None))
    theirs, mine = runs
    line = " ".join(map(str, args))
    equal(mine.returncode, theirs.returncode, f"{line}\n{theirs.stderr}{mine.stderr}")
    if stdout:
        equal(normal(mine.stdout, *names), normal(theirs.stdout, *names), line)
    if stderr:
        equal(normal(mine.stderr, *names), normal(theirs.stderr, *names), line)
    return mine


def both_json(*args):
    """The same for --output=json: equal as JSON, whatever the order of keys. What ours said."""
    values = []
    for tool in ("qemu-img", OURS):
        text = run(tool, *args).stdout
        values.append(json.loads(normal(text)))
    equal(values[1], values[0], " ".join(map(str, args)))
    return values[1]


# ---- running tests -------------------------------------------------------------------------------


def main(module):
    tests = [(name[5:], fn) for name, fn in module.items() if name.startswith("test_")]
    only = sys.argv[2:]
    failed = 0
    tests = [(name, fn) for name, fn in tests if not only or name in only]
    print(f"1..{len(tests)}", flush=True)
    for number, (name, fn) in enumerate(tests, 1):
        began = time.monotonic()
        try:
            fn()
            print(f"ok {number} {name} # {time.monotonic() - began:.1f} s", flush=True)
        except Skip as why:
            print(f"ok {number} {name} # SKIP {why}", flush=True)
        except Exception:
            failed += 1
            print(f"not ok {number} {name}")
            for line in traceback.format_exc().splitlines():
                print(f"# {line}", flush=True)
    sys.exit(1 if failed else 0)
