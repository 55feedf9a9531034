#!/usr/bin/env python3
# engine/decode/generate.py TABLE OUTPUT LIFTERS - makes a C decode table of an instruction table,
# and a header that declares the lifters
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table language. A line is empty, a comment (#), a directive or an instruction:

    !missing NAME...                    lifters not written yet: their rows raise #UD
    OPCODE WHEN MNEMONIC OPERANDS LIFT [ATTRIBUTE...]

OPCODE    1, 2 or 3 bytes in hex, the last may be +i or +8i: one row for each i.
          i runs over the words of a {list} in MNEMONIC, or 0..7 for an operand Z.
WHEN      conditions joined by commas, or -: np 66 f3 f2 (mandatory prefix; without any the
          prefix does not select), /0../7 or /i (ModRM.reg), m r (ModRM names memory, a register),
          =XX (the whole ModRM byte), /r (there is a ModRM byte; implied by the others and by
          operands), 64 i64 (64-bit code or not), o16 o32 o64, a16 a32 a64, b0 (REX.B clear).
          Rows with more conditions are tried first.
MNEMONIC  as in Intel's syntax; * stands for a word of the list that follows it in braces.
OPERANDS  joined by commas, or -: method and size (below), or a register's name.
LIFT      name or name(argument): x86_lift_NAME() is called, the argument is a C constant.
ATTRIBUTE lock (LOCK is valid with memory), d64 f64 (64-bit code: default, fixed operand size 8),
          pe (#UD in real and virtual-8086 mode), fpu mmx sse (what must be enabled), if=FEATURE.
"""
import re
import sys

PREFIXES = {"np": 0, "66": 1, "f3": 2, "f2": 3}
SIZES = {"o16": 0, "o32": 1, "o64": 2}
ADDRESSES = {"a16": 0, "a32": 1, "a64": 2}
MAPS = {"": 0, "0F": 1, "0F38": 2, "0F3A": 3}
METHODS = {"E", "G", "R", "M", "Z", "S", "C", "D", "I", "J", "A", "O", "X", "Y", "P", "Q", "N",
           "V", "W", "U"}
MODRM_METHODS = set("EGRMSCDPQNVWU")
WIDTHS = {"": "NONE", "b": "B", "w": "W", "d": "D", "q": "Q", "x": "X", "v": "V", "z": "Z",
          "y": "Y", "t": "T", "p": "P", "s": "BS", "a": "A"}
FIXED = {"AL": ("FIXED", "B", 0), "CL": ("FIXED", "B", 1), "AX": ("FIXED", "W", 0),
         "DX": ("FIXED", "W", 2), "rAX": ("FIXED", "V", 0), "zAX": ("FIXED", "Z", 0),
         "1": ("ONE", "B", 0), "ST": ("ST", "T", 0), "STi": ("STI", "T", 0),
         "XMM0": ("XMM", "X", 0)}
for number, name in enumerate(("ES", "CS", "SS", "DS", "FS", "GS")):
    FIXED[name] = ("SEG", "W", number)
ATTRIBUTES = {"lock", "d64", "f64", "pe", "fpu", "mmx", "sse"}


class Bad(Exception):
    pass


class Row:
    def __init__(self, fields, index, word):
        opcode, when, mnemonic, operands, lift = fields[:5]
        match = re.fullmatch(r"((?:0F(?:38|3A)?)??)([0-9A-F]{2})(?:\+(8?)i)?", opcode)
        if not match:
            raise Bad(f"opcode {opcode}")
        self.map = MAPS[match[1]]
        self.opcode = int(match[2], 16) + index * (int(match[3] or 1) if "+" in opcode else 0)
        self.mnemonic = re.sub(r"\*", word, re.sub(r"\{.*\}", "", mnemonic))
        self.mask = self.value = 0
        self.conditions = 0
        self.modrm = False
        for condition in [] if when == "-" else when.split(","):
            self.add_condition(condition, index)
        self.operands = [] if operands == "-" else [self.operand(o) for o in operands.split(",")]
        match = re.fullmatch(r"([a-z0-9_]+)(?:\((.*)\))?", lift)
        if not match:
            raise Bad(f"lifter {lift}")
        self.lift = match[1]
        self.arg = str(index) if match[2] == "i" else (match[2] or "0").replace("*", word)
        self.attributes, self.feature = [], "0"
        for attribute in fields[5:]:
            if attribute.startswith("if="):
                self.feature = "X86_FEATURE_" + attribute[3:]
            elif attribute in ATTRIBUTES:
                self.attributes.append("X86_ATTRIBUTE_" + attribute.upper())
            else:
                raise Bad(f"attribute {attribute}")

    def bits(self, shift, width, value):
        field = ((1 << width) - 1) << shift
        if self.mask & field:
            raise Bad("conditions that contradict each other")
        self.mask |= field
        self.value |= value << shift

    def add_condition(self, text, index):
        self.conditions += 1
        if text in PREFIXES:
            self.bits(9, 2, PREFIXES[text])
        elif text in SIZES:
            self.bits(12, 2, SIZES[text])
        elif text in ADDRESSES:
            self.bits(14, 2, ADDRESSES[text])
        elif text in ("64", "i64"):
            self.bits(11, 1, int(text == "64"))
        elif text == "b0":
            self.bits(16, 1, 0)
        elif text in ("m", "r"):
            self.modrm = True
            self.bits(8, 1, int(text == "m"))
        elif text == "/r":
            self.modrm = True
            self.conditions -= 1
        elif re.fullmatch(r"/[0-7i]", text):
            self.modrm = True
            self.bits(3, 3, index if text == "/i" else int(text[1]))
        elif re.fullmatch(r"=[0-9A-F]{2}", text):
            self.modrm = True
            self.bits(0, 8, int(text[1:], 16))
            self.conditions += 2
        else:
            raise Bad(f"condition {text}")

    def operand(self, text):
        if text in FIXED:
            return "X86_OPERAND(%s, %s, %d)" % FIXED[text]
        method, width = text[0], text[1:]
        if method not in METHODS or width not in WIDTHS:
            raise Bad(f"operand {text}")
        if method in MODRM_METHODS:
            self.modrm = True
        if method in "MN" or method == "U":
            if not self.mask & 0x100:
                self.bits(8, 1, int(method == "M"))
                self.conditions += 1
        return f"X86_OPERAND({method}, {WIDTHS[width]}, 0)"


def read(path):
    rows, missing = [], set()
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.split("#")[0]
            lists = re.search(r"\{(.*?)\}", line)
            words = lists[1].split() if lists else [""]
            fields = re.sub(r"\{.*?\}", "", line).split()
            if not fields:
                continue
            if fields[0] == "!missing":
                missing |= set(fields[1:])
                continue
            try:
                if len(fields) < 5:
                    raise Bad("too few columns")
                if not lists and "+i" in fields[0]:
                    words = [""] * 8
                rows += [Row(fields, index, word) for index, word in enumerate(words)]
            except Bad as problem:
                sys.exit(f"{path}:{number}: {problem}")
    return rows, missing


def write(rows, missing, out):
    rows.sort(key=lambda row: (row.map, row.opcode, -row.conditions))
    print("/* Made by engine/decode/generate.py; not to be edited. */", file=out)
    pool, offsets = "", {}
    for mnemonic in sorted({row.mnemonic for row in rows}):
        offsets[mnemonic] = len(pool)
        pool += mnemonic + "\0"
    print("static const char mnemonics[] =", file=out)
    print("\n".join(f'    "{m}\\0"' for m in sorted(offsets)) + ";", file=out)
    print("static const X86Row rows[] = {", file=out)
    for row in rows:
        lift = "LIFT_MISSING" if row.lift in missing else f"LIFT_{row.lift}"
        print(f"    {{ {row.mask:#x}, {row.value:#x}, {offsets[row.mnemonic]}, {row.arg}, "
              f"{{ {', '.join(row.operands) or '0'} }}, {lift}, {row.feature}, "
              f"{' | '.join(row.attributes) or '0'} }}, /* {row.mnemonic} */", file=out)
    print("};", file=out)
    print("static const X86OpcodeEntry opcodes[4][256] = {", file=out)
    for number in range(4):
        print(f"  [{number}] = {{", file=out)
        for opcode in range(256):
            mine = [i for i, row in enumerate(rows) if (row.map, row.opcode) == (number, opcode)]
            if not mine:
                continue
            modrm = {rows[i].modrm for i in mine}
            if len(modrm) != 1:
                sys.exit(f"opcode {number}:{opcode:02x}: some rows have a ModRM byte, some not")
            print(f"    [{opcode:#04x}] = {{ {mine[0]}, {len(mine)}, {int(modrm.pop())} }},",
                  file=out)
        print("  },", file=out)
    print("};", file=out)


def declare(rows, missing, out):
    lifters = sorted({row.lift for row in rows} - missing)
    print("/* Made by engine/decode/generate.py; not to be edited. */", file=out)
    print("#pragma once", '#include "engine/guest/x86/lift.h"', sep="\n", file=out)
    for name in sorted({row.lift for row in rows} - {"ud"}):
        print(f"X86LiftFn x86_lift_{name};", file=out)
    print("typedef enum { LIFT_MISSING,", *(f"    LIFT_{n}," for n in lifters), "} Lifter;",
          sep="\n", file=out)
    print("#define X86_LIFTERS(X) \\", *(f"    X({n}) \\" for n in lifters), "", sep="\n", file=out)


def main(table, output, lifters):
    rows, missing = read(table)
    with open(output, "w", encoding="utf-8") as out:
        write(rows, missing, out)
    with open(lifters, "w", encoding="utf-8") as out:
        declare(rows, missing, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
