#!/usr/bin/env python3
# tests/house/check_files.py TOP - length, columns, white space, licence line and include direction
# of every source file.
# SPDX-License-Identifier: GPL-3.0-or-later
import os
import re
import sys

from house import report, sources

LIMIT = 1000
COLUMNS = 100
SUFFIXES = (".c", ".h", ".py", ".blp", ".sh", ".S", ".inc", "meson.build")
HOST = ("block", "display", "net", "usb")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
GRAPHICAL = re.compile(r"^(gtk|gdk|gsk|adwaita|libadwaita)\b")


def room_of(path):
    """The part of the house that a file belongs to, as the rule names it."""
    if path == "engine/machine/config.h":
        return "session"            # plain data that the session API takes and gives
    if path.startswith("app/cli/"):
        return "tools"
    if re.fullmatch(r"engine/vitrine[a-z0-9-]*\.[ch]", path) and not path.endswith("-private.h"):
        return "session"
    parts = path.split("/")
    if parts[0] == "engine":
        return "core" if parts[1] == "core" else "engine"
    return parts[0]


MAY_USE = {
    "core": {"core"},
    "block": {"core", "block"},
    "display": {"core", "display"},
    "net": {"core", "net"},
    "usb": {"core", "usb"},
    "hw": {"core", "hw", *HOST},
    "engine": {"core", "engine", "hw", "session", *HOST},
    "session": {"core", "engine", "hw", "session", *HOST},
    "widgets": {"session", "widgets"},
    "app": {"app", "session", "widgets"},
    "tools": {"core", "engine", "session", "tools", "widgets", *HOST},
}


def wrong_includes(path, text):
    room = room_of(path)
    if room == "tests":
        return
    for kind, name in INCLUDE.findall(text):
        if kind == "<" or "/" not in name:
            if GRAPHICAL.match(name) and room not in ("widgets", "app"):
                yield f"{path}: includes {name}; no GTK below widgets/"
        elif room_of(name) not in MAY_USE[room]:
            yield f"{path}: includes {name}; {room} may use {', '.join(sorted(MAY_USE[room]))}"
    if room == "session" and path.endswith(".h"):
        for kind, name in INCLUDE.findall(text):
            if kind == '"' and room_of(name) != "session":
                yield f"{path}: includes {name}; the session API shows no header below it"
    if room != "app" and re.search(r"\bg_settings_(new|get)", text):
        yield f"{path}: reads GSettings; only app/ does"


def untidy_lines(path, text):
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > COLUMNS:
            yield f"{path}:{number}: {len(line)} columns"
        if "\t" in line:
            yield f"{path}:{number}: a tab"
        if line != line.rstrip():
            yield f"{path}:{number}: white space at the end"


def main(top):
    long, unlicensed, wrong, unguarded, untidy = [], [], [], [], []
    for path in sources(top, SUFFIXES):
        with open(os.path.join(top, path), encoding="utf-8") as file:
            text = file.read()
        lines = text.count("\n")
        if lines > LIMIT:
            long.append(f"{path}: {lines} lines; past {LIMIT} it has two ideas in it")
        untidy += untidy_lines(path, text)
        if not path.endswith((".c", ".h")):
            continue
        if "SPDX-License-Identifier: GPL-3.0-or-later" not in text[:1500]:
            unlicensed.append(f"{path}: no SPDX-License-Identifier in its first comment")
        if path.endswith(".h") and not re.search(r"^#pragma once$", text, re.M):
            unguarded.append(f"{path}: no #pragma once")
        wrong += wrong_includes(path, text)
    checks = [
        (f"no file is longer than {LIMIT} lines", long),
        ("every file names its licence", unlicensed),
        ("every header has #pragma once", unguarded),
        ("includes run one way", wrong),
        (f"lines are tidy and at most {COLUMNS} columns", untidy),
    ]
    report(checks)


if __name__ == "__main__":
    main(sys.argv[1])
