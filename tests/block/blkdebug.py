# tests/block/blkdebug.py VITRINE-IMG - errors, states, breakpoints and limits as qemu-io has them
# SPDX-License-Identifier: GPL-3.0-or-later
import json
import os
import re

import images
from images import TOOLS, Folder, check, equal, need, qemu_img, qemu_io, run

IO = os.path.join(TOOLS, "vitrine-io")


def make(f, *options):
    qemu_img("create", "-f", "qcow2", *options, f("t"), "16M")
    qemu_io(f("t"), "write -P 1 0 1M")


def named(path, **rules):
    debug = {"driver": "blkdebug", "image": {"driver": "file", "filename": path}}
    debug.update({key.replace("_", "-"): value for key, value in rules.items()})
    return "json:" + json.dumps({"driver": "qcow2", "file": debug})


def said(text):
    """What both must say: not how fast it was, nor what is told when the image is closed."""
    text = re.sub(r"\b(vitrine|qemu)-io\b", "TOOL", text)
    drop = (" ops;", "wrote ", "discard ", "Failed to flush", "** Message")
    return [line for line in text.splitlines() if line and not any(d in line for d in drop)
            and not re.match(r"read \d", line)]


def same(f, name, *commands, prepare=make):
    """The same commands on the same image with both tools."""
    args = [part for command in commands for part in ("-c", command)]
    runs = []
    for tool in ("qemu-io", IO):
        prepare(f)
        runs.append(run(tool, *args, name, status=None))
    equal(said(runs[1].stdout), said(runs[0].stdout), f"{commands} on {name}")
    equal(runs[1].returncode, runs[0].returncode, f"{commands} on {name}")


def test_injected():
    need("qcow2", "blkdebug")
    with Folder() as f:
        for event, commands in (
                ("read_aio", ("read 0 64k", "read 0 64k")),
                ("l2_load", ("read 0 64k", "read 0 64k")),
                ("write_aio", ("write 0 64k", "write 0 64k", "read 0 64k")),
                ("write_aio", ("write 2M 64k", "write 2M 64k", "read 0 64k")),
                ("cluster_alloc", ("write 0 64k", "write 2M 64k", "write 2M 64k")),
                ("pwritev", ("write 0 64k", "write 0 64k")),
                ("none", ("write 4M 64k",))):
            for once in (True, False):
                rule = {"event": event, "errno": 28, "once": once}
                if event == "none":
                    rule["iotype"] = "write"
                same(f, named(f("t"), inject_error=[rule]), *commands)


def test_states():
    need("qcow2", "blkdebug")
    with Folder() as f:
        rules = {"inject_error": [{"event": "read_aio", "errno": 5, "state": 3, "once": True}],
                 "set_state": [{"event": "read_aio", "state": 1, "new_state": 2},
                               {"event": "write_aio", "state": 2, "new_state": 3}]}
        same(f, named(f("t"), **rules), "read 0 64k", "read 0 64k", "write 0 64k", "read 0 64k",
             "read 0 64k")


def test_configuration():
    need("qcow2", "blkdebug")
    with Folder() as f:
        for text in ('[inject-error]\nevent = "read_aio"\nerrno = "28"\nonce = "on"\n',
                     '# a comment\n\n[set-state]\nevent = "read_aio"\nstate = "1"\n'
                     'new_state = "2"\n[inject-error]\nevent = "read_aio"\nstate = "2"\n',
                     '[inject-error]\nevent = "nothing"\n', '[nothing]\nevent = "l2_load"\n',
                     '[inject-error]\nerrno = "5"\n', 'event = "l2_load"\n',
                     '[inject-error]\nevent = l2_load\n', "[inject-error"):
            with open(f("rules"), "w", encoding="ascii") as file:
                file.write(text)
            same(f, f"blkdebug:{f('rules')}:{f('t')}", "read 0 64k", "read 0 64k", "read 0 64k")
        same(f, f"blkdebug::{f('t')}", "read 0 64k")
        same(f, f"blkdebug:{f('t')}", "read 0 64k")


def test_breakpoints():
    need("qcow2", "blkdebug")
    with Folder() as f:
        name = f"blkdebug::{f('t')}"
        same(f, name, "break write_aio A", "aio_write 0 64k", "wait_break A", "aio_write 64k 64k",
             "resume A", "aio_flush")
        same(f, name, "break nothing A")
        same(f, name, "resume A")
        same(f, name, "remove_break A")
        same(f, name, "break write_aio A", "remove_break A", "write 0 64k")
        same(f, f("t"), "break write_aio A")


def test_overtaken():
    """A write that waits at a breakpoint is overtaken by a later one to another place, and both are
    there in the end."""
    need("qcow2", "blkdebug")
    with Folder() as f:
        make(f)
        run(IO, "-c", "break cluster_alloc A", "-c", "aio_write -P 7 4M 64k", "-c", "wait_break A",
            "-c", "write -P 8 0 64k", "-c", "resume A", "-c", "aio_flush", f"blkdebug::{f('t')}")
        qemu_img("check", f("t"))
        out = qemu_io(f("t"), "read -P 7 4M 64k", "read -P 8 0 64k").stdout
        check("verification failed" not in out, out)


def test_failing_events():
    """Whatever fails in the middle of an allocation, the image stays whole but for leaks."""
    need("qcow2", "blkdebug")
    with Folder() as f:
        for event in ("l2_load", "l2_update", "l2_alloc_write", "l1_update", "refblock_load",
                      "refblock_update", "refblock_alloc", "refblock_alloc_write",
                      "refblock_alloc_hookup", "reftable_grow", "cluster_alloc", "cluster_free",
                      "cow_read", "cow_write", "write_aio", "flush_to_os", "flush_to_disk"):
            make(f, "-o", "cluster_size=512")
            rule = {"event": event, "errno": 5, "once": True}
            run(IO, "-c", "write -P 3 700 5000", "-c", "write -P 4 3M 1M", "-c", "discard 0 64k",
                "-c", "flush", named(f("t"), inject_error=[rule]), status=None)
            done = run("qemu-img", "check", f("t"), status=None)
            check(done.returncode in (0, 3), f"{event}: {done.stdout}{done.stderr}")
            qemu_img("check", "-r", "leaks", f("t"))


def test_limits():
    need("qcow2", "blkdebug")
    with Folder() as f:
        for limits in ({"align": 4096}, {"align": 3}, {"max-transfer": 4096},
                       {"max-transfer": 65536}, {"opt-write-zero": 65536},
                       {"max-write-zero": 65536}, {"opt-discard": 65536}, {"max-discard": 65536},
                       {"align": 4096, "max-transfer": 2048},
                       {"align": 4096, "opt-write-zero": 512},
                       {"max-write-zero": 65536, "opt-write-zero": 131072}):
            same(f, named(f("t"), **limits), "write -P 5 100 1000", "write -z 1M 1M",
                 "discard 1M 1M", "read -P 5 100 1000", "read -P 0 1M 64k")


images.main(globals())
