#!/usr/bin/env python3
# tests/summary.py LOG... - prints "N passed, N failed, N skipped" for meson's testlog.json files.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts TAP subtests; a program that speaks no TAP, or dies before a result, counts as one.
A missing log or no test at all is a failure."""

import json
import re
import sys

POINT = re.compile(r"^(?P<indent> *)(?P<bad>not )?ok\b(?P<rest>.*)$")


def count_tap(text):
    """(passed, failed, skipped) of the leaves: a line that sums up an indented block is none."""
    passed = failed = skipped = 0
    deepest = 0
    for line in text.splitlines():
        match = POINT.match(line)
        if not match:
            continue
        indent = len(match["indent"])
        if indent < deepest:
            deepest = indent
            continue
        deepest = indent
        if re.search(r"#\s*skip", match["rest"], re.I):
            skipped += 1
        elif match["bad"]:
            failed += 1
        else:
            passed += 1
    return passed, failed, skipped


def count_test(test):
    passed, failed, skipped = count_tap(test.get("stdout") or "")
    result = test["result"]
    if result == "SKIP":
        skipped = max(skipped, 1)
    elif result in ("OK", "EXPECTEDFAIL"):
        if passed + skipped == 0:
            passed = 1
    elif failed == 0:
        failed = 1
    return passed, failed, skipped


def main(paths):
    total = [0, 0, 0]
    bad = []
    for path in paths:
        try:
            with open(path, encoding="utf-8") as log:
                tests = [json.loads(line) for line in log if line.strip()]
        except FileNotFoundError:
            bad.append(f"{path}: no test ran")
            total[1] += 1
            continue
        for test in tests:
            counts = count_test(test)
            total = [a + b for a, b in zip(total, counts)]
            if counts[1]:
                bad.append(f"failed: {test['name']} ({test['result'].lower()})")
    for line in bad:
        print(line)
    print("{} passed, {} failed, {} skipped".format(*total))
    return 0 if total[1] == 0 and total[0] > 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
