# tests/block/clients_libvirt.py VITRINE-IMG - libvirt's storage and domains with our qemu-img
# SPDX-License-Identifier: GPL-3.0-or-later
"""A private libvirtd for the session finds our tools in PATH. What it makes is judged by the
distribution's qemu-img."""
import contextlib
import json
import os
import subprocess
import time
import uuid

import images
from clients import Tools, need_program
from images import (KIB, MIB, Folder, check, equal, fill, mixed, qemu_img, run, same_bytes,
                    same_content)

SECRET = "an open secret"


class Libvirt:
    """A session daemon with a folder of its own and one pool, "p"."""

    def __init__(self, folder):
        need_program("libvirtd", "virsh", "unshare")
        self.folder = folder
        self.tools = Tools()
        self.home = folder("home")
        self.pool = folder("pool")
        for path in (self.home, self.pool):
            os.mkdir(path)
        for name in ("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME",
                     "XDG_DATA_HOME"):
            self.tools.environment[name] = self.home
        command = ["libvirtd", "--timeout", "300"]
        if os.geteuid() == 0:       # which would make it the system's daemon
            command = ["unshare", "--user", "--map-user=1", "--map-group=1"] + command
        with open(folder("log"), "w", encoding="utf-8") as log:
            self.daemon = subprocess.Popen(command, env=self.tools.environment, stderr=log,
                                           stdin=subprocess.DEVNULL, stdout=log)
        self.socket = os.path.join(self.home, "libvirt/libvirt-sock")
        end = time.monotonic() + 30
        while not os.path.exists(self.socket):
            if self.daemon.poll() is not None or time.monotonic() > end:
                self.stop()
                with open(folder("log"), encoding="utf-8") as log:
                    raise AssertionError(f"libvirtd did not start:\n{log.read()}")
            time.sleep(0.02)
        self("pool-define-as", "p", "dir", "--target", self.pool)
        self("pool-start", "p")

    def stop(self):
        self.daemon.terminate()
        try:
            self.daemon.wait(20)
        finally:
            self.daemon.kill()
            self.tools.remove()

    def __call__(self, *args, driver="storage", **more):
        uri = f"{driver}+unix:///session?socket={self.socket}"
        return self.tools.run("virsh", "-q", "-c", uri, *args, **more).stdout.strip()

    def path(self, name):
        return os.path.join(self.pool, name)

    def xml(self, name, text):
        path = self.folder(name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def make(self, name, body, capacity=10 * MIB, source=None):
        """vol-create of a volume with this target; with source, vol-create-from."""
        path = self.xml("volume.xml", f"""<volume><name>{name}</name>
            <capacity unit='bytes'>{capacity}</capacity>{body}</volume>""")
        if source:
            self("vol-create-from", "p", path, "--inputpool", "p", source)
        else:
            self("vol-create", "p", path)

    def secret(self):
        """A secret for a volume; its UUID."""
        made = str(uuid.uuid4())
        self("secret-define", self.xml("secret.xml", f"""<secret ephemeral='yes' private='no'>
            <uuid>{made}</uuid></secret>"""), driver="secret")
        with open(self.folder("value"), "w", encoding="ascii") as file:
            file.write(SECRET)
        self("secret-set-value", made, "--file", self.folder("value"), "--plain", driver="secret")
        return made


@contextlib.contextmanager
def libvirt():
    with Folder() as folder:
        session = Libvirt(folder)
        try:
            yield session
        finally:
            session.stop()


def info(path, *args):
    return json.loads(qemu_img("info", "--output=json", *args, path).stdout)


def opened(path, fmt):
    """Arguments to name an encrypted image with."""
    key = "encrypt.key-secret" if fmt == "qcow2" else "key-secret"
    return ["--object", f"secret,id=s,data={SECRET}", "--image-opts",
            f"driver={fmt},file.filename={path},{key}=s"]


def test_create():
    with libvirt() as virt:
        for fmt in ("raw", "qcow2", "qed", "vmdk", "vdi", "vpc"):
            name = f"a.{fmt}"
            virt("vol-create-as", "p", name, "20M", "--format", fmt)
            virt.tools.called(*[f"qemu-img create -f {fmt} .*{name}"] if fmt != "raw" else [])
            made = info(virt.path(name), "-f", fmt)
            # a disk of vpc is measured in tracks
            check(20 * MIB <= made["virtual-size"] < 21 * MIB, str(made))
            check("20." in virt("vol-info", "--pool", "p", name), "capacity")
        equal(len(virt("vol-list", "p").splitlines()), 6)
        virt("vol-create-as", "p", "bad", "1M", "--format", "dmg", status="fail")
        virt("vol-create-as", "p", "full.raw", "1M", "--format", "raw", "--allocation", "1M")
        virt("vol-create-as", "p", "full.qcow2", "1M", "--format", "qcow2", "--prealloc-metadata")
        virt.tools.called("preallocation=falloc.* .*full.qcow2")
        equal(virt("vol-path", "--pool", "p", "a.qed"), virt.path("a.qed"))


def test_features():
    with libvirt() as virt:
        for name, compat, features, size in (("old", "0.10", "", 65536),
                                             ("new", "1.1", "<lazy_refcounts/>", 65536),
                                             ("wide", "1.1", "<extended_l2/>", 131072)):
            virt.make(name, f"""<target><format type='qcow2'/><compat>{compat}</compat>
                <clusterSize unit='B'>{size}</clusterSize>
                <features>{features}</features></target>""")
            virt.tools.called(f"-o .*compat={compat}")
            made = info(virt.path(name))
            data = made["format-specific"]["data"]
            equal(data["compat"], compat)
            equal(data.get("lazy-refcounts", False), "lazy" in features)
            equal(data.get("extended-l2", False), "extended" in features)
            equal(made["cluster-size"], size)
            virt("pool-refresh", "p")
            said = virt("vol-dumpxml", "--pool", "p", name)
            check(compat == "0.10" or f"<compat>{compat}</compat>" in said, said)
            check(features in said, said)


def test_backing():
    with libvirt() as virt:
        mixed(virt.path("base.raw"))
        virt("pool-refresh", "p")
        virt("vol-create-as", "p", "one", "8M", "--format", "qcow2", "--backing-vol", "base.raw",
             "--backing-vol-format", "raw")
        virt.tools.called(r"create .*-f qcow2 .*backing_fmt=raw")
        virt("vol-create-as", "p", "two", "9M", "--format", "qed", "--backing-vol", "one",
             "--backing-vol-format", "qcow2")
        virt.tools.called(r"create .*-f qed .*backing_fmt=qcow2")
        equal(info(virt.path("two"))["full-backing-filename"], virt.path("one"))
        said = virt("vol-dumpxml", "--pool", "p", "one")
        check("<backingStore>" in said and virt.path("base.raw") in said, said)
        same_content(virt.path("one"), virt.path("base.raw"))
        virt("vol-create-as", "p", "bad", "8M", "--format", "qcow2", "--backing-vol", "absent",
             status="fail")


def test_copy():
    with libvirt() as virt:
        mixed(virt.path("a.raw"))
        virt("pool-refresh", "p")
        virt("vol-clone", "--pool", "p", "a.raw", "b.raw")
        same_bytes(virt.path("a.raw"), virt.path("b.raw"))
        for fmt in ("qcow2", "qed", "vmdk", "vdi", "vpc"):
            virt.tools.calls()
            name = f"c.{fmt}"
            virt.make(name, f"<target><format type='{fmt}'/></target>", 8 * MIB, source="a.raw")
            virt.tools.called(f"convert -f raw -O {fmt}")
            qemu_img("compare", "-f", "raw", "-F", fmt, virt.path("a.raw"), virt.path(name))
            virt("vol-clone", "--pool", "p", name, f"d.{fmt}")
            virt.tools.called(f"convert -f {fmt} -O {fmt}")
            same_content(virt.path(name), virt.path(f"d.{fmt}"), fmt, fmt)
        virt("vol-clone", "--pool", "p", "c.qcow2", "e.qcow2", "--prealloc-metadata")
        virt.tools.called("preallocation=metadata")
        same_content(virt.path("e.qcow2"), virt.path("a.raw"), "qcow2", "raw")
        virt.make("f.raw", "<target><format type='raw'/></target>", 8 * MIB, source="d.qcow2")
        same_bytes(virt.path("f.raw"), virt.path("a.raw"))
        virt("vol-delete", "--pool", "p", "f.raw")
        check(not os.path.exists(virt.path("f.raw")), "vol-delete")


def test_resize():
    with libvirt() as virt:
        virt("vol-create-as", "p", "fixed", "4M", "--format", "vdi")
        virt("vol-resize", "--pool", "p", "fixed", "12M", status="fail")
        for fmt in ("raw", "qcow2", "qed"):
            name = f"a.{fmt}"
            virt("vol-create-as", "p", name, "4M", "--format", fmt)
            virt("vol-resize", "--pool", "p", name, "12M")
            virt("vol-resize", "--pool", "p", name, "1M", "--delta")
            if fmt != "raw":
                virt.tools.called(f"resize .*{name} 12582912", f"resize .*{name} 13631488")
            equal(info(virt.path(name), "-f", fmt)["virtual-size"], 13 * MIB)
        virt("vol-resize", "--pool", "p", "a.qcow2", "2M", status="fail")
        virt("vol-resize", "--pool", "p", "a.qcow2", "2M", "--shrink")
        virt.tools.called("resize .*--shrink")
        equal(info(virt.path("a.qcow2"))["virtual-size"], 2 * MIB)


def test_encrypted():
    with libvirt() as virt:
        plain = mixed(virt.path("plain.raw"), 4 * MIB + 64 * KIB)
        virt("pool-refresh", "p")
        for fmt in ("raw", "qcow2"):
            target = f"""<target><format type='{fmt}'/><encryption format='luks'>
                <secret type='passphrase' uuid='{virt.secret()}'/></encryption></target>"""
            virt.make(f"a.{fmt}", target, 4 * MIB)
            lines = virt.tools.called("--object secret,id=.*_encrypt0,file=")
            judged = "luks" if fmt == "raw" else fmt
            path = virt.path(f"a.{fmt}")
            said = json.loads(qemu_img("info", "--output=json", *opened(path, judged)).stdout)
            equal(said["virtual-size"], 4 * MIB, "\n".join(lines))
            virt("vol-resize", "--pool", "p", f"a.{fmt}", "6M")
            virt.tools.called("resize .*secret")
            if fmt == "qcow2":
                qemu_img("compare", *opened(path, fmt), "driver=raw,file.filename="
                         + fill(virt.path("zero.raw"), 6 * MIB))
                continue
            # to convert to an encrypted qcow2 libvirt refuses
            virt.make("b.raw", target, 4 * MIB + 64 * KIB, source="plain.raw")
            virt.tools.called("convert .*-n .*--target-image-opts .*driver=luks")
            qemu_img("compare", *opened(virt.path("b.raw"), "luks"),
                     f"driver=raw,file.filename={plain}")
        virt("pool-refresh", "p")
        check("<encryption format='luks'" in virt("vol-dumpxml", "--pool", "p", "a.qcow2"), "luks")


def test_transfer():
    with libvirt() as virt:
        source = mixed(virt.folder("source"))
        for fmt in ("raw", "qcow2"):
            image = source
            if fmt != "raw":
                image = virt.folder("image")
                run(images.OURS, "convert", "-c", "-O", fmt, source, image)
            virt("vol-create-as", "p", f"up.{fmt}", "8M", "--format", fmt)
            virt("vol-upload", "--pool", "p", f"up.{fmt}", image)
            virt("vol-download", "--pool", "p", f"up.{fmt}", virt.folder("down"))
            same_content(virt.path(f"up.{fmt}"), source, fmt, "raw")
            same_content(virt.folder("down"), source, fmt, "raw")
        virt("vol-wipe", "--pool", "p", "up.raw")
        qemu_img("compare", "-f", "raw", virt.path("up.raw"), fill(virt.folder("zero"), 8 * MIB))


DOMAIN = """<domain type='qemu'><name>d</name><memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
      <source file='{}'/><target dev='vda' bus='virtio'/></disk></devices></domain>"""


def test_snapshots():
    """Of a domain that does not run: libvirt calls qemu-img for them."""
    with libvirt() as virt:
        need_program("qemu-system-x86_64")
        disk = virt.path("a.qcow2")
        run("qemu-img", "convert", "-O", "qcow2", mixed(virt.folder("first")), disk)

        def domain(*args, **more):
            return virt(*args, driver="qemu", **more)

        domain("define", virt.xml("domain.xml", DOMAIN.format(disk)))
        domain("snapshot-create-as", "d", "one")
        virt.tools.called("snapshot .*-c one")
        equal([s["name"] for s in info(disk)["snapshots"]], ["one"])
        images.qemu_io(disk, "write -P 9 1M 1M", fmt="qcow2")
        domain("snapshot-create-as", "d", "two")
        domain("snapshot-revert", "d", "one")
        virt.tools.called("snapshot .*-a one")
        same_content(disk, virt.folder("first"), "qcow2", "raw")
        domain("snapshot-delete", "d", "two")
        virt.tools.called("snapshot .*-d two")
        equal([s["name"] for s in info(disk)["snapshots"]], ["one"])
        domain("snapshot-delete", "d", "one")
        check("snapshots" not in info(disk), "a snapshot is left")
        domain("snapshot-create-as", "d", "out", "--disk-only", "--diskspec",
               f"vda,file={virt.path('over')}")
        virt.tools.called("create .*-f qcow2 .*backing_fmt=qcow2")
        over = info(virt.path("over"))
        equal((over["full-backing-filename"], over["backing-filename-format"]), (disk, "qcow2"))
        equal(domain("domblklist", "d").split(), ["vda", virt.path("over")])
        check("8388608" in domain("domblkinfo", "d", "vda"), "domblkinfo")
        qemu_img("check", disk)


def test_virt_install():
    need_program("virt-install")
    with libvirt() as virt:
        uri = f"qemu+unix:///session?socket={virt.socket}"
        made = virt.path("made.qcow2")
        virt.tools.run("virt-install", "--connect", uri, "--virt-type", "qemu", "--name", "d",
                       "--memory", "64", "--disk", f"path={made},size=1,format=qcow2", "--import",
                       "--osinfo", "generic", "--network", "none", "--graphics", "none",
                       "--noautoconsole")
        virt.tools.called(r"create .*-f qcow2 .*made.qcow2.* 1048576K")
        virt("destroy", "d", driver="qemu")
        equal(info(made)["virtual-size"], 1 << 30)


images.main(globals())
