# tests/block/differ_steps.py - running the steps of differ_images.py on both sides, and comparing
# the images they leave
# SPDX-License-Identifier: GPL-3.0-or-later
import filecmp
import json
import os
import re
import shutil
import subprocess

from differ import OURS, THEIRS, Difference, Pair, finish, line_of, plain, interrupted

SECRET = ["--object", "secret,id=s0,data=letmein"]


def change_file(folder, act, name, *more):
    path = os.path.join(folder, name)
    if not os.path.lexists(path):
        return
    if act == "truncate":
        os.truncate(path, more[0])
    elif act == "remove":
        os.unlink(path)
    elif act == "copy":
        shutil.copy(path, os.path.join(folder, more[0]))
    elif act == "patch":
        with open(path, "r+b") as file:
            file.seek(more[0])
            file.write(bytes.fromhex(more[1]))


def held(pair, name, fmt, how, inner):
    """A step while the distribution's qemu-io holds the image of both sides."""
    holders = []
    for side in (THEIRS, OURS):
        process = subprocess.Popen(["qemu-io", "-f", fmt, *(["-r"] if how == "r" else []), name],
                                   cwd=pair.folder(side), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        process.stdin.write(b"length\n")
        process.stdin.flush()
        process.stdout.readline()
        holders.append(process)
    try:
        pair.both(inner[0], inner[1], filter_said=own)
        clear(pair)
    finally:
        for process in holders:
            process.stdin.close()
            process.stdout.close()
            interrupted(process)


# ---- comparing images ----------------------------------------------------------------------------


def named(name, fmt, secret):
    """Words that open an image, and its name."""
    if not secret:
        return ["-f", fmt], name
    key = "key-secret" if fmt == "luks" else "encrypt.key-secret"
    return [*SECRET, "--image-opts"], \
        f"driver={fmt},{key}=s0,file.filename={name.replace(',', ',,')}"


def load(text):
    try:
        return json.loads(text)
    except ValueError:
        return None


def facts_of(text):
    """What info says of an image that two programs made, each in its own place."""
    value = load(plain(text))
    drop = ("vm-clock-sec", "vm-clock-nsec", "actual-size", "filename", "children", "uuid",
            "date-sec", "date-nsec", "cid",
            "parent-cid", "key-offset", "payload-offset", "slots", "master-key-iters",
            "full-backing-filename")

    def clean(value):
        if isinstance(value, dict):
            return {k: clean(v) for k, v in value.items() if k not in drop}
        return [clean(v) for v in value] if isinstance(value, list) else value
    return clean(value)


def content_of(pair, side, name, before, opened):
    """The disk in an image, by the distribution's tool; the caller removes it."""
    path = os.path.join(pair.path, f"content{side}")
    finish(pair.start(THEIRS, "img", ["convert", *before, "-O", "raw", opened, path],
                      cwd=pair.folder(side)), "convert")
    return path


def clear(pair):
    """What a failed creation leaves behind: ours removes it, theirs does not always."""
    names = [set(os.listdir(pair.folder(side))) for side in (THEIRS, OURS)]
    for name in names[THEIRS] - names[OURS]:
        os.unlink(pair(name, THEIRS))


def verify(pair, name, fmt, secret):
    before, opened = named(name, fmt, secret)
    folders = [pair.folder(side) for side in (THEIRS, OURS)]
    there = [os.path.exists(os.path.join(folder, name)) for folder in folders]
    if there[0] != there[1]:
        raise Difference("files", f"{name}: theirs {there[0]}, ours {there[1]}")
    if not there[0]:
        return
    said = {}
    for command in (["info", "--output=json"], ["map", "--output=json"], ["check", "--output=json"],
                    ["measure", "-O", "qcow2", "--output=json"]):
        args = [*command, *before, opened]
        line = line_of("img", args)
        for maker, folder in enumerate(folders):
            running = [pair.start(side, "img", args, cwd=folder) for side in (THEIRS, OURS)]
            done = [finish(process, line) for process in running]
            kind = f"{command[0]} of an image of {'theirs' if maker == THEIRS else 'ours'}"
            pair.compare(kind, line, *done)
            said[command[0], maker] = done[THEIRS]
    if said["info", THEIRS].code == 0 or said["info", OURS].code == 0:
        cross(pair, name, fmt, secret, said)


def cross(pair, name, fmt, secret, said):
    """The image that theirs made beside the one that ours made."""
    codes = {what: [said[what, maker].code for maker in (THEIRS, OURS)] for what in
             ("info", "map", "check")}
    for what, pairs in codes.items():
        if pairs[0] != pairs[1]:
            raise Difference(f"{what} across", f"{name}: {what}\n--- of theirs: "
                             f"{said[what, THEIRS]!r}\n--- of ours: {said[what, OURS]!r}")
    facts = [facts_of(said["info", maker].out) for maker in (THEIRS, OURS)]
    if facts[0] != facts[1]:
        raise Difference("info across", f"{name}\n--- theirs {facts[0]}\n--- ours   {facts[1]}")
    paths = [os.path.join(os.path.basename(pair.folder(side)), name) for side in (THEIRS, OURS)]
    opened = [named(path, fmt, secret) for path in paths]
    args = ["compare", *opened[0][0], *(["-F", fmt] if not secret else []), opened[0][1],
            opened[1][1]]
    judge = [finish(pair.start(side, "img", args, cwd=pair.path), "compare")
             for side in (THEIRS, OURS)]
    if judge[THEIRS].code > 1:      # its data file is looked for where the tool runs
        contents = [content_of(pair, side, name, *named(name, fmt, secret))
                    for side in (THEIRS, OURS)]
        there = [os.path.exists(path) for path in contents]
        if there[0] != there[1] or there[0] and not filecmp.cmp(*contents, shallow=False):
            raise Difference("content", f"{name}: {there}")
        for path in contents:
            if os.path.exists(path):
                os.unlink(path)
    else:
        pair.compare("compare", line_of("img", args), *judge)
    if judge[THEIRS].code == 1:
        raise Difference("content", f"{name}: {judge[THEIRS]!r}")
    checks = [load(said["check", maker].out) for maker in (THEIRS, OURS)]
    if checks[0] and checks[1]:
        for key in ("corruptions", "leaks", "check-errors"):
            if checks[0].get(key) != checks[1].get(key):
                raise Difference("check across", f"{name}: {key}\n--- theirs {checks[0]}\n"
                                 f"--- ours   {checks[1]}")
    if not pair.mixed:
        thrifty(pair, name)


def thrifty(pair, name):
    """Ours must not take more of the host than theirs, by much."""
    blocks = [os.stat(pair(name, side)).st_blocks * 512 for side in (THEIRS, OURS)]
    if blocks[OURS] > blocks[THEIRS] * 1.25 + (1 << 20):
        raise Difference("fat", f"{name} takes {blocks[0]} bytes by theirs, {blocks[1]} by ours")


# What tools say of an image, each of its own, but for where in the file things lie.
LAYOUT = [
    (re.compile(r'("virtual-size": )\d+(,\s+"filename": "[^"]*",\s+"format": "file")'),
     r"\1SIZE\2"),
    (re.compile(r'(protocol type: file\n *file length: ).*'), r"\1SIZE"),
    (re.compile(r'"(image-end-offset|key-offset|payload-offset|fragmented-clusters)": \d+'),
     r'"\1": 0'),
    (re.compile(r"((image end|payload|key) offset): \d+", re.I), r"\1: 0"),
    (re.compile(r', "offset": \d+'), ""),
    (re.compile(r"^(0x[0-9a-f]+ +0x[0-9a-f]+ +)0x[0-9a-f]+ +", re.M), r"\1OFFSET "),
    (re.compile(r"\d+\.\d\d% fragmented"), "fragmented"),
]


def own(text):
    text = plain(text)
    for pattern, to in LAYOUT:
        text = pattern.sub(to, text)
    return text


# ---- running a sequence --------------------------------------------------------------------------


def run_steps(tools, known, steps, keep=None):
    """Raises the first Difference, with the number of its step; gives how many commands were run
    twice."""
    with Pair(tools, known) as pair:
        number = 0
        try:
            for number, step in enumerate(steps):
                one_step(pair, step)
            names = [set(os.listdir(pair.folder(side))) for side in (THEIRS, OURS)]
            if names[0] != names[1]:
                raise Difference("files", f"only theirs {sorted(names[0] - names[1])}, only ours "
                                 f"{sorted(names[1] - names[0])}")
            if pair.words:
                raise Difference("words", "\n".join(pair.words))
        except Difference as difference:
            difference.step = number
            if keep:
                shutil.rmtree(keep, ignore_errors=True)
                shutil.copytree(pair.path, keep)
            raise
        return pair.operations


def one_step(pair, step):
    kind, *rest = step
    if kind in ("img", "io"):
        if pair.both(kind, rest[0], filter_said=own).code:
            clear(pair)
    elif kind == "file":
        pair.each(lambda folder: change_file(folder, *rest))
    elif kind == "held":
        held(pair, *rest)
    elif kind == "verify":
        verify(pair, *rest)
    elif kind == "cross":
        pair.crossed, pair.mixed = not pair.crossed, True


def written(steps):
    """The steps as a person would type them."""
    lines = []
    for kind, *rest in steps:
        if kind in ("img", "io"):
            lines.append(line_of(kind, rest[0]))
        elif kind == "held":
            lines.append(f"# while qemu-io holds {rest[0]} ({rest[2]}):")
            lines.append(line_of(rest[3][0], rest[3][1]))
        else:
            lines.append(f"# {kind} {' '.join(map(str, rest))}".rstrip())
    return "\n".join(lines)
