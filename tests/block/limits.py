# tests/block/limits.py DAEMON VITRINE-RUN VITRINE-IO VITRINE-IMG - limits, thresholds and what
# becomes of failed requests: by command, by option, beside the distribution's programs
# SPDX-License-Identifier: GPL-3.0-or-later
import json
import os
import subprocess
import sys
import time

import nbd
from nbd_common import Folder, check, equal, report, run
from qmp import Qmp

OURS, RUN, IO, IMG = sys.argv[1:5]
THEIRS, SYSTEM = "qemu-storage-daemon", "qemu-system-x86_64"
MIB = 1 << 20
PAIRS = [(OURS, "a storage daemon"), (THEIRS, "QEMU's")]


def throttled(q, path, **limits):
    q.good("object-add", qom_type="throttle-group", id="tg", limits=limits)
    q.good("blockdev-add", driver="throttle", node_name="thr", throttle_group="tg",
           file={"driver": "raw", "file": {"driver": "file", "filename": path}})


def groups():
    """qom-get, qom-set and qom-list of a group answer as QEMU's daemon does."""
    answers = []
    for program in (OURS, THEIRS):
        with Folder() as folder, Qmp(program) as q:
            throttled(q, folder.raw("d", MIB), **{"iops-total": 100, "iops-total-max": 300})
            said = []
            for command, arguments in [
                    ("qom-get", {"path": "/objects/tg", "property": "limits"}),
                    ("qom-get", {"path": "tg", "property": "x-iops-total-max"}),
                    ("qom-get", {"path": "tg", "property": "bogus"}),
                    ("qom-get", {"path": "/objects/none", "property": "limits"}),
                    ("qom-set", {"path": "tg", "property": "limits",
                                 "value": {"bps-read": 4096, "bps-read-max": 8192,
                                           "bps-read-max-length": 3, "iops-size": 512}}),
                    ("qom-set", {"path": "tg", "property": "x-iops-size", "value": 1}),
                    ("qom-set", {"path": "tg", "property": "limits",
                                 "value": {"iops-read": 5}}),
                    ("qom-set", {"path": "tg", "property": "limits",
                                 "value": {"iops-total-max": 5}}),
                    ("qom-get", {"path": "tg", "property": "limits"}),
                    ("object-del", {"id": "tg"}),
                    ("blockdev-del", {"node-name": "thr"}),
                    ("object-del", {"id": "tg"}),
                    ("object-del", {"id": "tg"})]:
                said.append((command, q(command, arguments)))
            said.append(sorted((p["name"], p["type"]) for p in q("qom-list", path="/objects")))
            answers.append(said)
    for ours, theirs in zip(*answers):
        equal(ours, theirs)


def rates():
    """Through NBD: as many bytes a second as the group says, until the limit is lifted."""
    for program, name in PAIRS:
        with Folder() as folder, Qmp(program) as q:
            throttled(q, folder.raw("d", 16 * MIB, blank=True), **{"bps-total": 4 * MIB})
            handle = nbd.NBD()
            handle.connect_uri(q.export(folder, "thr"))
            start = time.monotonic()
            for i in range(6):
                handle.pwrite(b"x" * MIB, i * MIB)
            took = time.monotonic() - start
            check(took > 0.9, f"{name}: 6 MiB at 4 MiB/s took {took:.2f} s")
            if program == THEIRS:
                continue
            # One that waits long is let go when the limit is lifted, unlike there.
            q.good("qom-set", path="tg", property="limits", value={"bps-total": 1000})
            handle.pwrite(b"y" * 16384, 0)
            cookie = handle.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(b"z" * 512)), MIB)
            while handle.aio_peek_command_completed() is None and handle.poll(50):
                pass
            check(not handle.aio_command_completed(cookie), "the write did not wait")
            q.good("qom-set", path="tg", property="limits", value={"bps-total": 0})
            start = time.monotonic()
            while not handle.aio_command_completed(cookie):
                check(time.monotonic() - start < 5, "the write waits on")
                handle.poll(100)
            # Closing does not wait for limits either.
            q.good("qom-set", path="tg", property="limits", value={"bps-total": 1000})
            handle.pwrite(b"y" * 16384, 0)
            handle.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(b"w" * 512)), 2 * MIB)
            handle.poll(100)
            start = time.monotonic()
            q.good("nbd-server-stop")
            q.good("blockdev-del", node_name="thr")
            check(time.monotonic() - start < 5, f"{name}: a drain waits for the limits")


def tools():
    """vitrine-io and vitrine-img take the group as an object."""
    with Folder() as folder:
        path = folder.raw("d", 4 * MIB)
        options = f"driver=throttle,throttle-group=t,file.driver=file,file.filename={path}"
        for limit in ("x-bps-read=2097152", "limits.bps-read=2097152"):
            start = time.monotonic()
            run(IO, "--object", f"throttle-group,id=t,{limit}", "--image-opts", options, "-c",
                "read -q 0 1M", "-c", "read -q 1M 1M", "-c", "read -q 2M 1M")
            check(time.monotonic() - start > 0.8, "vitrine-io does not wait")
        start = time.monotonic()
        run(IMG, "convert", "--object", "throttle-group,id=t,x-bps-read=2097152", "--image-opts",
            options, "-O", "raw", folder("copy"))
        check(time.monotonic() - start > 0.8, "vitrine-img does not wait")
        with open(path, "rb") as one, open(folder("copy"), "rb") as other:
            check(one.read() == other.read(), "the copy differs")
        check("No throttle-group with id 'none'" in
              run(IO, "--image-opts", options.replace("=t,", "=none,"), "-c", "quit", rc=1),
              "the missing group is not named")


def thresholds():
    """BLOCK_WRITE_THRESHOLD comes once, with the fields of QEMU's."""
    for program, name in PAIRS:
        with Folder() as folder, Qmp(program) as q:
            q.good("blockdev-add", driver="file", node_name="f",
                   filename=folder.raw("d", 4 * MIB, blank=True))
            q.good("blockdev-add", driver="raw", node_name="r", file="f")
            equal(q("block-set-write-threshold", node_name="none", write_threshold=1),
                  {"class": "GenericError", "desc": "Device 'none' not found"})
            q.good("block-set-write-threshold", node_name="f", write_threshold=2 * MIB)
            nodes = {n["node-name"]: n for n in q.good("query-named-block-nodes")}
            equal([nodes["f"]["write_threshold"], nodes["r"]["write_threshold"]], [2 * MIB, 0])
            handle = nbd.NBD()
            handle.connect_uri(q.export(folder, "r"))
            handle.pwrite(b"x" * 4096, 2 * MIB - 4096)
            handle.pwrite(b"x" * 4096, 2 * MIB - 512)
            equal([name, q.wait("BLOCK_WRITE_THRESHOLD")],
                  [name, {"node-name": "f", "amount-exceeded": 3584,
                          "write-threshold": 2 * MIB}])
            handle.pwrite(b"x" * 4096, 3 * MIB)
            q.good("block-set-write-threshold", node_name="f", write_threshold=1)
            q.good("block-set-write-threshold", node_name="f", write_threshold=0)
            handle.pwrite(b"x" * 4096, 3 * MIB)
            nodes = {n["node-name"]: n for n in q.good("query-named-block-nodes")}
            equal(nodes["f"]["write_threshold"], 0)
            check(not any(e["event"] == "BLOCK_WRITE_THRESHOLD" for e in q.events), "told again")


def zeroes():
    """detect-zeroes acts, and gives space back only with discard=unmap."""
    for discard, detect, kept in [("unmap", "unmap", False), ("ignore", "on", True),
                                  ("unmap", "off", True)]:
        with Folder() as folder, Qmp(OURS) as q:
            path = folder.raw("d", 4 * MIB)
            q.good("blockdev-add", driver="raw", node_name="r", discard=discard,
                   detect_zeroes=detect,
                   file={"driver": "file", "filename": path, "discard": discard})
            handle = nbd.NBD()
            handle.connect_uri(q.export(folder, "r"))
            handle.pwrite(bytes(2 * MIB), MIB)
            handle.flush()
            blocks = os.stat(path).st_blocks * 512
            equal([discard, detect, blocks >= 4 * MIB], [discard, detect, kept])
            check(not any(handle.pread(2 * MIB, MIB)), "no zeroes are read")


# ---- machines -----------------------------------------------------------------------------------

FIELDS = ["iops", "iops_rd", "iops_wr", "bps", "bps_rd", "bps_wr", "iops_max", "iops_max_length",
          "bps_rd_max", "bps_rd_max_length", "iops_size", "group", "detect_zeroes"]


def machine(program, *options):
    nothing = ["-nodefaults"] if program == SYSTEM else ["-nodefaults", "-vga", "none"]
    return Qmp(program, "-M", "q35", "-display", "none", "-S", *nothing, *options)


def shown(q):
    disks = {(d["device"], d.get("qdev")): (d["io-status"], d["inserted"])
             for d in q.good("query-block") if d.get("inserted")}
    return {key: (status, {f: info[f] for f in FIELDS if f in info})
            for key, (status, info) in disks.items()}


def devices():
    """-drive's limits and block_set_io_throttle, shown by query-block as QEMU shows them."""
    answers = []
    for program in (RUN, SYSTEM):
        with Folder() as folder:
            one, two, three = (folder.raw(n, MIB) for n in "abc")
            with machine(program, "-drive",
                         f"file={one},format=raw,if=none,id=d0,iops=100,iops_max=200,group=gg,"
                         "iops_size=4096,detect-zeroes=on",
                         "-device", "virtio-blk-pci,drive=d0,id=v0", "-drive",
                         f"file={two},format=raw,if=none,id=d1,throttling.bps-read=10000,"
                         "throttling.bps-read-max=20000,throttling.bps-read-max-length=5",
                         "-device", "virtio-blk-pci,drive=d1,id=v1", "-blockdev",
                         json.dumps({"driver": "raw", "node-name": "n", "file": {
                             "driver": "file", "filename": three}}),
                         "-device", "virtio-blk-pci,drive=n,id=v2") as q:
                none = {n: 0 for n in ("bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr")}
                said = [shown(q)]
                for arguments in [
                        none | {"device": "d0"},
                        none | {"device": "d0", "bps": 5000},
                        none | {"device": "d1", "iops": 7, "group": "d0"},
                        none | {"device": "d1", "iops": 7, "bps": 1, "bps_wr": 1},
                        none | {"device": "d1", "iops": -1},
                        none | {"device": "d1", "iops_max": 9},
                        none | {"device": "none", "iops": 7}, none | {"iops": 7},
                        none | {"device": "d0", "id": "v0", "iops": 7}]:
                    said.append(q("block_set_io_throttle", arguments))
                    said.append(shown(q))
                answers.append(said)
    for ours, theirs in zip(*answers):
        equal(ours, theirs)


def refused():
    """What is not known is refused by name, with the nearest known name."""
    with Folder() as folder:
        path = folder.raw("d", MIB)
        for options, words in [
                ("redonly=on", "“redonly”; did you mean “readonly”?"),
                ("throttling.iops-totl=1", "did you mean “throttling.iops-total”?"),
                ("cahce=none", "did you mean “cache”?"),
                ("werror=stopp", "werror=stopp is not known"),
                ("rerror=enospc", "rerror=enospc is not known"),
                ("aio=native", "requires cache.direct=on"),
                ("iops=1,throttling.iops-total=2", "and its alias 'iops' can't be used"),
                ("iops=1,iops_rd=2", "cannot be used at the same time"),
                ("bps=1k", "'throttling.bps-total' expects a number"),
                ("index=1,unit=1", "index cannot be used with bus and unit"),
                ("unit=1", "unit 1 too big (max is 0)"),
                ("lazy-refcount=on", "lazy-refcount"),
                ("file.lockng=off", "lockng")]:
            text = run(RUN, "-M", "q35", "-display", "none", "-S", "-drive",
                       f"file={path},format=raw,{options}", rc=1)
            check(words in text, f"{options}: {text}")
        text = run(RUN, "-display", "none", "-S", "-object", "throttle-group,id=t,x-iops-totl=1",
                   rc=1)
        check("did you mean “x-iops-total”?" in text, text)


def accepted():
    """The other options of a drive, together; snapshot=on leaves the file alone."""
    with Folder() as folder:
        path, backing = folder("top"), folder.raw("backing", MIB)
        with machine(RUN, "-drive",     # without discard=unmap it is no more than "on"
                     f"file={backing},format=raw,if=none,id=d0,detect-zeroes=unmap") as q:
            equal(len(q.good("query-block")), 1)
        run("qemu-img", "create", "-q", "-f", "qcow2", "-b", backing, "-F", "raw", path)
        with machine(RUN, "-drive",
                     f"file={path},format=qcow2,if=virtio,bus=0,unit=1,media=disk,serial=ab,,cd,"
                     "cache=writethrough,aio=threads,discard=unmap,detect-zeroes=unmap,"
                     "copy-on-read=on,werror=stop,rerror=ignore,auto-read-only=on,"
                     "lazy-refcounts=on,l2-cache-size=1M,file.locking=off,id=d0", "-drive",
                     f"file={backing},driver=raw,if=none,readonly=on,cache.direct=on,id=d1",
                     "-drive", f"driver=raw,file.driver=file,file.filename={backing},if=none,"
                     "read-only=on,id=d2") as q:
            disks = {d["device"]: d for d in q.good("query-block")}
            info = disks["d0"]["inserted"]
            equal([info["drv"], info["file"], info["detect_zeroes"], info["cache"]["writeback"],
                   disks["d0"]["qdev"]],
                  ["qcow2", path, "unmap", False, "/machine/peripheral/d0-device/virtio-backend"])
            equal([disks["d1"]["inserted"]["ro"], disks["d1"]["inserted"]["cache"]["direct"],
                   disks["d2"]["inserted"]["ro"]], [True, True, True])


# ---- failures -----------------------------------------------------------------------------------

BOOT = bytes.fromhex("b821 00ba f400 efeb fe".replace(" ", "")).ljust(510, b"\0") + b"\x55\xaa"


def failing(program, path, policy, error, once):
    rule = {"event": "none", "iotype": "read", "errno": error, "once": once}
    node = {"driver": "blkdebug", "node-name": "bad", "inject-error": [rule],
            "image": {"driver": "file", "filename": path}}
    return machine(program, "-blockdev", json.dumps(node), "-device",
                   f"virtio-blk-pci,drive=bad,id=v0{policy}", "-device",
                   "isa-debug-exit,iobase=0xf4,iosize=4")


def stops():
    """A read that fails stops the machine, is kept, and succeeds when the machine goes on."""
    told = []
    for program in (RUN, SYSTEM):
        with Folder() as folder:
            path = folder.raw("d", MIB)
            with open(path, "r+b") as file:
                file.write(BOOT)
            # There the first read is not the guest's, so that one failure would be over.
            q = failing(program, path, ",rerror=stop", 28, program == RUN)
            try:
                q.good("cont")
                event = q.wait("BLOCK_IO_ERROR")
                q.wait("STOP")
                told.append([event, q.good("query-status"),
                             q.good("query-block")[0]["io-status"]])
                if program == RUN:
                    q.send("cont")
                    equal(q.process.wait(30), 0x43)     # the boot sector ran, whole
            finally:
                q.process.kill()
                q.process.wait()
                q.process.stdin.close()
                q.process.stdout.close()
    equal(told[0], told[1])


def reports():
    """Without rerror the guest is told, and so is QMP."""
    with Folder() as folder:
        for policy, action in [("", "report"), (",rerror=ignore", "ignore")]:
            path = folder.raw("d", MIB)
            with failing(RUN, path, policy, 5, False) as q:
                q.good("cont")
                equal(q.wait("BLOCK_IO_ERROR"),
                      {"device": "", "node-name": "bad", "operation": "read", "action": action,
                       "qom-path": "/machine/peripheral/v0/virtio-backend", "nospace": False,
                       "reason": "Input/output error"})
                equal(q.good("query-status")["status"], "running")
                equal(q.good("query-block")[0]["io-status"], "ok")
    text = subprocess.run([RUN, "-display", "none", "-S", "-device",
                           "virtio-blk-pci,drive=x,werror=no"], capture_output=True, text=True,
                          check=False).stderr
    check("x" in text, text)


def boot_order():
    """bootindex says which disk the firmware starts, on whatever bus."""
    codes = {"one": 0x21, "two": 0x22}
    for first, second in [("virtio-blk-pci", "virtio-blk-pci"), ("ide-hd", "ide-hd"),
                          ("scsi-hd", "virtio-blk-pci"), ("virtio-blk-pci", "ide-hd")]:
        for chosen in codes:
            with Folder() as folder:
                options = ["-device", "virtio-scsi-pci"]
                for kind, name in ((first, "one"), (second, "two")):
                    path = folder.raw(name, MIB)
                    with open(path, "r+b") as file:
                        file.write(BOOT.replace(b"\xb8\x21", bytes([0xb8, codes[name]])))
                    options += ["-drive", f"file={path},format=raw,if=none,id={name}", "-device",
                                f"{kind},drive={name},bootindex={0 if name == chosen else 7}"]
                done = subprocess.run([RUN, "-M", "q35", "-display", "none", "-nodefaults",
                                       *options, "-device",
                                       "isa-debug-exit,iobase=0xf4,iosize=4"],
                                      timeout=30, check=False)
                equal([first, second, chosen, done.returncode],
                      [first, second, chosen, codes[chosen] * 2 + 1])
    with Folder() as folder:
        text = run(RUN, "-display", "none", "-S", "-drive",
                   f"file={folder.raw('d', MIB)},format=raw,if=none,id=d", "-device",
                   "virtio-blk-pci,drive=d,bootindex=1", "-device",
                   "virtio-net-pci,netdev=n,bootindex=1", "-netdev", "user,id=n", rc=1)
        check("The bootindex 1 has already been used" in text, text)


sys.exit(report([groups, rates, tools, thresholds, zeroes, devices, refused, accepted, stops,
                 reports, boot_order]))
