# tests/house/house.py - what the checks of the house rules share.
# SPDX-License-Identifier: GPL-3.0-or-later
import os
import sys

ROOMS = ("app", "block", "display", "engine", "hw", "net", "tests", "usb", "widgets")


def sources(top, suffixes, rooms=ROOMS):
    """Paths from the source root, '/' separated and sorted, of the files with these suffixes."""
    found = []
    for room in rooms:
        for folder, _, names in os.walk(os.path.join(top, room)):
            for name in names:
                if name.endswith(suffixes):
                    path = os.path.relpath(os.path.join(folder, name), top)
                    found.append(path.replace(os.sep, "/"))
    return sorted(found)


def report(checks):
    """Prints TAP for (description, [complaint, ...]) pairs; exits 1 if there is a complaint."""
    print(f"1..{len(checks)}")
    bad = False
    for number, (description, complaints) in enumerate(checks, 1):
        for complaint in complaints:
            print(f"# {complaint}")
        print(f"{'not ok' if complaints else 'ok'} {number} {description}")
        bad = bad or bool(complaints)
    sys.exit(1 if bad else 0)
