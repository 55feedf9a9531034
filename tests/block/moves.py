# tests/block/moves.py VITRINE-IMG MOVER [TEST...] - nodes of every driver change their iothread
# SPDX-License-Identifier: GPL-3.0-or-later
"""MOVER (mover.c) opens a node, works on it while it goes from thread to thread, reads it all,
closes it away from home, and opens it once more.  Servers run here, as in protocols.py."""
import getpass
import json
import os
import subprocess
import sys
import time

import img_readonly
import images
import protocols
from images import KIB, MIB, Folder, Skip, check, content, fill, img, mixed, run

MOVER = os.path.abspath(sys.argv.pop(2))
SIZE = 4 * MIB
MOVES = 40


def move(node, flags="-", *objects, moves=MOVES):
    run(MOVER, moves, flags, "json:" + json.dumps(node), *objects)


def at(path, driver="file", **more):
    return {"driver": driver, "filename": path, **more}


def over(driver, file, **more):
    return {"driver": driver, "file": file, **more}


def create(path, fmt, options="", size=SIZE):
    img("create", "-q", "-f", fmt, *(["-o", options] if options else []), path, size)
    return path


# ---- local ---------------------------------------------------------------------------------------


def files(f):
    mixed(f("a"), SIZE)
    for more in ({}, {"aio": "threads"}, {"cache": {"direct": True}}):
        move(at(f("a"), **more))


def raw(f):
    mixed(f("a"), SIZE)
    move(over("raw", at(f("a"))))
    move(over("raw", at(f("a")), offset=KIB, size=2 * MIB))


def host_device(f):
    fill(f("a"), SIZE, [(0, MIB, "random")])
    try:
        loop = subprocess.run(["losetup", "--find", "--show", f("a")], capture_output=True,
                              check=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as why:
        raise Skip(f"no loop device here: {getattr(why, 'stderr', why)}".strip()) from why
    try:
        move(over("raw", at(loop, "host_device")))
    finally:
        run("losetup", "--detach", loop)


def null(driver):
    def go(f):
        for latency in (0, 300000):
            move({"driver": driver, "size": SIZE, "latency-ns": latency, "read-zeroes": True}, "vx")
    return go


def writable(fmt, options):
    def go(f):
        for n, how in enumerate(options):
            path = create(f(str(n)), fmt, how)
            move(over(fmt, at(path)))
            img("compare", "-f", fmt, "-F", fmt, path, path)
    return go


def qcow2(f):
    writable("qcow2", ["", "cluster_size=4k,lazy_refcounts=on", "extended_l2=on",
                       f"data_file={f('data')}"])(f)
    mixed(f("base"), SIZE)
    img("create", "-q", "-f", "qcow2", "-b", f("base"), "-F", "raw", f("top"))
    move(over("qcow2", at(f("top"))))
    img("convert", "-c", "-O", "qcow2", f("base"), f("packed"))
    move(over("qcow2", at(f("packed"))))


def luks(f):
    secret = "secret,id=pw,data=sesame"
    for fmt, options, node in (("luks", "key-secret=pw,iter-time=10", {"key-secret": "pw"}),
                               ("qcow2", "encrypt.format=luks,encrypt.key-secret=pw,"
                                "encrypt.iter-time=10",
                                {"encrypt": {"format": "luks", "key-secret": "pw"}})):
        img("create", "-q", "--object", secret, "-f", fmt, "-o", options, f(fmt), SIZE)
        move(over(fmt, at(f(fmt)), **node), "-", secret)


def dmg(f):
    kinds = ["zlib", "raw", "bzip2", "zero", "xz", "adc", "zlib", "raw"]
    img_readonly.make_dmg(f("a.dmg"), [k for k in kinds if k in img_readonly.KINDS] * 3)
    move(over("dmg", at(f("a.dmg"))), "r")


def cloop(f):
    img_readonly.make_cloop(f("a"), [content(n, 64 * KIB, "text") for n in range(40)], 64 * KIB)
    move(over("cloop", at(f("a"))), "r")


def bochs(f):
    with open(f("flat"), "wb") as file:
        file.write(content(1, MIB, "text").ljust(4 * 16 * 63 * 512, b"\0"))
    run("bximage", "-q", "-func=convert", "-imgmode=growing", f("flat"), f("growing"))
    move(over("bochs", at(f("growing"))), "r")


# ---- filters -------------------------------------------------------------------------------------


def throttle(f):
    mixed(f("a"), SIZE)
    limits = {"bps-total": 40 * MIB, "iops-total": 4000}
    group = json.dumps({"qom-type": "throttle-group", "id": "g", "limits": limits})
    node = over("throttle", at(f("a")), **{"throttle-group": "g"})
    move(node, "-", group)
    move(over("qcow2", over("throttle", at(create(f("q"), "qcow2")), **{"throttle-group": "g"})),
         "-", group)


def copy_on_read(f):
    mixed(f("base"), SIZE)
    img("create", "-q", "-f", "qcow2", "-b", f("base"), "-F", "raw", f("top"))
    move(over("copy-on-read", over("qcow2", at(f("top")))))


def compress(f):
    fill(f("zeroes"), SIZE)
    img("convert", "-O", "qcow2", f("zeroes"), f("q"))
    move(over("compress", over("qcow2", at(f("q")))))


def blkdebug(f):
    rules = {"set-state": [{"event": "pwritev", "state": 1, "new_state": 2}]}
    move(over("qcow2", {"driver": "blkdebug", "image": at(create(f("q"), "qcow2")), **rules}))


def blkverify(f):
    fill(f("raw"), SIZE)
    move({"driver": "blkverify", "raw": at(f("raw")),
          "test": over("qcow2", at(create(f("q"), "qcow2")))})


# ---- servers -------------------------------------------------------------------------------------


def nbd(f):
    mixed(f("a"), SIZE)
    command = ["qemu-nbd", "-t", "-e", "0", "-f", "raw", "-k", f("s"), f("a")]
    with subprocess.Popen(command) as server:
        while not os.path.exists(f("s")):
            time.sleep(0.01)
        node = {"driver": "nbd", "server": {"type": "unix", "path": f("s")}}
        move(node)
        move(node | {"reconnect-delay": 5})
        server.terminate()


def web(driver):
    def go(f):
        protocols.need_protocol(driver)
        mixed(f("a"), SIZE)
        more = {"sslverify": False} if driver == "https" else {}
        with protocols.Web(f("a"), protocols.certificate(f) if more else None) as server:
            move({"driver": driver, "url": f"{server.base}/disk", "readahead": 64 * KIB} | more,
                 "r", moves=6)
    return go


def ftp(f):
    protocols.need_protocol("ftp")
    mixed(f("a"), SIZE)
    with protocols.ftp_server(f("a")) as base:
        move({"driver": "ftp", "url": f"{base}/disk"}, "r", moves=6)


def remote(file, name):
    """Raw, and a format that has it grow."""
    move(over("raw", file(name("raw"))))
    move(over("qcow2", file(name("qcow2"))))


def ssh(f):
    protocols.need_protocol("ssh")
    port = protocols.free_port()
    with protocols.sshd(f, port), protocols.Agent(f):
        mixed(f("raw"), SIZE)
        create(f("qcow2"), "qcow2")

        def file(path):
            return {"driver": "ssh", "path": path, "user": getpass.getuser(),
                    "server": {"host": "127.0.0.1", "port": str(port)},
                    "host-key-check": {"mode": "none"}}
        trial = img("info", "json:" + json.dumps(file(f("raw"))), status=None)
        if "authenticate" in trial.stderr:
            raise Skip("sshd lets nobody in here")
        remote(file, f)


def nfs(f):
    protocols.need_protocol("nfs")
    port = protocols.free_port()
    with protocols.ganesha(f, port):
        protocols.wait_for_export("nfs://127.0.0.1/export", f"?version=4&nfsport={port}")
        mixed(os.path.join(f("export"), "raw"), SIZE)
        create(os.path.join(f("export"), "qcow2"), "qcow2")
        remote(lambda name: {"driver": "nfs", "path": f"/export/{name}", "version": 4,
                             "server": {"type": "inet", "host": "127.0.0.1"}, "nfs-port": port},
               lambda name: name)


def iscsi(f):
    protocols.need_protocol("iscsi")
    port = protocols.free_port()
    with protocols.Target(f, port, 3 + port % 20000):
        unit = {"driver": "iscsi", "transport": "tcp", "portal": f"127.0.0.1:{port}",
                "target": "iqn.2020-01.test:disk", "lun": 1}
        move(over("raw", unit))
        create(f("small"), "qcow2")
        img("convert", "-n", "-f", "raw", "-O", "raw", f("small"),
            f"iscsi://127.0.0.1:{port}/{unit['target']}/1")
        move(over("qcow2", unit))


def rbd(f):
    """The library is tests/block/fake-rbd.c: pools are folders."""
    if "rbd" not in drivers():
        raise Skip("this build has no rbd")
    os.mkdir(f("pool"))
    mixed(f("pool/raw"), SIZE)
    create(f("pool/qcow2"), "qcow2")
    remote(lambda name: {"driver": "rbd", "pool": f("pool"), "image": name}, lambda name: name)


def ftps(f):
    raise Skip("no server of ftps runs here; it is the driver of ftp")


MOVES_OF = {
    "blkdebug": blkdebug, "blkverify": blkverify, "bochs": bochs, "cloop": cloop,
    "compress": compress, "copy-on-read": copy_on_read, "dmg": dmg, "file": files, "ftp": ftp,
    "ftps": ftps, "host_device": host_device, "http": web("http"), "https": web("https"),
    "iscsi": iscsi, "luks": luks, "nbd": nbd, "nfs": nfs, "null-aio": null("null-aio"),
    "null-co": null("null-co"), "parallels": writable("parallels", [""]), "qcow2": qcow2,
    "qed": writable("qed", [""]), "raw": raw, "rbd": rbd, "ssh": ssh, "throttle": throttle,
    "vdi": writable("vdi", ["", "static=on"]),
    "vhdx": writable("vhdx", ["", "subformat=fixed"]),
    "vmdk": writable("vmdk", ["", "subformat=twoGbMaxExtentSparse", "subformat=monolithicFlat"]),
    "vpc": writable("vpc", ["", "subformat=fixed"]),
}


def drivers():
    return run(MOVER).stdout.split()


def test_table():
    missing = set(drivers()) - set(MOVES_OF)
    check(not missing, f"no test moves {', '.join(sorted(missing))}")


def in_folder(fn):
    def test():
        with Folder() as f:
            fn(f)
    return test


if __name__ == "__main__":
    images.main(globals() | {f"test_{row}": in_folder(fn) for row, fn in MOVES_OF.items()})
