# tests/block/img_luks.py VITRINE-IMG - LUKS1 disks in both directions with qemu-img and cryptsetup
# SPDX-License-Identifier: GPL-3.0-or-later
import json
import os

import images
from images import (KIB, MIB, Folder, both, check, equal, fill, img, mixed, need, qemu_img, run,
                    same_bytes)

SECRETS = [f"--object=secret,id={name},data={data}" for name, data in
           (("s0", "one"), ("s1", "two"), ("bad", "wrong"))]
QUICK = "key-secret=s0,iter-time=5"
VARIANTS = [
    "cipher-alg=aes-256",
    "cipher-alg=aes-128,cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=md5,hash-alg=sha1",
    "cipher-alg=aes-256,cipher-mode=cbc,ivgen-alg=essiv,hash-alg=sha512",
    "cipher-alg=serpent-256,cipher-mode=xts,hash-alg=ripemd160",
    "cipher-alg=twofish-256,cipher-mode=cbc,ivgen-alg=plain",
    "cipher-alg=cast5-128,cipher-mode=cbc",
    "cipher-alg=aes-256,cipher-mode=ctr",
    "cipher-alg=aes-128,cipher-mode=ecb",
]


def opts(path, secret="s0"):
    return ["--image-opts", f"driver=luks,file.filename={path},key-secret={secret}"]


def to_raw(tool, path, raw, secret="s0"):
    tool("convert", *SECRETS, *opts(path, secret), "-O", "raw", raw)


def test_both_ways():
    need("luks")
    with Folder() as f:
        mixed(f("raw"), 6 * MIB)
        for n, variant in enumerate(VARIANTS):
            # theirs takes a second or more to find out how fast the host is
            for writer, reader in ((img, qemu_img), (qemu_img, img))[:1 if n % 3 else 2]:
                writer("convert", *SECRETS, "-O", "luks", "-o", f"{QUICK},{variant}",
                       f("raw"), f("disk"))
                equal(os.path.getsize(f("disk")) % (64 * KIB) % 4096, 0, "the header's alignment")
                to_raw(reader, f("disk"), f("back"))
                same_bytes(f("raw"), f("back"))


def test_info():
    need("luks")
    with Folder() as f:
        qemu_img("create", "-q", *SECRETS, "-f", "luks", "-o", QUICK, f("disk"), "4M")
        mine = json.loads(img("info", "--output=json", *SECRETS, *opts(f("disk"))).stdout)
        theirs = json.loads(qemu_img("info", "--output=json", *SECRETS, *opts(f("disk"))).stdout)
        for info in (mine, theirs):
            del info["actual-size"]
            info.pop("children", None)
            info.pop("filename", None)
        equal(mine, theirs, "info")
        text = [tool("info", *SECRETS, *opts(f("disk"))).stdout for tool in (img, qemu_img)]
        cut = [t[t.index("Format specific"):t.index("Child node")] for t in text]
        equal(*cut, "the text of info")


def test_refused():
    need("luks")
    with Folder() as f:
        img("create", *SECRETS, "-f", "luks", "-o", QUICK, f("disk"), "4M")
        done = img("convert", *SECRETS, *opts(f("disk"), "bad"), "-O", "raw", f("x"), status="fail")
        check("Invalid password, cannot unlock any keyslot" in done.stderr, done.stderr)
        done = img("convert", "-O", "raw", f("disk"), f("x"), status="fail")
        check("Parameter 'key-secret' is required for cipher" in done.stderr, done.stderr)
        done = img("create", "-f", "luks", f("y"), "4M", status="fail")
        check("Parameter 'key-secret' is required for cipher" in done.stderr, done.stderr)
        check("luks" in img("info", f("disk")).stdout, "facts need no secret")


def test_cryptsetup():
    need("luks")
    with Folder() as f:
        img("create", *SECRETS, "-f", "luks", "-o", QUICK, f("disk"), "4M")
        dump = run("cryptsetup", "luksDump", f("disk")).stdout
        for line in ("Version:       \t1", "Cipher name:   \taes", "Cipher mode:   \txts-plain64",
                     "Hash spec:     \tsha256", "Payload offset:\t4040", "Key Slot 0: ENABLED",
                     "Key Slot 7: DISABLED"):
            check(line in dump, f"{line!r} is not in\n{dump}")
        for name, data in (("key", "one"), ("other", "wrong")):
            with open(f(name), "w", encoding="ascii") as file:
                file.write(data)
        test = ["cryptsetup", "open", "--test-passphrase", "--type", "luks1"]
        run(*test, "--key-file", f("key"), f("disk"))
        run(*test, "--key-file", f("other"), f("disk"), status="fail")
        for options in (["--cipher", "aes-xts-plain64", "--key-size", "256"],
                        ["--cipher", "aes-cbc-essiv:sha256", "--key-size", "256", "--hash",
                         "sha512"]):
            with open(f("theirs"), "wb") as file:
                file.truncate(8 * MIB)
            run("cryptsetup", "luksFormat", "--type", "luks1", "-q", "--iter-time", "10", *options,
                "--key-file", f("key"), f("theirs"))
            info = json.loads(img("info", "--output=json", f("theirs")).stdout)
            equal(info["format"], "luks")
            to_raw(img, f("theirs"), f("a"))
            to_raw(qemu_img, f("theirs"), f("b"))
            same_bytes(f("a"), f("b"))


def test_amend():
    need("luks")
    if "amend" not in img("--help").stdout:
        raise images.Skip("vitrine-img has no amend command")
    with Folder() as f:
        mixed(f("raw"), 6 * MIB)
        img("convert", *SECRETS, "-O", "luks", "-o", QUICK, f("raw"), f("disk"))
        img("amend", *SECRETS, "-o", "state=active,new-secret=s1,iter-time=5", *opts(f("disk")))
        to_raw(qemu_img, f("disk"), f("back"), "s1")
        same_bytes(f("raw"), f("back"))
        img("amend", *SECRETS, "-o", "state=inactive,old-secret=s0", *opts(f("disk"), "s1"))
        qemu_img("convert", *SECRETS, *opts(f("disk"), "s0"), "-O", "raw", f("x"), status="fail")
        to_raw(qemu_img, f("disk"), f("back"), "s1")
        done = img("amend", *SECRETS, "-o", "state=inactive,keyslot=1", *opts(f("disk"), "s1"),
                   status="fail")
        check("the only active keyslot 1" in done.stderr, done.stderr)


def test_measure():
    need("luks")
    if "measure" not in img("--help").stdout:
        raise images.Skip("vitrine-img has no measure command")
    for variant in VARIANTS[:3]:
        args = ["measure", *SECRETS, "--size", "100M", "-O", "luks", "-o", f"{QUICK},{variant}"]
        equal(img(*args).stdout, qemu_img(*args).stdout, variant)


def test_detached():
    need("luks")
    with Folder() as f:
        img("create", *SECRETS, "-f", "luks", "-o", f"{QUICK},detached-header=on", f("head"), "0")
        equal(os.path.getsize(f("head")), 2068480)
        with open(f("data"), "wb") as file:
            file.truncate(4 * MIB)
        where = (f"driver=luks,file.driver=file,file.filename={f('data')},header.driver=file,"
                 f"header.filename={f('head')},key-secret=s0")
        pattern = ["-c", "write -P 7 0 1M", "-c", "read -P 7 0 1M"]
        run(os.path.join(images.TOOLS, "vitrine-io"), *SECRETS, *pattern, "--image-opts", where)
        done = run("qemu-io", *SECRETS, "-c", "read -P 7 0 1M", "--image-opts", where)
        check("verification failed" not in done.stdout, done.stdout)


# ---- qcow2 ---------------------------------------------------------------------------------------

QCOW2 = "encrypt.format=luks,encrypt.key-secret=s0,encrypt.iter-time=5"


def qcow2(path, secret="s0"):
    return ["--image-opts", f"driver=qcow2,file.filename={path},encrypt.key-secret={secret}"]


def test_qcow2():
    need("luks", "qcow2")
    with Folder() as f:
        mixed(f("raw"), 6 * MIB)
        for n, more in enumerate(("", ",cluster_size=4k", ",encrypt.cipher-alg=aes-128,"
                                  "encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv")):
            for writer, reader in ((img, qemu_img), (qemu_img, img))[:1 if n else 2]:
                writer("convert", *SECRETS, "-O", "qcow2", "-o", QCOW2 + more, f("raw"), f("disk"))
                reader("convert", *SECRETS, *qcow2(f("disk")), "-O", "raw", f("back"))
                same_bytes(f("raw"), f("back"))
                qemu_img("check", *SECRETS, *qcow2(f("disk")))
                run(os.path.join(images.TOOLS, "vitrine-io"), *SECRETS,
                    "-c", "write -P 9 12345 300000", "-c", "write -P 8 4M 1M",
                    "-c", "read -P 9 12345 300000", *qcow2(f("disk")))
                done = run("qemu-io", *SECRETS, "-c", "read -P 9 12345 300000",
                           "-c", "read -P 8 4M 1M", *qcow2(f("disk")))
                check("verification failed" not in done.stdout, done.stdout)
                qemu_img("check", *SECRETS, *qcow2(f("disk")))
        img("convert", *SECRETS, *qcow2(f("disk"), "bad"), "-O", "raw", f("x"), status="fail")
        done = img("convert", "-O", "raw", f("disk"), f("x"), status="fail")
        check("Parameter 'encrypt.key-secret' is required for cipher" in done.stderr, done.stderr)
        text = [tool("info", f("disk")).stdout for tool in (img, qemu_img)]
        cut = [t[t.index("Format specific"):t.index("Child node")] for t in text]
        equal(*cut, "the text of info")


def test_qcow2_prealloc():
    need("luks", "qcow2")
    with Folder() as f:
        img("create", *SECRETS, "-f", "qcow2", "-o", QCOW2 + ",preallocation=metadata", f("disk"),
            "5M")
        qemu_img("check", *SECRETS, *qcow2(f("disk")))
        img("create", "-f", "qcow2", "-o", "encrypt.format=luks", f("x"), "1M", status="fail")
        done = img("create", *SECRETS, "-f", "qcow2", "-o", "encrypt.format=aes,"
                   "encrypt.key-secret=s0", f("x"), "1M", status="fail")
        check("use encrypt.format=luks" in done.stderr, done.stderr)


def test_qcow2_preallocated():
    """Clusters that a new image has already are not zeroes once they are decrypted."""
    need("qcow2")
    with Folder() as f:
        mixed(f("raw"))
        for kind in ("metadata", "falloc", "full"):
            img("convert", *SECRETS, "-O", "qcow2", "-o", f"{QCOW2},preallocation={kind}",
                f("raw"), f("disk"))
            qemu_img("convert", *SECRETS, *qcow2(f("disk")), "-O", "raw", f("back"))
            same_bytes(f("raw"), f("back"))


def test_qcow2_amend():
    need("luks", "qcow2")
    with Folder() as f:
        img("create", *SECRETS, "-f", "qcow2", "-o", QCOW2, f("disk"), "5M")
        img("amend", *SECRETS, "-o", "encrypt.state=active,encrypt.new-secret=s1,"
            "encrypt.iter-time=5", *qcow2(f("disk")))
        qemu_img("convert", *SECRETS, *qcow2(f("disk"), "s1"), "-O", "raw", f("back"))
        img("amend", *SECRETS, "-o", "lazy_refcounts=on", *qcow2(f("disk")))
        check("lazy refcounts: true" in img("info", f("disk")).stdout, "lazy_refcounts=on is lost")
        for fmt in ("qcow2", "luks"):
            images.both("amend", "-f", fmt, "-o", "help", f("disk"))


def test_qcow2_compressed():
    """What is compressed is not encrypted: ours stores no such clusters, and reads those of the
    distribution's tool, which does when the image is there already."""
    need("qcow2")
    with Folder() as f:
        fill(f("raw"), 4 * MIB, [(0, 2 * MIB, "random"), (2 * MIB, MIB, 7)])
        both("convert", *SECRETS, "-c", "-O", "qcow2", "-o", QCOW2, f("raw"), f("disk"))
        check(not os.path.exists(f("disk")), "an image was made")
        qemu_img("create", *SECRETS, "-f", "qcow2", "-o", QCOW2, f("disk"), "4M")
        target = ("-n", "-c", "--target-image-opts", f("raw"), qcow2(f("disk"))[1])
        done = img("convert", *SECRETS, *target, status=1)
        check("not supported at the same time" in done.stderr, done.stderr)
        done = run(os.path.join(images.TOOLS, "vitrine-io"), *SECRETS, "-c", "write -c 0 64k",
                   *qcow2(f("disk")), status="fail")
        check("not supported" in done.stderr + done.stdout, done.stderr + done.stdout)
        qemu_img("convert", *SECRETS, *target)
        img("convert", *SECRETS, *qcow2(f("disk")), "-O", "raw", f("back"))
        same_bytes(f("raw"), f("back"))


def test_qcow2_aes():
    """The old way: the distribution's tool still writes it; ours reads it."""
    need("qcow2")
    with Folder() as f:
        mixed(f("raw"), 6 * MIB)
        qemu_img("convert", *SECRETS, "-O", "qcow2", "-o",
                 "encrypt.format=aes,encrypt.key-secret=s0", f("raw"), f("disk"))
        img("convert", *SECRETS, *qcow2(f("disk")), "-O", "raw", f("back"))
        same_bytes(f("raw"), f("back"))
        done = run(os.path.join(images.TOOLS, "vitrine-io"), *SECRETS, "-c", "write 0 512",
                   *qcow2(f("disk")), status="fail")
        check("only read" in done.stderr + done.stdout, done.stderr + done.stdout)


if __name__ == "__main__":
    images.main(globals())
