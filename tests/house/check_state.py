#!/usr/bin/env python3
# tests/house/check_state.py LIBRARY... - no file-scope mutable state below app/.
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many machines run in one process. Variables that GObject's macros make are exempt: they are
written once, when a type or quark is registered. So is process_log: a process has one log."""
import re
import subprocess
import sys

from house import report

REGISTRATION = re.compile(
    r"^(static_g_define_type_id|g_define_type_id|g_define_type__static|\w+_parent_class|"
    r"\w+_private_offset|\w*signals|\w*properties|\w*props|q|\w+_quark_value|process_log)(\.\d+)?$")
SYMBOL = re.compile(
    r"^[0-9a-f]+ (?P<flags>.{7}) (?P<section>\S+)\s+[0-9a-f]+ +(\.hidden )?(?P<name>\S+)$")


def variables(library):
    text = subprocess.run(["objdump", "-t", library], capture_output=True, text=True,
                          check=True).stdout
    source = library
    for line in text.splitlines():
        if line.endswith((":     file format elf64-x86-64",
                          ":     file format elf64-littleaarch64")):
            source = line.split(":")[0]
        match = SYMBOL.match(line)
        if not match or "O" not in match["flags"]:
            continue
        section = match["section"]
        mutable = section == "*COM*" or re.match(r"\.(data|bss)(?!\.rel\.ro)", section)
        if mutable and not REGISTRATION.match(match["name"]):
            yield f"{source}: {match['name']} lies in {section}"


def main(libraries):
    found = [complaint for library in libraries for complaint in variables(library)]
    report([(f"no mutable file-scope variable in {len(libraries)} libraries", found)])


if __name__ == "__main__":
    main(sys.argv[1:])
