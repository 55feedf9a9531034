# tests/bench/measure.py - what benchmarks share: paired runs, processor time, memory.
# SPDX-License-Identifier: GPL-3.0-or-later
"""A figure is a ratio of two runs that follow each other on the same machine, and the median of
such pairs, so that a busy or slow host moves both."""
import os
import re
import statistics
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TICKS = os.sysconf("SC_CLK_TCK")


def paired(ours, theirs, pairs):
    """Runs the two functions in turns, the order changing; [(ours, theirs), ...]."""
    results = []
    for turn in range(pairs):
        if turn % 2 == 0:
            first = ours()
            results.append((first, theirs()))
        else:
            second = theirs()
            results.append((ours(), second))
    return results


def median_ratio(results):
    return statistics.median(a / b for a, b in results)


def processor_seconds(pid):
    """User and system time of a process and its threads."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_beyond_ram(pid, ram_mib):
    """MiB of memory that a process uses besides guest RAM: proportional set size less the mappings
    of guest RAM (a mapping of its exact size, or every mapping of one memfd that is as large)."""
    anonymous, files, total = [], {}, 0
    size, inode, offset = 0, 0, 0
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as smaps:
        for line in smaps:
            head = re.match(r"([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) \S+ (\d+)", line)
            if head:
                size = int(head[2], 16) - int(head[1], 16)
                offset, inode = int(head[3], 16), int(head[4])
            elif line.startswith("Pss:"):
                pss = int(line.split()[1])
                total += pss
                if inode == 0:
                    anonymous.append((size, pss))
                else:
                    end, sum_of = files.get(inode, (0, 0))
                    files[inode] = (max(end, offset + size), sum_of + pss)
    ram = ram_mib << 20
    guest = sum(pss for size, pss in anonymous if size == ram)
    guest += sum(pss for end, pss in files.values() if ram <= end < ram * 2)
    return (total - guest) / 1024


def wait_until(condition, timeout, step=0.005):
    """Seconds until condition() holds; None when it does not within timeout."""
    start = time.monotonic()
    while time.monotonic() - start < timeout:
        if condition():
            return time.monotonic() - start
        time.sleep(step)
    return None
