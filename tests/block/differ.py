# tests/block/differ.py - the same work done twice, by the distribution's tools and by ours:
# running, making what they say comparable, the differences that are meant, shortening what fails
# SPDX-License-Identifier: GPL-3.0-or-later
import difflib
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile

PATIENCE = 60
NAMES = {"img": ("qemu-img", "vitrine-img"), "io": ("qemu-io", "vitrine-io"),
         "nbd": ("qemu-nbd", "vitrine-nbd"),
         "daemon": ("qemu-storage-daemon", "vitrine-storage-daemon")}
THEIRS, OURS = 0, 1
SANITIZER = ("AddressSanitizer", "runtime error:", "LeakSanitizer")


class Difference(Exception):
    """The two did not do the same. `kind` is what a shortened sequence must still show."""

    def __init__(self, kind, text):
        super().__init__(text)
        self.kind, self.step = kind, 0


class Done:
    """A program that has ended."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return f"exit {self.code}\n{self.out}{self.err}".rstrip()


class Tools:
    """Where the programs are; side THEIRS from PATH, side OURS from a build folder."""

    def __init__(self, folder):
        self.folder = folder

    def path(self, side, tool):
        name = NAMES[tool][side]
        return os.path.join(self.folder, name) if side == OURS else name

    def start(self, side, tool, args, cwd, **popen):
        return subprocess.Popen([self.path(side, tool), *args], cwd=cwd, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                errors="replace", **popen)


def finish(process, what):
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        return Done("did not end", out, err)
    if any(word in err for word in SANITIZER):
        raise Difference("sanitizer", f"{what}\n{out}{err}")
    return Done(process.returncode, out, err)


def line_of(tool, args):
    return shlex.join([f"$TOOLS-{tool}" if tool in NAMES else tool, *args])


# ---- making what was said comparable -------------------------------------------------------------

PLAIN = [
    (re.compile(r"\b(vitrine|qemu)-(img|io|nbd|storage-daemon)\b"), r"TOOL-\2"),
    (re.compile(r"(    \(\d+\.\d\d/100%\)\n)+"), "PROGRESS\n"),
    (re.compile(r"disk size: .*"), "disk size: SIZE"),
    (re.compile(r'"actual-size": \d+'), '"actual-size": 0'),
    (re.compile(r'"(date-n?sec|cid|parent-cid)": \d+'), r'"\1": 0'),
    (re.compile(r"\b(cid|parent cid): \d+"), r"\1: 0"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"), "DATE"),
    # what a copy took
    (re.compile(r"(\d+(\.\d+)? (bytes|[KMGT]iB), \d+ ops); .*"), r"\1"),
    (re.compile(r"discard \d+/\d+ bytes at offset \d+\n(.*ops).*"), r"discarded \1"),
    # derived keys: how often the host could hash in the time it was given, and random salts
    (re.compile(r"\b(iters): \d+"), r"\1: 0"),
    (re.compile(r'"iters": \d+'), '"iters": 0'),
    (re.compile(r"\b(uuid): [0-9a-f-]{36}"), r"\1: UUID"),
    (re.compile(r'"uuid": "[0-9a-f-]{36}"'), '"uuid": "UUID"'),
    (re.compile(r"/(var/)?tmp/(vl\.|vitrine-)\w{6}"), "SNAPSHOT"),
]


def plain(text):
    for pattern, to in PLAIN:
        text = pattern.sub(to, text)
    return text


def apart(theirs, ours, filter_said):
    """Where the two differ, and a little around it."""
    texts = [f"exit {done.code}\n{filter_said(done.out)}{filter_said(done.err)}".splitlines()
             for done in (theirs, ours)]
    return "\n".join(list(difflib.unified_diff(*texts, "theirs", "ours", "", "", 2, ""))[:60])


class Known:
    """A difference that is meant: ours does better than, or other than, the distribution's tools.
    Each pattern is searched for in what that side said ("exit N" and both streams)."""

    def __init__(self, why, command="", theirs="", ours=""):
        self.why, self.command = why, re.compile(command)
        self.said = re.compile(theirs, re.S), re.compile(ours, re.S)
        self.met = 0

    def covers(self, line, theirs, ours):
        if not (self.command.search(line) and self.said[THEIRS].search(repr(theirs)) and
                self.said[OURS].search(repr(ours))):
            return False
        self.met += 1
        return True


class Pair:
    """Two folders with the same files, one worked on by each side; `crossed` says that the sides
    have changed folders."""

    def __init__(self, tools, known):
        self.tools, self.known = tools, known
        self.path = tempfile.mkdtemp(prefix="vitrine-differ-", dir=os.environ.get("VITRINE_IMAGES"))
        self.crossed = self.mixed = False   # mixed: they have changed at least once
        self.operations = 0
        self.words = []     # what was only said in another way: no reason to stop
        for name in ("a", "b"):
            os.mkdir(os.path.join(self.path, name))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for root, folders, _files in os.walk(self.path):
            for name in folders:
                os.chmod(os.path.join(root, name), 0o755)
        shutil.rmtree(self.path, ignore_errors=True)

    def folder(self, side):
        return os.path.join(self.path, "ab"[side ^ self.crossed])

    def __call__(self, name, side):
        return os.path.join(self.folder(side), name)

    def each(self, act):
        """Something that is no tool's work: act(folder) in both folders."""
        for side in (THEIRS, OURS):
            act(self.folder(side))

    def start(self, side, tool, args, cwd=None, **popen):
        return self.tools.start(side, tool, args, cwd or self.folder(side), **popen)

    def both(self, tool, args, what="", filter_said=plain, cwd=None):
        """The same command on both sides, at once; what it said must be the same. Ours."""
        line = line_of(tool, args)
        self.operations += 1
        running = [self.start(side, tool, args, cwd) for side in (THEIRS, OURS)]
        done = [finish(process, line) for process in running]
        self.compare(what or tool, line, *done, filter_said)
        return done[OURS]

    def compare(self, kind, line, theirs, ours, filter_said=plain):
        if ours.code == "did not end" and theirs.code == "did not end":
            return False
        same = (theirs.code == ours.code and filter_said(theirs.out) == filter_said(ours.out) and
                filter_said(theirs.err) == filter_said(ours.err))
        if not same and not any(known.covers(line, theirs, ours) for known in self.known):
            crash = isinstance(ours.code, str) or ours.code < 0
            worst = "crash" if crash else "code" if theirs.code != ours.code else "words"
            text = f"{line}\n" + apart(theirs, ours, filter_said)
            if worst != "words":
                raise Difference(f"{kind} {worst}", text)
            self.words.append(text)
        return same


# ---- shortening ----------------------------------------------------------------------------------


def shorten(steps, fails, seconds, clock):
    """The fewest steps that fails() still finds its difference with; steps cut one by one from the
    end, and words out of the middle of lists that a step holds."""
    end = clock() + seconds
    at = len(steps) - 1
    while at >= 0 and clock() < end:
        fewer = steps[:at] + steps[at + 1:]
        if fails(fewer):
            steps = fewer
        at = min(at - 1, len(steps) - 1)
    return steps


def interrupted(process, patience=20):
    process.send_signal(signal.SIGINT)
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
