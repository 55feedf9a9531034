# tests/block/clients_scripts.py VITRINE-IMG - command lines of programs that are not installed here
# SPDX-License-Identifier: GPL-3.0-or-later
"""Short scripts in the manner of programs that drive qemu-img: clouds, image builders, backup.
Each runs with the distribution's tools and with ours behind the same names; status, both outputs
and the files left must be the same."""
import os
import re
import shutil
import subprocess
import tempfile

import images
from clients import Tools, need_program
from images import MIB, check, equal, mixed, normal

PRELUDE = "set -u\nexport LC_ALL=C\n"


def lines_of(text):
    """Without what depends on where an image's clusters lie, and on how long a job takes."""
    text = re.sub(r" +\(\d+\.\d\d/100%\)[\r\n]", "", normal(text))
    text = re.sub(r"file length: .*", "file length: SIZE", text)
    text = re.sub(r"^( {16}\"virtual-size\"|Image end offset): \d+", r"\1: N", text,
                  flags=re.MULTILINE)
    text = re.sub(r"\d+\.\d\d% fragmented", "N% fragmented", text)
    return re.sub(r"\b(cid): \d+", r"\1: N", text)


def run_with(path, folder, script):
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder)
    mixed(os.path.join(folder, "a.raw"))
    done = subprocess.run(["bash", "-c", PRELUDE + script], cwd=folder, capture_output=True,
                          text=True, errors="replace", timeout=120, check=False,
                          stdin=subprocess.DEVNULL, env=dict(os.environ, PATH=path))
    images = {}
    for name in sorted(os.listdir(folder)):
        if re.search(r"\.(raw|qcow2|vmdk|vdi|vhd|vhdx|qed)$", name):
            images[name] = os.path.join(folder, name)
    return done, images


def same(script):
    """Runs the script with both; also the images it leaves must hold the same."""
    tools = Tools()
    work = tempfile.mkdtemp(prefix="vitrine-scripts-")
    folder, kept = os.path.join(work, "work"), os.path.join(work, "kept")
    try:
        theirs, wanted = run_with(os.environ["PATH"], folder, script)
        os.rename(folder, kept)
        ours, got = run_with(tools.environment["PATH"], folder, script)
        what = f"{script.strip()}\n"
        equal(lines_of(ours.stdout), lines_of(theirs.stdout), what + ours.stderr + theirs.stderr)
        equal(lines_of(ours.stderr), lines_of(theirs.stderr), what)
        equal(ours.returncode, theirs.returncode, what + ours.stderr)
        equal(list(got), list(wanted), what)
        check(tools.calls() or "qemu-" not in script, what)
        for name in got:
            first = os.path.join(kept, name)
            if "luks" not in name:
                # a fixed vpc has its footer, with a date, where raw has data
                args = ["-f", "vpc", "-F", "vpc"] if name.endswith(".vhd") else []
                done = subprocess.run(["qemu-img", "compare", *args, first, got[name]], check=False,
                                      capture_output=True, text=True, cwd=kept)
                equal(done.returncode, 0, what + name + done.stdout + done.stderr)
    finally:
        tools.remove()
        shutil.rmtree(work, ignore_errors=True)


def test_compute_cloud():
    same("""
        qemu-img convert -f raw -O qcow2 -t none -T none -W -m 16 a.raw base.qcow2
        prlimit --as=8589934592 --cpu=30 env LC_ALL=C LANG=C qemu-img info base.qcow2 \
            --force-share --output=json
        qemu-img create -f qcow2 -o backing_file=$PWD/base.qcow2,backing_fmt=qcow2 disk.qcow2
        qemu-img create -f qcow2 -o backing_file=$PWD/base.qcow2,backing_fmt=qcow2,size=20971520 \
            big.qcow2
        qemu-img resize --image-opts driver=qcow2,file.filename=disk.qcow2 16M
        qemu-img resize disk.qcow2 33554432
        qemu-io -f qcow2 -c 'write -P 7 3M 1M' disk.qcow2 >/dev/null
        qemu-img rebase -u -b base.qcow2 -F qcow2 disk.qcow2
        qemu-img rebase -b '' disk.qcow2
        qemu-img convert -t none -O raw -f qcow2 disk.qcow2 out.raw
        qemu-img convert -f qcow2 -O raw -t none -S 0 -W base.qcow2 full.raw
        stat -c %s out.raw full.raw
        qemu-img info -U disk.qcow2
        qemu-img info --backing-chain --output json -U big.qcow2 | grep -c virtual-size
    """)


def test_volume_cloud():
    same("""
        printf 'a pass phrase' >key
        qemu-img create -f luks -o cipher-alg=aes-256,cipher-mode=xts,ivgen-alg=plain64 \
            --object secret,id=luks_sec,format=raw,file=key -o key-secret=luks_sec,iter-time=10 \
            v.luks 4M
        qemu-img resize --object secret,id=sec1,format=raw,file=key --image-opts \
            driver=luks,file.driver=file,file.filename=v.luks,key-secret=sec1 8M
        qemu-img convert -p --object secret,id=sec1,format=raw,file=key -n --image-opts \
            driver=raw,file.filename=a.raw --target-image-opts \
            driver=luks,file.filename=v.luks,key-secret=sec1
        qemu-img convert --object secret,id=sec1,format=raw,file=key --image-opts \
            driver=luks,file.filename=v.luks,key-secret=sec1 -O raw back.raw
        qemu-img info --output=json v.luks | grep -E 'virtual-size|format"'
        base64 -w0 key >key64
        qemu-img info --object secret,id=s,format=base64,file=key64 --image-opts \
            driver=luks,file.filename=v.luks,key-secret=s | sed -n 2,5p
        openssl rand -base64 32 | tr -d '\\n' >master
        iv=$(openssl rand -base64 16 | tr -d '\\n')
        openssl enc -aes-256-cbc -a -K $(base64 -d <master | od -An -tx1 | tr -d ' \\n') \
            -iv $(base64 -d <<<$iv | od -An -tx1 | tr -d ' \\n') -in key >sealed
        qemu-img convert --object secret,id=m,format=base64,file=master \
            --object "secret,id=s,keyid=m,iv=$iv,format=base64,file=sealed" --image-opts \
            driver=luks,file.filename=v.luks,key-secret=s -O raw again.raw
        cmp back.raw again.raw && echo same
    """)


def test_node_agent():
    same("""
        qemu-img convert -c -O qcow2 a.raw image.qcow2
        truncate -s 8M target.raw
        qemu-img convert -t directsync -S 0 -O host_device -W image.qcow2 target.raw
        echo $?
        qemu-img convert -p -n --target-is-zero -t none -T none -W -m 16 -f qcow2 -O raw \
            image.qcow2 target.raw
        cmp a.raw target.raw && echo same
        qemu-img info --output=json image.qcow2 | python3 -c 'import json, sys
d = json.load(sys.stdin); print(d["virtual-size"], d["format"], sorted(d))'
    """)


def test_hypervisor_cluster():
    same("""
        qemu-img create -o preallocation=metadata -f qcow2 vm.qcow2 8192K
        qemu-img convert -p -n -T none -f raw -O qcow2 a.raw vm.qcow2
        qemu-img snapshot -c before vm.qcow2
        qemu-img resize -f qcow2 --preallocation=metadata vm.qcow2 16777216 || echo refused
        qemu-img snapshot -l vm.qcow2 | sed 's/  *[0-9.]* *[KM]iB//'
        qemu-img snapshot -d before vm.qcow2
        qemu-img resize -f qcow2 vm.qcow2 16777216
        qemu-img create -b vm.qcow2 -F qcow2 -f qcow2 linked.qcow2
        qemu-img dd -f raw -O qcow2 bs=1M if=a.raw of=dd.qcow2
        qemu-img dd -f raw -O raw bs=65536 count=3 skip=2 if=a.raw of=part.raw
        qemu-img measure -O qcow2 --size 10G
        qemu-img measure -f raw -O qcow2 --output json a.raw
        qemu-img map --output=json -f raw a.raw
        qemu-img compare -f raw -F qcow2 a.raw vm.qcow2
        qemu-img check vm.qcow2; echo $?
    """)


def test_virtualization_manager():
    same("""
        o="-t none -T none"
        qemu-img create -f qcow2 -o compat=1.1,preallocation=off base.qcow2 8388608
        qemu-img convert -p $o -f raw -n -W -O qcow2 a.raw base.qcow2
        qemu-img create -f qcow2 -u -o compat=1.1 -b base.qcow2 -F qcow2 top.qcow2 9437184
        qemu-img bitmap --add --enable -g 65536 base.qcow2 0001
        qemu-img bitmap --disable base.qcow2 0001
        qemu-img bitmap --add top.qcow2 0002
        qemu-io -f qcow2 -c 'write -P 3 1M 1M' -c 'write -z 6M 64k' top.qcow2 >/dev/null
        qemu-img info --output json -U top.qcow2
        qemu-img check --output json -f qcow2 -U top.qcow2
        qemu-img measure --output json -f qcow2 -O qcow2 top.qcow2
        qemu-img convert -f qcow2 -O qcow2 --bitmaps --skip-broken-bitmaps top.qcow2 copy.qcow2
        qemu-img info --output json copy.qcow2 | grep -A3 '"bitmaps"'
        qemu-img bitmap --merge 0001 -F qcow2 -b base.qcow2 copy.qcow2 0002
        qemu-img rebase -u $o -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
        qemu-img commit -p -t none -b base.qcow2 -f qcow2 -d top.qcow2
        qemu-img amend -f qcow2 -o compat=1.1,lazy_refcounts=on base.qcow2
        qemu-img compare -p -f qcow2 -F qcow2 base.qcow2 copy.qcow2
        qemu-img bitmap --remove base.qcow2 0001
        qemu-img info base.qcow2
    """)


def test_backup():
    same("""
        qemu-img create -q -f qcow2 b.qcow2 8M
        qemu-nbd --fork --pid-file=$PWD/pid -t -k $PWD/s -x disk -f qcow2 --cache=none \
            --aio=native --discard=unmap --detect-zeroes=unmap --shared=8 -D description b.qcow2
        nbdinfo --size "nbd+unix:///disk?socket=$PWD/s"
        qemu-img convert -n -f raw -O raw a.raw "nbd+unix:///disk?socket=$PWD/s"
        nbdcopy "nbd+unix:///disk?socket=$PWD/s" out.raw
        qemu-img info --output=json "nbd:unix:$PWD/s:exportname=disk" | grep -E 'size|format'
        qemu-nbd -L -k $PWD/s | grep -v -E 'flags|block|transaction'
        kill $(cat pid)
        while [ -e s ]; do sleep 0.05; done
        ls pid
        qemu-nbd -r --fork --pid-file=$PWD/pid -t -k $PWD/s -B none -f qcow2 b.qcow2; echo $?
        qemu-img bitmap --add b.qcow2 b0
        qemu-nbd -r --fork --pid-file=$PWD/pid2 -t -k $PWD/s -A -B b0 \
            'json:{"driver": "qcow2", "file": {"driver": "file", "filename": "b.qcow2"}}'; echo $?
        nbdinfo --map=qemu:dirty-bitmap:b0 "nbd+unix:///?socket=$PWD/s"
        nbdinfo --map=qemu:allocation-depth "nbd+unix:///?socket=$PWD/s"
        kill $(cat pid2)
        while [ -e s ]; do sleep 0.05; done
        qemu-nbd -c /dev/nbd0 b.qcow2 2>/dev/null; echo $?
    """)


def test_discard():
    """qemu-io gives back what is discarded unless told otherwise; "ignore" keeps it allocated."""
    same("""
        for mode in '' '-d unmap' '-d ignore'; do
            for f in raw qcow2; do
                qemu-img create -q -f $f b.$f 4M
                qemu-io $mode -f $f -c 'w -q 0 4M' -c 'discard -q 1M 1M' b.$f
                qemu-img map --output=json -f $f b.$f | sed 's/, .offset.*//'
                du -m b.$f
            done
        done
        qemu-io -f raw -c 'w -q 0 4M' -c 'w -z -u -q 1M 1M' b.raw
        du -m b.raw
        nbdkit --exit-with-parent -v -f -U $PWD/s -P $PWD/pid memory 4M 2>log &
        while ! [ -e pid ]; do sleep 0.01; done
        qemu-io -f raw -c 'discard -q 0 1' -c 'discard -q 3 5000' nbd:unix:$PWD/s
        kill $(cat pid)
        grep -o 'trim count.*' log
    """)


def test_image_builder():
    same("""
        qemu-img convert -f raw -O qcow2 -c -m 8 -W -o compat=0.10 a.raw dib.qcow2
        qemu-img convert -f raw -O vmdk -o adapter_type=lsilogic,subformat=streamOptimized,compat6 \
            a.raw dib.vmdk
        qemu-img convert -f raw -O vpc -o subformat=fixed,force_size a.raw azure.vhd
        stat -c %s azure.vhd
        qemu-img info -f raw --output json a.raw | \
            sed -n 's/.*"virtual-size": \\([0-9]*\\),.*/\\1/p'
        qemu-img info dib.vmdk | grep -E 'create type|virtual size|file format'
        qemu-img convert -O vdi a.raw box.vdi
        qemu-img convert -O vhdx -o subformat=dynamic a.raw hv.vhdx
        qemu-img convert -O vmdk a.raw plain.vmdk
        qemu-img resize -f raw a.raw +2M
        qemu-img resize -f raw --shrink a.raw -1M
        stat -c %s a.raw
        qemu-img resize -q a.raw 10M
        qemu-img create -f qcow2 -b dib.qcow2 -F qcow2 packer.qcow2 40000M
        qemu-img convert -O qcow2 -c packer.qcow2 final.qcow2
        qemu-img info --output=json final.qcow2 | grep virtual-size
        qemu-img create -b dib.qcow2 -f qcow2 nofmt.qcow2; echo $?
        qemu-img convert -O nonsense a.raw x; echo $?
        qemu-img convert -f qcow2 a.raw x.raw; echo $?
        qemu-img convert -l snapshot.name=none dib.qcow2 x.raw; echo $?
    """)


def test_human_output():
    """What scripts cut out of the text for people."""
    same("""
        qemu-img convert -O qcow2 a.raw a.qcow2
        qemu-img create -f qcow2 -b a.qcow2 -F qcow2 b.qcow2
        qemu-img snapshot -c one b.qcow2
        qemu-img info b.qcow2 | awk '/^virtual size:/ { print $3, $4, $5 }'
        qemu-img info b.qcow2 | sed -n 's/.*virtual size.*(\\([0-9]*\\) bytes).*/\\1/p'
        qemu-img info b.qcow2 | awk -F': ' '/^file format/ { print $2 }'
        qemu-img info b.qcow2 | grep '^backing file' | cut -d: -f2
        qemu-img info --backing-chain b.qcow2 | grep -c '^image:'
        qemu-img info b.qcow2 | sed -n '/^Snapshot list:/,/^Format/p' | awk '{ print $1, $2 }'
        qemu-img snapshot -l b.qcow2 | awk 'NR > 2 { print $1, $2 }'
        qemu-img --help | sed -n 's/^Supported formats: //p' | tr ' ' '\\n' | grep -x -E \
            'qcow2|raw|vmdk|vdi|vpc|qed|vhdx|luks|nbd|file' | sort
        qemu-img create -f qcow2 -o help x | grep -E '^  (size|compat|backing_file)='
        qemu-img check b.qcow2 | head -1
        qemu-img map a.raw | head -2
        qemu-img convert -p a.raw c.raw | tr '\\r' '\\n' | tail -1
        qemu-img bench -c 1 -n b.qcow2 >/dev/null 2>&1; echo $?
    """)


def test_versions():
    """Scripts compare the version: the first line must look like QEMU's and have its number."""
    tools = Tools()
    try:
        for name in ("img", "io", "nbd", "storage-daemon"):
            line = tools.run(f"qemu-{name}", "--version").stdout.splitlines()[0]
            wanted = images.run(f"qemu-{name}", "--version").stdout.splitlines()[0]
            shape = r"\S*qemu-\S+ (?:version )?(\d+)\.\d+"
            got = re.match(shape, line)
            check(got and got[1] == re.match(shape, wanted)[1], f"{line!r} is not like {wanted!r}")
    finally:
        tools.remove()


def test_oslo():
    """The parsers that the compute cloud has in a library."""
    try:
        from oslo_utils import imageutils
    except ImportError as why:
        raise images.Skip("python3-oslo.utils is not installed; ./dev setup brings it") from why
    tools = Tools()
    with images.Folder() as folder:
        try:
            raw = mixed(folder("a.raw"))
            base, top = folder("base.qcow2"), folder("top.qcow2")
            tools.run("qemu-img", "convert", "-O", "qcow2", raw, base)
            tools.run("qemu-img", "create", "-f", "qcow2", "-b", base, "-F", "qcow2", top)
            tools.run("qemu-img", "snapshot", "-c", "one", top)
            for path, backing in ((raw, None), (base, None), (top, base)):
                said = imageutils.QemuImgInfo(
                    tools.run("qemu-img", "info", "--output=json", "-U", path).stdout,
                    format="json")
                equal((said.virtual_size, said.backing_file), (8 * MIB, backing), path)
                equal(said.file_format, "raw" if path == raw else "qcow2")
                equal(said.disk_size, os.stat(path).st_blocks * 512)
            equal(len(said.snapshots), 1)
        finally:
            tools.remove()


def test_file_options():
    """Every format takes the options of the file that it is in."""
    same("""
        for f in raw qcow2 vmdk vdi vhdx vpc qed parallels; do
            qemu-img create -f $f -o nocow=on,extent_size_hint=0 b.$f 1M
            qemu-img create -q -f $f -o preallocation=off b.$f 1M
            qemu-img create -q -f $f -o nocow=maybe b.$f 1M; echo $?
            rm -f b.$f
        done
        qemu-img convert -O qcow2 -o nocow=on a.raw b.qcow2
    """)


def test_monitor_text():
    """Scripts look for words in what the monitor says."""
    same(r"""
        ask() { printf '{"execute": "%s"}\n' qmp_capabilities "$@" quit; }
        cp a.raw 'x: y.raw'
        ask query-named-block-nodes | qemu-storage-daemon --chardev stdio,id=c \
            --blockdev driver=file,node-name=f,filename='x: y.raw' --monitor chardev=c >said
        grep -oE '"QMP": \{"version": |"return": \{\}|"drv": "file"|"file": "[^"]*"|, "ro": ' said |
            sort
    """)


def test_inspector():
    """What the compute cloud lets in: it reads the headers itself and refuses what looks odd."""
    try:
        from oslo_utils.imageutils import format_inspector
    except ImportError as why:
        raise images.Skip("python3-oslo.utils is not installed; ./dev setup brings it") from why
    tools = Tools()
    with images.Folder() as folder:
        try:
            raw = mixed(folder("a.raw"))
            for wanted, options in (("qcow2", ""), ("qcow2", "compat=0.10"), ("vdi", ""),
                                    ("vhd", "force_size=on"), ("vhdx", ""),
                                    ("vhdx", "subformat=fixed"), ("vmdk", ""),
                                    ("vmdk", "subformat=streamOptimized")):
                fmt = "vpc" if wanted == "vhd" else wanted
                tools.run("qemu-img", "convert", "-O", fmt, *(["-o", options] if options else []),
                          raw, folder("image"))
                found = format_inspector.detect_file_format(folder("image"))
                equal((str(found), found.virtual_size), (wanted, 8 * MIB), options)
                found.safety_check()
                os.unlink(folder("image"))
        finally:
            tools.remove()


def test_traffic():
    """fio writes, trims and verifies over NBD; what it wrote outlasts the server."""
    same("""
        qemu-img create -q -f qcow2 b.qcow2 32M
        qemu-nbd -t '-e 4' --fork -k $PWD/s --pid-file $PWD/pid -f qcow2 --discard=unmap b.qcow2
        fio --name=x --ioengine=nbd --uri="nbd+unix:///?socket=$PWD/s" --rw=randrw --bs=4k \
            --iodepth=16 --size=8M --verify=crc32c --verify_fatal=1 --minimal | cut -d';' -f 5
        fio --name=x --ioengine=nbd --uri="nbd+unix:///?socket=$PWD/s" --rw=trim --bs=1M \
            --offset=16M --size=8M --minimal | cut -d';' -f 5
        kill $(cat pid)
        while [ -e s ]; do sleep 0.01; done
        qemu-img check b.qcow2 | head -1
        rm b.qcow2
    """)


def test_seed():
    """cloud-localds calls qemu-img for a format other than raw."""
    need_program("cloud-localds", "genisoimage")
    tools = Tools()
    with images.Folder() as folder:
        try:
            with open(folder("user-data"), "w", encoding="ascii") as file:
                file.write("#cloud-config\n")
            tools.run("cloud-localds", "-d", "qcow2", folder("seed"), folder("user-data"))
            tools.called("convert -f raw -O qcow2")
            images.qemu_img("convert", "-f", "qcow2", "-O", "raw", folder("seed"), folder("raw"))
            with open(folder("raw"), "rb") as file:
                data = file.read()
            check(b"CD001" in data and b"#cloud-config" in data, "the seed's content")
        finally:
            tools.remove()


images.main(globals())
